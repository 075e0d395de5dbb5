package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/holder"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
)

const (
	// recordGrace is how long a holder may be without a record that fits it:
	// it writes that just after it took the lock.
	recordGrace = time.Second
	// stopMargin is what a holder gets beyond the stop timeout that it
	// recorded, so that a supervisor can kill its bot before we kill it.
	stopMargin = 5 * time.Second
	// killGrace is how long the kernel may take to end a killed process; one
	// that hangs in a device driver takes longer.
	killGrace = 5 * time.Second
	// maxVictims ends a fight with something that starts the holder anew.
	maxVictims = 64
)

// errOutlived is returned when a holder survived all that we may do.
var errOutlived = errors.New("not stopped in time")

// takeOver stops whoever holds the lock, one after the other, until it is
// ours: nothing else counts as success.
func takeOver(std *cli.IO, pidfile string, killWait time.Duration, respectPID bool) (*lockfile.Lock, error) {
	unknownSince := time.Now()
	for victims := 0; victims < maxVictims; {
		lock, s, err := tryGuarded(pidfile, respectPID)
		if lock != nil || err != nil {
			return lock, err
		}
		v, err := choose(s)
		if (errors.Is(err, errNoRecord) || errors.Is(err, errElsewhere)) && time.Since(unknownSince) < recordGrace {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("stop the holder of %q: %w", pidfile, err)
		}
		stopped, err := v.stop(pidfile, max(killWait, v.patience))
		if err != nil {
			return nil, fmt.Errorf("stop the holder of %q: %w", pidfile, err)
		}
		if stopped {
			victims++
			fmt.Fprintf(std.Err, "%s: stopped %s\n", std.Tool, v.text)
		} else {
			time.Sleep(time.Millisecond) // it is on its way out, or another on its way in
		}
		unknownSince = time.Now()
	}
	return nil, exitcode.Errorf(exitcode.TempFail, "stopped %d holders of %q, and there is always another", maxVictims, pidfile).
		WithHint("stop what starts them")
}

// tryGuarded returns the lock, or the state that says who is in the way.
func tryGuarded(pidfile string, respectPID bool) (*lockfile.Lock, holder.State, error) {
	lock, err := lockfile.Try(pidfile)
	if errors.Is(err, lockfile.ErrHeld) {
		s, err := holder.Inspect(pidfile, respectPID)
		return nil, s, err
	}
	if err != nil {
		return nil, holder.State{}, err
	}
	s, err := holder.Guard(pidfile, respectPID)
	if err != nil || s.Held() {
		lock.Close()
		return nil, s, err
	}
	return lock, s, nil
}

// errNoRecord: the lock is held by a process that no record describes (yet).
var errNoRecord = exitcode.Errorf(exitcode.OSErr, "the kernel names a holder that its record does not describe; nothing was signalled")

// errElsewhere: its PID means nothing here, or the record is an old one from
// there, and the holder has not written its own yet.
var errElsewhere = refuse("it runs in another PID namespace (a container?)")

// victim is the process that has to end for the lock to be free.
type victim struct {
	id       process.Identity
	lockPID  int // whom the kernel must still name when we signal; 0: nobody
	patience time.Duration
	text     string
}

// choose decides whom to signal. If the holder has a supervisor that lives, it
// is that one: to end the child alone would only make it start another.
func choose(s holder.State) (victim, error) {
	if s.Evidence == holder.Free { // it went away while we looked
		return victim{}, nil
	}
	if s.Evidence == holder.Kernel && lockfile.NamesHolder && (s.PID == 0 || elsewhere(s)) {
		return victim{}, errElsewhere
	}
	id, known := s.Identity()
	if !known {
		return victim{}, errNoRecord
	}
	v := victim{id: id, text: describe(s, time.Now())}
	if s.Evidence == holder.Kernel {
		v.lockPID = s.PID
	}
	if s.Record != nil {
		if timeout := s.Record.StopTimeoutSeconds; timeout > 0 {
			v.patience = time.Duration(timeout*float64(time.Second)) + stopMargin
		}
		if sup := s.Record.Supervisor; sup != nil && sup.Alive() {
			v.id = *sup
			v.text = fmt.Sprintf("PID %d, the supervisor of %s", sup.PID, v.text)
		}
	}
	return v, refuseDangerous(v.id.PID)
}

// elsewhere: the record was written in another PID namespace of this boot.
func elsewhere(s holder.State) bool {
	self, err := process.Of(os.Getpid())
	return err == nil && s.Record == nil && s.Written != nil &&
		s.Written.Boot == self.Boot && s.Written.PIDNS != self.PIDNS
}

func refuse(format string, args ...any) error {
	return exitcode.Errorf(exitcode.NoPerm, "refused: %s", fmt.Sprintf(format, args...))
}

func refuseDangerous(pid int) error {
	switch {
	case pid <= 1:
		return refuse("PID %d is never a target", pid)
	case pid == os.Getpid():
		return refuse("PID %d is this very process", pid)
	case process.IsAncestor(pid):
		return refuse("PID %d is an ancestor of this process", pid)
	}
	return nil
}

// stop ends the victim: TERM, patience, KILL. It reports false, and has
// signalled nobody, when the victim is not in the way any more.
func (v victim) stop(pidfile string, patience time.Duration) (bool, error) {
	if v.id.PID == 0 {
		return false, nil
	}
	h, err := process.Open(v.id)
	if errors.Is(err, process.ErrGone) || errors.Is(err, process.ErrReused) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer h.Close()
	// Asked again now that the process is pinned: between the first question
	// and the pin it may have ended, and its PID may have gone to another.
	if pid, held, err := lockfile.Holder(pidfile); err != nil || v.lockPID != 0 && lockfile.NamesHolder && (!held || pid != v.lockPID) {
		return false, err
	}
	if err := h.Terminate(); err != nil {
		return false, err
	}
	if err := h.Wait(patience); !errors.Is(err, process.ErrTimeout) {
		return true, err
	}
	if err := h.Kill(); err != nil {
		return false, err
	}
	if err := h.Wait(killGrace); err != nil {
		return false, exitcode.Errorf(exitcode.Timeout, "%s: %w", v.text, errOutlived)
	}
	return true, nil
}
