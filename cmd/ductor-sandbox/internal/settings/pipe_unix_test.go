//go:build unix

package settings

import (
	"path/filepath"
	"syscall"
	"testing"

	"ductor/internal/common/exitcode"
)

// TestPipeDoesNotHang: to open one would wait for a writer for ever.
func TestPipeDoesNotHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, ""); exitcode.Of(err) != exitcode.DataErr {
		t.Error(err)
	}
}
