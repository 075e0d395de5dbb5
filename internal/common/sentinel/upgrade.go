package sentinel

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"ductor/internal/common/atomicfile"
)

// RolledBack is the status of an Upgrade that was undone.
const RolledBack = "rolled-back"

// Upgrade is upgrade-sentinel.json: whom to tell that another version runs. The
// strings may have come from anybody: print them quoted.
type Upgrade struct {
	ChatID     int64  `json:"chat_id"` // 0: nobody in particular
	OldVersion string `json:"old_version"`
	NewVersion string `json:"new_version"` // what runs now: after a rollback the lower one
	Status     string `json:"status,omitempty"`
}

// Undone is the sentinel of the rollback of u.
func (u Upgrade) Undone() Upgrade {
	return Upgrade{ChatID: u.ChatID, OldVersion: u.NewVersion, NewVersion: u.OldVersion, Status: RolledBack}
}

// WriteUpgrade leaves the sentinel for the bot's next start, and flushes it to
// the disk.
func WriteUpgrade(path string, u Upgrade) error {
	data, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("encode sentinel: %w", err)
	}
	return atomicfile.WriteSync(path, append(data, '\n'), 0o600)
}

// ParseUpgrade decodes upgrade-sentinel.json. Any object is one, because the
// upgrade has happened: a chat_id that is no integer is nobody (0), a version
// that is no string is unknown (""). Unknown keys are allowed. Names of keys are
// compared as Python does, which encoding/json's fields are not.
func ParseUpgrade(data []byte) (Upgrade, error) {
	if !utf8.Valid(data) {
		return Upgrade{}, fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return Upgrade{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if raw == nil {
		return Upgrade{}, fmt.Errorf("%w: null is no object", ErrMalformed)
	}
	return Upgrade{value[int64](raw["chat_id"]), value[string](raw["old_version"]), value[string](raw["new_version"]), value[string](raw["status"])}, nil
}

// value is the zero value for what is absent or of another type.
func value[T any](raw json.RawMessage) (v T) {
	if json.Unmarshal(raw, &v) != nil {
		var zero T
		return zero
	}
	return v
}

// ConsumeUpgrade takes the sentinel away and returns it: of several consumers
// exactly one gets it, the others get fs.ErrNotExist. One that cannot be read is
// moved to PATH.bad; ErrMalformed (65) says that its content was the reason.
func ConsumeUpgrade(path string) (Upgrade, error) {
	return consume(path, ParseUpgrade)
}
