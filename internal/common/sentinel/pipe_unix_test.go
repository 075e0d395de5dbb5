//go:build unix

package sentinel

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPipeIsRefused: to open one would wait for a writer for ever.
func TestPipeIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.json")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ConsumeRestart(path); err == nil {
		t.Error("a pipe was read")
	}
	if _, err := ConsumeUpgrade(path); err == nil {
		t.Error("a pipe was read")
	}
	if taken, err := ConsumeMarker(path); taken || err == nil {
		t.Errorf("a pipe was taken: %v, %v", taken, err)
	}
	names(t, dir, "s.json")
}

// TestLinkToPipeDoesNotHang: the link can be taken, its pipe not be read.
func TestLinkToPipeDoesNotHang(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.json")
	if err := errors.Join(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Symlink("pipe", path)); err != nil {
		t.Fatal(err)
	}
	if _, err := ConsumeRestart(path); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	names(t, dir, "pipe", "s.json.bad")
}
