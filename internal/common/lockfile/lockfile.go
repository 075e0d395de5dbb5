// Package lockfile is a kernel lock beside a PID file.
//
// The lock is the truth, the PID file X only a label. The lock lies on X.lock,
// which is never deleted or renamed: a waiter would then hold the lock of a
// file that nobody else can open, and a second holder could get in.
//
// On Unix it is an fcntl(2) record lock. It belongs to the process, survives
// exec, is not inherited by children, and ends with the process, however that
// ends. Its one danger is that ANY close of X.lock by the holder drops it, so
// the holder must never open that file again. Holder does: never call it on
// a lock of one's own.
package lockfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ductor/internal/common/exitcode"
)

// ErrHeld is returned by Try when somebody else has the lock.
var ErrHeld = errors.New("the lock is held")

// Path returns the lock file of a PID file.
func Path(pidfile string) string { return pidfile + ".lock" }

// Lock is a held kernel lock.
type Lock struct {
	// A finalizer would close the file and so drop the lock: keep the Lock
	// reachable for as long as it is to be held.
	f       *os.File
	pidfile string
}

// Resolve follows symbolic links, so that two names of one PID file share one
// lock, and refuses what cannot be a PID file. It creates nothing.
func Resolve(pidfile string) (string, error) {
	abs, err := filepath.Abs(pidfile)
	if err != nil {
		return "", fmt.Errorf("find PID file %q: %w", pidfile, err)
	}
	info, err := os.Lstat(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return abs, nil
	}
	if err != nil {
		return "", createError(pidfile, err)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := filepath.EvalSymlinks(abs)
		if err != nil {
			return "", exitcode.Errorf(exitcode.CantCreat, "PID file %q is a symbolic link that leads nowhere: %w", pidfile, err).
				WithHint("rm %q, or create what it points to", pidfile)
		}
		abs = target
		if info, err = os.Stat(abs); err != nil {
			return "", createError(pidfile, err)
		}
	}
	if !info.Mode().IsRegular() {
		return "", exitcode.Errorf(exitcode.CantCreat, "PID file %q is a %s, not a file", pidfile, kind(info.Mode()))
	}
	return abs, nil
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "folder"
	case m&fs.ModeNamedPipe != 0:
		return "pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// Try takes the lock or returns ErrHeld at once. Like Wait it creates the lock
// file, and its folder (0700), when they are not there.
func Try(pidfile string) (*Lock, error) { return acquire(pidfile, false) }

// Wait takes the lock, blocked in the kernel until it is free, and cannot be
// cancelled: who wants a limit ends the process. No order among waiters is
// promised.
func Wait(pidfile string) (*Lock, error) { return acquire(pidfile, true) }

func acquire(pidfile string, wait bool) (*Lock, error) {
	f, err := openLock(Path(pidfile))
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(pidfile), 0o700); err == nil {
			f, err = openLock(Path(pidfile))
		}
	}
	if err != nil {
		return nil, createError(Path(pidfile), err)
	}
	if err := lockFile(f, wait); err != nil {
		f.Close()
		if errors.Is(err, ErrHeld) {
			return nil, err
		}
		return nil, exitcode.Errorf(exitcode.OSErr, "lock %q: %w", Path(pidfile), err)
	}
	return &Lock{f, pidfile}, nil
}

// PIDFile returns the PID file that the lock belongs to.
func (l *Lock) PIDFile() string { return l.pidfile }

// Close gives the lock up. The lock file stays.
func (l *Lock) Close() error {
	unlock(l.f)
	return l.f.Close()
}

// createError classifies why a file cannot be had.
func createError(path string, err error) error {
	return exitcode.File(exitcode.CantCreat, fmt.Errorf("open %q: %w", path, pathless(err)))
}

// pathless drops the path that os errors repeat.
func pathless(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
