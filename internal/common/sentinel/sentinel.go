// Package sentinel handles the one-shot files by which a bot talks to its
// supervisor, its updater or its own next start. ductor-files(5) has the
// formats, which existing Python bots fix.
package sentinel

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
)

// MaxSize bounds what is read, in bytes; a sentinel is a line of text.
const MaxSize = 64 << 10

// ErrMalformed is returned for a sentinel that cannot be what its name says.
var ErrMalformed error = exitcode.Errorf(exitcode.DataErr, "malformed sentinel")

// Restart is restart-sentinel.json: whom to tell about the restart, and what.
type Restart struct {
	ChatID    int64     `json:"chat_id"`
	Message   string    `json:"message"`
	Timestamp time.Time `json:"timestamp,omitzero"` // RFC 3339, UTC; zero when unknown
}

// WriteRestart leaves the sentinel for the bot's next start.
func WriteRestart(path string, r Restart) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode sentinel: %w", err)
	}
	return atomicfile.WriteSync(path, append(data, '\n'), 0o600)
}

// ParseRestart decodes restart-sentinel.json. Unknown keys are allowed; a
// time stamp without a zone (Python's naive isoformat) is taken as UTC.
func ParseRestart(data []byte) (Restart, error) {
	var raw struct {
		ChatID    *int64  `json:"chat_id"`
		Message   *string `json:"message"`
		Timestamp *string `json:"timestamp"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return Restart{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if raw.ChatID == nil {
		return Restart{}, fmt.Errorf("%w: no chat_id", ErrMalformed)
	}
	r := Restart{ChatID: *raw.ChatID}
	if raw.Message != nil {
		r.Message = *raw.Message
	}
	if raw.Timestamp != nil {
		r.Timestamp = parseTime(*raw.Timestamp)
	}
	return r, nil
}

// parseTime is lenient, because the stamp is for people: what it cannot read
// is the zero time.
func parseTime(s string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// ConsumeRestart takes the sentinel away and returns it: of several consumers
// exactly one gets it, the others get fs.ErrNotExist. One that cannot be read is
// moved to PATH.bad, so that it is not met again and not lost; ErrMalformed says
// that its content was the reason.
func ConsumeRestart(path string) (Restart, error) {
	return consume(path, ParseRestart)
}

func consume[T any](path string, parse func([]byte) (T, error)) (value T, err error) {
	taken, err := take(path)
	if err != nil {
		return value, err
	}
	data, err := read(taken)
	if err == nil {
		value, err = parse(data)
	}
	if err != nil {
		var none T
		if rerr := atomicfile.Rename(taken, path+".bad"); rerr != nil {
			return none, errors.Join(err, rerr)
		}
		return none, fmt.Errorf("read %q (moved to %q): %w", path, path+".bad", err)
	}
	return value, atomicfile.Remove(taken)
}

// WriteMarker asks for a restart. Python bots test for existence only.
func WriteMarker(path string) error {
	return atomicfile.Write(path, []byte("1\n"), 0o600)
}

// ConsumeMarker reports whether this caller, of all that tried, took the
// marker away: that one restarts the bot.
func ConsumeMarker(path string) (bool, error) {
	_, taken, err := ConsumeText(path)
	return taken, err
}

// ConsumeText is ConsumeMarker for a request with content, which is empty when
// it cannot be read. It is read after it was taken: what is there before may
// be another one.
func ConsumeText(path string) (text string, taken bool, err error) {
	name, err := take(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	data, _ := atomicfile.Read(name, MaxSize)
	return string(data), true, atomicfile.Remove(name)
}

// take renames path to a name of our own: only one caller can win that, while
// two can both read a file before either deletes it.
func take(path string) (string, error) {
	if info, err := os.Lstat(path); err != nil {
		return "", fmt.Errorf("take %q: %w", path, err)
	} else if mode := info.Mode(); !mode.IsRegular() && mode&fs.ModeSymlink == 0 {
		return "", fmt.Errorf("take %q: not a file", path)
	}
	taken := path + ".taken" + strconv.Itoa(os.Getpid())
	if err := atomicfile.Take(path, taken); err != nil {
		return "", fmt.Errorf("take %q: %w", path, err)
	}
	return taken, nil
}

func read(path string) ([]byte, error) {
	data, err := atomicfile.Read(path, MaxSize)
	if errors.Is(err, atomicfile.ErrNoFile) {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read sentinel: %w", err)
	}
	return data, nil
}
