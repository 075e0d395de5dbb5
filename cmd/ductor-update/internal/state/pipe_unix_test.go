//go:build unix

package state

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPipeDoesNotHang: to open one would wait for a writer for ever.
func TestPipeDoesNotHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "update.json")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	if err := Write(path, full()); err != nil {
		t.Error(err)
	}
	only(t, path, path+".bad")
}
