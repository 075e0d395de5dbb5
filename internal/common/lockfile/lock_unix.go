//go:build unix

package lockfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// lowestFD keeps the lock away from the descriptors that shell scripts use by
// number (3 to 9, and 10 upward for the shell's own): `exec 3>log` in a bot
// would close the lock.
const lowestFD = 48

// nonblock keeps a pipe in place of the lock file from hanging us.
const nonblock = syscall.O_NONBLOCK

func openLock(path string) (*os.File, error) {
	// O_RDWR, because NFS refuses an exclusive lock on a file opened otherwise.
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC|syscall.O_NOFOLLOW|nonblock, 0o600)
	if err != nil {
		return nil, err
	}
	// Moved before the lock is taken: closing the low one afterwards would
	// drop it.
	high, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, lowestFD)
	if errno != 0 {
		return os.NewFile(uintptr(fd), path), nil
	}
	syscall.Close(fd)
	return os.NewFile(high, path), nil
}

func whole(kind int16) syscall.Flock_t {
	return syscall.Flock_t{Type: kind, Whence: io.SeekStart}
}

func lockFile(f *os.File, wait bool) error {
	cmd := syscall.F_SETLK
	if wait {
		cmd = syscall.F_SETLKW
	}
	for {
		lk := whole(syscall.F_WRLCK)
		err := syscall.FcntlFlock(f.Fd(), cmd, &lk)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case !wait && (errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES)):
			return ErrHeld
		}
		return err
	}
}

// unlock has nothing to do: the closing of the file is enough.
func unlock(*os.File) {}

// Inherit lets the lock pass through the exec that follows.
func (l *Lock) Inherit() error {
	_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, l.f.Fd(), syscall.F_SETFD, 0)
	if errno != 0 {
		return os.NewSyscallError("fcntl", errno)
	}
	return nil
}

// NamesHolder: the kernel tells the PID of the holder.
const NamesHolder = true

// Holder asks the kernel who holds the lock of pidfile. The PID is 0 when the
// holder lives in a PID namespace that we cannot see into. It creates nothing.
// Never call it while holding the same lock: its close would drop it.
func Holder(pidfile string) (pid int, held bool, err error) {
	fd, err := syscall.Open(Path(pidfile), syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NOFOLLOW|nonblock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, createError(Path(pidfile), err)
	}
	defer syscall.Close(fd)
	lk := whole(syscall.F_WRLCK)
	if err := syscall.FcntlFlock(uintptr(fd), syscall.F_GETLK, &lk); err != nil {
		return 0, false, createError(Path(pidfile), err)
	}
	return max(int(lk.Pid), 0), lk.Type != syscall.F_UNLCK, nil
}
