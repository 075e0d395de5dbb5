package lockfile

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

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

// lockFile takes the lock alone. Who only asks (Holder) shares it for a moment,
// which must not look like a holder: where the lock cannot be had alone but can
// be shared, it is those that are in the way, and soon gone.
func lockFile(f *os.File, wait bool) error {
	if wait {
		return lockByte(f, windows.LOCKFILE_EXCLUSIVE_LOCK)
	}
	for {
		err := lockByte(f, windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY)
		if !errors.Is(err, ErrHeld) {
			return err
		}
		if err := lockByte(f, windows.LOCKFILE_FAIL_IMMEDIATELY); err != nil {
			return err
		}
		unlock(f)
		// Two that ask each other so would never see the lock free.
		time.Sleep(rand.N(time.Millisecond))
	}
}

func lockByte(f *os.File, flags uint32) error {
	at := windows.Overlapped{Offset: offsetLow, OffsetHigh: offsetHigh}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return ErrHeld
	}
	return err
}

// unlock is said before the file is closed: a lock that is left to the closing
// is freed when the system finds the time.
func unlock(f *os.File) {
	at := windows.Overlapped{Offset: offsetLow, OffsetHigh: offsetHigh}
	_ = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &at)
}

// Inherit is for systems with exec; on Windows the holder stays as parent.
func (l *Lock) Inherit() error { return errors.New("windows has no exec") }

// NamesHolder: LockFileEx does not say who holds the lock.
const NamesHolder = false

// Holder tells whether the lock of pidfile is held; the PID is always 0. It
// creates nothing, and never keeps anybody from taking the lock: see lockFile.
func Holder(pidfile string) (pid int, held bool, err error) {
	if _, err := os.Stat(Path(pidfile)); errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	f, err := openLock(Path(pidfile))
	if err != nil {
		return 0, false, createError(Path(pidfile), err)
	}
	defer f.Close()
	err = lockByte(f, windows.LOCKFILE_FAIL_IMMEDIATELY)
	if errors.Is(err, ErrHeld) {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, createError(Path(pidfile), err)
	}
	unlock(f)
	return 0, false, nil
}
