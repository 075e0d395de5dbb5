package state

import (
	"errors"
	"sync"

	"ductor/internal/common/exitcode"
	"ductor/internal/common/lockfile"
)

// changing makes goroutines take turns: a kernel lock belongs to the process.
var changing sync.Mutex

// Change reads the state, lets f change it, and writes it, while no other
// process does: a watcher that wrote what it had read a minute before would undo
// the journal of an upgrade. f must be quick, and ask no network. An error of f
// is returned, and nothing is written. warning is what was wrong with the file.
//
// The lock is PATH.lock. It is not the one that an upgrade holds for minutes.
func Change(path string, f func(*State) error) (warning, err error) {
	changing.Lock()
	defer changing.Unlock()
	lock, err := lockfile.Wait(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closed(lock)) }()
	s, warning := Read(path)
	if warning != nil && !errors.Is(warning, ErrMalformed) {
		return nil, warning // it cannot be read, and so it may be right
	}
	if err := f(&s); err != nil {
		return warning, err
	}
	return warning, Write(path, s)
}

func closed(lock *lockfile.Lock) error {
	if err := lock.Close(); err != nil {
		return exitcode.Errorf(exitcode.IOErr, "give up the lock: %w", err)
	}
	return nil
}
