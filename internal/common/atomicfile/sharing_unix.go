//go:build unix

package atomicfile

import (
	"os"
	"syscall"
)

// open never waits: a pipe in place of a file would hang its reader.
func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

func openAppend(path string, perm os.FileMode) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, perm)
}

// patiently is for systems on which an open file is in the way.
func patiently(f func() error) error { return f() }

// take: rename is the step that only one caller can win.
func take(path, to string) error { return os.Rename(path, to) }
