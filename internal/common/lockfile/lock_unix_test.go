//go:build unix

package lockfile

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDescriptor: out of the reach of shell scripts, and closed on exec until
// it is to be inherited.
func TestDescriptor(t *testing.T) {
	l, err := Try(filepath.Join(t.TempDir(), "x.pid"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fd := l.f.Fd()
	if fd < lowestFD {
		t.Errorf("descriptor %d", fd)
	}
	flags := func() uintptr {
		f, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		return f & syscall.FD_CLOEXEC
	}
	if flags() == 0 {
		t.Error("children inherit it")
	}
	if err := l.Inherit(); err != nil || flags() != 0 {
		t.Errorf("exec closes it, which drops the lock: %v", err)
	}
}

// TestPipeDoesNotHang: to open one for reading would wait for a writer.
func TestPipeDoesNotHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	if err := syscall.Mkfifo(Path(path), 0o600); err != nil {
		t.Fatal(err)
	}
	if pid, held, err := Holder(path); held {
		t.Errorf("held by %d, %v", pid, err)
	}
}

// TestLinkInPlaceOfTheLock: who can write to the folder must not make us
// create a file elsewhere.
func TestLinkInPlaceOfTheLock(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "x.pid"), filepath.Join(dir, "target")
	if err := os.Symlink(target, Path(path)); err != nil {
		t.Fatal(err)
	}
	if l, err := Try(path); err == nil {
		l.Close()
		t.Error("a link was followed")
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("its target was created")
	}
}
