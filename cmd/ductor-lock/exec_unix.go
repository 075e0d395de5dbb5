//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"

	"ductor/internal/common/lockfile"
)

// become replaces this process by the command, with the lock; it returns only
// when that failed.
func become(lock *lockfile.Lock, path string, argv []string) error {
	if err := lock.Inherit(); err != nil {
		return err
	}
	return syscall.Exec(path, argv, os.Environ())
}

// privateFile opens descriptor n, and keeps it from the command: exec closes
// it, and that is the caller's sign.
func privateFile(n int) (*os.File, error) {
	if n < 3 {
		return nil, errors.New("must be 3 or more")
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(n), syscall.F_SETFD, syscall.FD_CLOEXEC); errno != 0 {
		return nil, errno
	}
	return os.NewFile(uintptr(n), "status"), nil
}
