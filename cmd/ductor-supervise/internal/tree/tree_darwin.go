package tree

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithParent: macOS has no parent-death signal; a guard watches instead.
func dieWithParent(*syscall.SysProcAttr) {}

// noteExitStatus is NOTE_EXITSTATUS of <sys/event.h>: the event's data is the
// wait status. The event does not reap, unlike waitid here, whose WNOWAIT is
// unreliable (golang/go#19314).
const noteExitStatus = 0x04000000

// awaitExit returns when the process has ended, and leaves it a zombie.
func awaitExit(pid int) Exit {
	lost := Exit{Code: 128 + int(unix.SIGKILL), Signal: unix.SIGKILL}
	kq, err := unix.Kqueue()
	if err != nil {
		return lost
	}
	defer unix.Close(kq)
	ev := []unix.Kevent_t{{Ident: uint64(pid), Filter: unix.EVFILT_PROC, Flags: unix.EV_ADD, Fflags: unix.NOTE_EXIT | noteExitStatus}}
	got := make([]unix.Kevent_t, 1)
	for {
		n, err := unix.Kevent(kq, ev, got, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			ev = nil
		case err != nil:
			return lost
		case n == 1:
			return exitOf(syscall.WaitStatus(got[0].Data))
		}
	}
}

func exitOf(ws syscall.WaitStatus) Exit {
	if ws.Signaled() {
		return Exit{Code: 128 + int(ws.Signal()), Signal: ws.Signal()}
	}
	return Exit{Code: ws.ExitStatus()}
}

// adopter: orphans fall to launchd here, so that only the group is ours.
type adopter struct{}

func (*adopter) init(Options) {}

// Changed never tells anything.
func (*adopter) Changed() <-chan os.Signal { return nil }

// Spare has nothing to do: the group holds no child of somebody else's.
func (*adopter) Spare(int, bool) {}

// Reap has nothing to do.
func (*adopter) Reap(int) {}

func (*adopter) strays(int) []int { return nil }

func (*adopter) end(int, syscall.Signal) {}

// alone reports whether the zombie leader is the last of its group.
func (t *Tree) alone() bool {
	const zombie = 5 // SZOMB of <sys/proc.h>
	members, err := unix.SysctlKinfoProcSlice("kern.proc.pgrp", t.PID)
	if err != nil {
		return true
	}
	for _, m := range members {
		if m.Proc.P_stat != zombie {
			return false
		}
	}
	return true
}
