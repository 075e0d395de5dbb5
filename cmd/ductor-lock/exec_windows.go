package main

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"

	"ductor/internal/common/lockfile"
)

// execKeepsLock: Windows has no exec, so run always stays as parent.
func execKeepsLock() bool { return false }

func become(*lockfile.Lock, string, []string) error {
	return errors.New("windows has no exec")
}

// privateFile opens the inherited handle n, and keeps it from the command.
func privateFile(n int) (*os.File, error) {
	h := windows.Handle(n)
	if err := windows.SetHandleInformation(h, windows.HANDLE_FLAG_INHERIT, 0); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(h), "status"), nil
}
