package snapshot

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/windows"
)

// TestFileInUse: when one part cannot be moved, none is, and a later call can.
func TestFileInUse(t *testing.T) {
	e := newEnv(t)
	before := e.look()
	e.take()
	e.upgrade()
	users := e.use()
	used := e.look()
	f, err := os.Open(e.at("pipx_metadata.json"))
	must(t, err)
	defer f.Close()
	if err := Restore(e.prefix, e.dir); !errors.Is(err, windows.ERROR_SHARING_VIOLATION) || !Whole(e.dir) {
		t.Error(err)
	}
	if d := diff(used, e.look(), above...); d != "" {
		t.Error(d)
	}
	must(t, f.Close())
	e.restore()
	e.check(before, users)
}
