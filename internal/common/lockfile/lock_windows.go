package lockfile

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// The one locked byte lies far past the end, because a lock on Windows is
// mandatory: locked content could not be read.
const offsetHigh, offsetLow = 0x7fffffff, 0xfffffffe

func openLock(path string) (*os.File, error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(p, windows.GENERIC_READ|windows.GENERIC_WRITE,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(h), path), nil
}

func lockFile(f *os.File, wait bool) error {
	flags := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK)
	if !wait {
		flags |= windows.LOCKFILE_FAIL_IMMEDIATELY
	}
	at := windows.Overlapped{Offset: offsetLow, OffsetHigh: offsetHigh}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return ErrHeld
	}
	return err
}

// Inherit is for systems with exec; on Windows the holder stays as parent.
func (l *Lock) Inherit() error { return errors.New("windows has no exec") }

// NamesHolder: LockFileEx does not say who holds the lock.
const NamesHolder = false

// Holder tells whether the lock of pidfile is held; the PID is always 0.
// It creates nothing.
func Holder(pidfile string) (pid int, held bool, err error) {
	if _, err := os.Stat(Path(pidfile)); errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	l, err := Try(pidfile)
	if errors.Is(err, ErrHeld) {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	return 0, false, l.Close()
}
