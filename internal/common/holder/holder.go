// Package holder tells who holds the lock of a PID file.
package holder

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"ductor/internal/common/exitcode"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
)

// Evidence says why a lock counts as held, or why it does not.
type Evidence string

const (
	Free    Evidence = "free"    // nobody
	Kernel  Evidence = "kernel"  // the kernel lock is held
	Lost    Evidence = "lost"    // the process of the record lives, but has closed the lock file
	Foreign Evidence = "foreign" // a live process that does not use locks wrote the PID file
)

// LabelState says what the PID file is worth.
type LabelState string

const (
	NoLabel      LabelState = "absent"
	FreshLabel   LabelState = "fresh"   // names the holder
	StaleLabel   LabelState = "stale"   // names a process that is gone, or not the one that wrote it
	GarbageLabel LabelState = "garbage" // names no process at all
)

// foreignTolerance is how much later than the PID file its process may seem
// to have started: start times have a resolution of 10 ms, file times come
// from a coarser clock, and clocks are set.
const foreignTolerance = 2 * time.Second

// State is what can be known of a lock from outside.
type State struct {
	Evidence Evidence
	Label    LabelState
	PID      int     // the holder's; 0 when it cannot be seen from here
	Record   *Record // the holder's own words; nil when there are none or they are about somebody else
	Written  *Record // what X.json says, whoever it is about
}

// Held reports whether somebody holds the lock.
func (s State) Held() bool { return s.Evidence != Free }

// Identity returns the holder as it can be signalled, and false when nothing
// but a PID is known of it.
func (s State) Identity() (process.Identity, bool) {
	switch {
	case s.Record == nil && s.Evidence == Foreign:
		id, err := process.Of(s.PID)
		return id, err == nil
	case s.Record == nil:
		return process.Identity{}, false
	case s.Record.PID == s.PID:
		return s.Record.Identity, true
	}
	return *s.Record.Child, true
}

// Inspect tells who holds the lock of pidfile. It must not be called by the
// holder, whose lock it would drop. With respectPID a live process that merely
// wrote its PID into the file counts as holder.
func Inspect(pidfile string, respectPID bool) (State, error) {
	pid, held, err := lockfile.Holder(pidfile)
	if err != nil {
		return State{}, err
	}
	if !held {
		return Guard(pidfile, respectPID)
	}
	s := State{Evidence: Kernel, PID: pid}
	if rec, err := ReadRecord(pidfile); err == nil {
		s.Written = &rec
		if !lockfile.NamesHolder {
			s.PID = rec.PID
		}
		if rec.PID == s.PID && rec.Alive() {
			s.Record = &rec
		}
	}
	s.Label = labelOf(pidfile, s.PID)
	return s, nil
}

// Guard is the second guard, behind a kernel lock that is free or our own: a
// process that matches the record, or a foreign one in the PID file, holds it
// too. This process itself is never a holder in that sense.
func Guard(pidfile string, respectPID bool) (State, error) {
	free := State{Evidence: Free, Label: NoLabel}
	if rec, err := ReadRecord(pidfile); err == nil {
		free.Written = &rec
		if id := liveOf(rec); id != nil {
			return State{Evidence: Lost, PID: id.PID, Label: labelOf(pidfile, id.PID), Record: &rec, Written: &rec}, nil
		}
	} else if errors.Is(err, fs.ErrPermission) {
		return State{}, err
	}
	pid, written, err := readPID(pidfile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return free, nil
	case errors.Is(err, ErrGarbage):
		free.Label = GarbageLabel
		return free, nil
	case err != nil:
		return State{}, exitcode.File(exitcode.IOErr, err)
	}
	free.Label = StaleLabel
	ours := free.Written != nil && free.Written.PID == pid
	if respectPID && !ours && pid != os.Getpid() && process.StartedBefore(pid, written, foreignTolerance) {
		return State{Evidence: Foreign, PID: pid, Label: FreshLabel, Written: free.Written}, nil
	}
	return free, nil
}

// liveOf returns the process of the record that still lives, or nil.
func liveOf(rec Record) *process.Identity {
	for _, id := range []*process.Identity{&rec.Identity, rec.Child} {
		if id != nil && id.Alive() && !id.IsSelf() {
			return id
		}
	}
	return nil
}

func labelOf(pidfile string, pid int) LabelState {
	got, _, err := readPID(pidfile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return NoLabel
	case err != nil:
		return GarbageLabel
	case got != pid:
		return StaleLabel
	}
	return FreshLabel
}

// Release removes the label of a lock that nobody holds, under the lock, so
// that it cannot be the label of a newcomer. It returns lockfile.ErrHeld when somebody
// does. A holder calls Remove.
func Release(pidfile string) error {
	l, err := lockfile.Try(pidfile)
	if err != nil {
		return err
	}
	defer l.Close()
	s, err := Guard(pidfile, true)
	if err != nil {
		return err
	}
	if s.Held() {
		return lockfile.ErrHeld
	}
	return Remove(pidfile)
}
