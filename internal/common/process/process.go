// Package process identifies processes beyond their reusable PID.
package process

import (
	"cmp"
	"errors"
	"os"
	"time"
)

// Identity names one process for ever: a PID comes back, a PID with its start
// and boot does not. Empty fields are unknown on that system.
type Identity struct {
	PID   int    `json:"pid"`
	Start string `json:"start,omitempty"` // Linux: ticks since boot; macOS: seconds.microseconds; Windows: FILETIME
	Boot  string `json:"boot,omitempty"`  // the kernel's random boot ID; absent on Windows, where Start is absolute
	PIDNS string `json:"pidns,omitempty"` // inode of the PID namespace, Linux only
	Host  string `json:"host,omitempty"`  // for people; never compared
}

// ErrGone is returned for a process that has ended, a zombie included.
var ErrGone = errors.New("no such process")

// ErrReused is returned when the PID now belongs to another process.
var ErrReused = errors.New("the PID belongs to another process now")

// ErrNamespace is returned for an identity from another boot, or from another
// PID namespace, whose PIDs mean nothing here.
var ErrNamespace = errors.New("another PID namespace or boot")

// ErrTimeout is returned when a process outlived the wait.
var ErrTimeout = errors.New("still running")

// Self returns the identity of this process.
func Self() (Identity, error) {
	id, err := Of(os.Getpid())
	if err == nil {
		id.Host, _ = os.Hostname()
	}
	return id, err
}

// Of returns the identity of the live process pid, without its host.
func Of(pid int) (Identity, error) {
	if pid <= 0 {
		return Identity{}, ErrGone
	}
	start, err := startOf(pid)
	if err != nil {
		return Identity{}, err
	}
	boot, pidns := space()
	return Identity{PID: pid, Start: start, Boot: boot, PIDNS: pidns}, nil
}

// Check returns nil if the process is alive and the same, otherwise ErrGone,
// ErrReused, ErrNamespace, or a system error.
func (id Identity) Check() error {
	if boot, pidns := space(); id.PID > 0 && (boot != id.Boot || pidns != id.PIDNS) {
		return ErrNamespace // whether or not that PID is one of ours
	}
	now, err := Of(id.PID)
	if err != nil {
		return err
	}
	if now.Start != id.Start || id.Start == "" {
		return ErrReused
	}
	return nil
}

// Alive reports whether the process runs and is the same.
func (id Identity) Alive() bool { return id.Check() == nil }

// IsSelf reports whether the identity is this very process.
func (id Identity) IsSelf() bool { return id.PID == os.Getpid() && id.Alive() }

// IsAncestor reports whether pid is this process's parent, or its parent's
// parent, and so on. A walk that cannot go on says no.
func IsAncestor(pid int) bool {
	if pid <= 0 { // what is not known is nobody's ancestor, though 0 is everybody's on Windows
		return false
	}
	at := os.Getppid()
	// A loop cannot occur in one snapshot of the tree, but we take no
	// snapshot; 1,000 levels are beyond any real tree.
	for range 1000 {
		if at == pid {
			return true
		}
		if at <= 1 {
			return false
		}
		next, err := parentOf(at)
		if err != nil {
			return false
		}
		at = next
	}
	return false
}

// StartedBefore reports whether the live process pid started before t, with a
// tolerance for clocks that were set since.
func StartedBefore(pid int, t time.Time, tolerance time.Duration) bool {
	started, err := startTime(pid)
	return err == nil && !started.After(t.Add(tolerance))
}

// Handle pins a process, so that a signal cannot reach a successor of its PID
// where the system allows it (pidfd on Linux, a process handle on Windows).
type Handle struct {
	id Identity
	h  handle
}

// Open pins the process and then checks that it is still the one meant.
func Open(id Identity) (*Handle, error) {
	h, err := openHandle(id.PID)
	if err != nil {
		return nil, cmp.Or(id.Check(), err)
	}
	if err := id.Check(); err != nil {
		h.close()
		return nil, err
	}
	return &Handle{id, h}, nil
}

// Wait returns nil when the process has ended, or ErrTimeout after d.
func (p *Handle) Wait(d time.Duration) error { return p.h.wait(p.id, d) }

// Terminate asks the process to end: SIGTERM with SIGCONT on Unix, so that a
// stopped one can obey. On Windows a process that called Asked is asked, and for
// others it is the same as Kill.
func (p *Handle) Terminate() error { return p.h.terminate(p.id) }

// Kill ends the process without asking.
func (p *Handle) Kill() error { return p.h.kill(p.id) }

// Close lets the process go; it does not end it.
func (p *Handle) Close() { p.h.close() }
