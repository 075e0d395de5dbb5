package holder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/jsonout"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
)

// Record is the content of X.json: who holds the lock of X.
type Record struct {
	process.Identity
	Command            []string          `json:"command"`
	Since              time.Time         `json:"since"`
	StopTimeoutSeconds float64           `json:"stop_timeout_seconds,omitempty"` // how long the holder may take to stop
	Supervisor         *process.Identity `json:"supervisor,omitempty"`           // who would start it again
	Child              *process.Identity `json:"child,omitempty"`                // the command, when the holder stayed as its parent
}

// maxRecord bounds what is read of a record, in bytes: a command line is at
// most 128 KiB a word on Linux, and few programs come near that.
const maxRecord = 1 << 20

// Write writes X.json and then X, so that whoever sees the PID also finds the
// record. The Lock proves that the caller is the holder.
//
// A stale label goes first. Its absence is the safe state, and ext4 would write
// a file to the disk that is renamed over another, which takes longer than all
// the rest of taking a lock.
func Write(l *lockfile.Lock, r Record) error {
	if err := Remove(l.PIDFile()); err != nil {
		return err
	}
	if err := WriteRecord(l, r); err != nil {
		return err
	}
	if err := atomicfile.Write(l.PIDFile(), []byte(strconv.Itoa(r.PID)+"\n"), 0o600); err != nil {
		return exitcode.Errorf(exitcode.CantCreat, "%w", err)
	}
	return nil
}

// WriteRecord writes X.json alone.
func WriteRecord(l *lockfile.Lock, r Record) error {
	r.Since = r.Since.UTC().Truncate(time.Second)
	line, err := jsonout.Line(r)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(recordPath(l.PIDFile()), line, 0o600); err != nil {
		return exitcode.Errorf(exitcode.CantCreat, "%w", err)
	}
	return nil
}

// Remove removes X and X.json, for the holder of X or a descendant that knows
// what it does; others use Release.
func Remove(pidfile string) error {
	var errs error
	for _, p := range []string{pidfile, recordPath(pidfile)} {
		if err := atomicfile.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = errors.Join(errs, exitcode.File(exitcode.IOErr, fmt.Errorf("remove the label: %w", err)))
		}
	}
	return errs
}

func recordPath(pidfile string) string { return pidfile + ".json" }

// ReadRecord reads X.json. Absent is fs.ErrNotExist; torn, huge or foreign
// content is an error too, and means that nothing is known.
func ReadRecord(pidfile string) (Record, error) {
	data, err := atomicfile.Read(recordPath(pidfile), maxRecord)
	if err != nil {
		return Record{}, err
	}
	return ParseRecord(data)
}

// ParseRecord decodes the content of X.json. Unknown keys are allowed.
func ParseRecord(data []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, fmt.Errorf("malformed record: %w", err)
	}
	if r.PID <= 0 || r.Start == "" {
		return Record{}, errors.New("malformed record: no process")
	}
	return r, nil
}

// ErrGarbage is returned for a PID file that holds no PID.
var ErrGarbage = errors.New("not a PID")

// readPID reads X: its PID, and when it was written.
func readPID(pidfile string) (int, time.Time, error) {
	info, err := os.Stat(pidfile)
	if err != nil {
		return 0, time.Time{}, err
	}
	data, err := atomicfile.Read(pidfile, 64)
	if errors.Is(err, atomicfile.ErrNoFile) {
		return 0, info.ModTime(), ErrGarbage
	}
	if err != nil {
		return 0, info.ModTime(), err
	}
	pid, err := ParsePID(data)
	return pid, info.ModTime(), err
}

// ParsePID accepts what int(text.strip()) of a Python bot would take for a
// process: a positive decimal number, with white space around it.
func ParsePID(data []byte) (int, error) {
	pid, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 32)
	if err != nil || pid <= 0 {
		return 0, ErrGarbage
	}
	return int(pid), nil
}
