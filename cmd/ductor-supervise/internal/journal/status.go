// Package journal keeps what a supervisor tells about itself: status.json,
// events.jsonl and the lines for people. ductor-files(5) has the formats.
package journal

import (
	"encoding/json"
	"fmt"
	"time"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/jsonout"
	"ductor/internal/common/process"
)

// Status is status.json.
type Status struct {
	Name       string            `json:"name"`
	State      string            `json:"state"` // starting, up, ready, stopping, backoff, down, fatal
	Supervisor Supervisor        `json:"supervisor"`
	PID        int               `json:"pid,omitempty"`   // the child's, while there is one
	Child      *process.Identity `json:"child,omitempty"` // the same, beyond its PID
	Since      time.Time         `json:"since"`           // of the state
	Reason     string            `json:"reason,omitempty"`
	Restarts   int               `json:"restarts"` // starts after the first
	Crashes    int               `json:"crashes"`  // consecutive short runs that crashed
	Command    []string          `json:"command"`
	LastExit   *LastExit         `json:"last_exit,omitempty"`
	NextStart  *time.Time        `json:"next_start_at,omitempty"`
	// Readiness: the bot is expected to say when it is ready; until then it is
	// only up.
	Readiness bool   `json:"readiness,omitempty"`
	Text      string `json:"status_text,omitempty"` // what the bot says of itself (STATUS= of sd_notify)
	Hook      string `json:"hook,omitempty"`        // on-crash, while the next start waits for it
	Hold      string `json:"hold,omitempty"`        // the hold file, if it is another than ctl/hold
	Log       string `json:"log,omitempty"`         // where its output goes, with --log
}

// Supervisor is the identity of the supervisor and the DUCTOR_INSTANCE that it
// gives to all that it starts.
type Supervisor struct {
	process.Identity
	Instance string `json:"instance"`
}

// LastExit is how the last run ended.
type LastExit struct {
	Code           int     `json:"code"`             // 128+n for signal n
	Signal         string  `json:"signal,omitempty"` // "SIGKILL"
	RuntimeSeconds float64 `json:"runtime_seconds"`
	Reason         string  `json:"reason"` // what it led to: stop, restart, crash, fatal
}

// maxStatus bounds what is read of status.json, in bytes.
const maxStatus = 1 << 20

// WriteStatus replaces status.json.
func WriteStatus(path string, s Status) error {
	line, err := jsonout.Line(s)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, line, 0o600)
}

// ReadStatus reads status.json. Absence is fs.ErrNotExist; torn or foreign
// content is an error as well, and means that nothing is known.
func ReadStatus(path string) (Status, error) {
	data, err := atomicfile.Read(path, maxStatus)
	if err != nil {
		return Status{}, err
	}
	return ParseStatus(data)
}

// ParseStatus decodes status.json; unknown keys are allowed.
func ParseStatus(data []byte) (Status, error) {
	var s Status
	if err := json.Unmarshal(data, &s); err != nil {
		return Status{}, fmt.Errorf("malformed status: %w", err)
	}
	if s.State == "" || s.Supervisor.PID <= 0 {
		return Status{}, fmt.Errorf("malformed status: no state or no supervisor")
	}
	return s, nil
}
