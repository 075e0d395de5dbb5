//go:build unix

package backend

import (
	"os"

	"golang.org/x/sys/unix"
)

// appends reports whether every write goes to the end of the file.
func appends(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	flags := 0
	err = raw.Control(func(fd uintptr) { flags, _ = unix.FcntlInt(fd, unix.F_GETFL, 0) })
	return err == nil && flags&unix.O_APPEND != 0
}
