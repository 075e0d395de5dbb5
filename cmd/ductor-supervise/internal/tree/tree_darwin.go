package tree

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dieWithParent: macOS has no parent-death signal; a guard watches instead.
func dieWithParent(*syscall.SysProcAttr) {}

// noteExitStatus is NOTE_EXITSTATUS of <sys/event.h>: the event's data is the
// wait status. The event does not reap, unlike waitid here, whose WNOWAIT is
// unreliable (golang/go#19314).
const noteExitStatus = 0x04000000

// lost is the end of a process of which nothing can be learnt.
var lost = Exit{Code: 128 + int(unix.SIGKILL), Signal: unix.SIGKILL}

// awaitExit returns when the process has ended, and leaves it a zombie.
func awaitExit(pid int) Exit {
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
			return endedBefore(pid)
		case n == 1 && got[0].Flags&unix.EV_ERROR != 0: // how kevent(2) reports an error where there is room for it
			return endedBefore(pid)
		case n == 1:
			return exitOf(syscall.WaitStatus(got[0].Data))
		}
	}
}

// zombie is SZOMB of <sys/proc.h>.
const zombie = 5

// endedBefore is for a process that had ended before kqueue could watch it, to
// which it is no process any more (ESRCH). Its wait status stands in the table
// of processes, as ps(1) shows it by -o xstat. To ask wait4 instead would
// reap it, and waitid here does not tell the signal.
func endedBefore(pid int) Exit {
	// It may be on its way to be a zombie, which takes no second.
	for range 1000 {
		p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
		if err != nil {
			break
		}
		if p.Proc.P_stat == zombie {
			return exitOf(syscall.WaitStatus(p.Proc.P_xstat))
		}
		time.Sleep(time.Millisecond)
	}
	return lost
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

// Dismiss has nothing to do: what hooks left behind is launchd's.
func (*adopter) Dismiss() {}

// Reap has nothing to do.
func (*adopter) Reap(int) {}

func (*adopter) strays(int) []int { return nil }

func (*adopter) end(int, syscall.Signal) {}

// alone reports whether the zombie leader is the last of its group.
func (t *Tree) alone() bool {
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
