package process

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// zombie is SZOMB of <sys/proc.h>.
const zombie = 5

func kinfo(pid int) (*unix.KinfoProc, error) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	// For a PID that nobody has, the kernel returns no bytes, and x/sys makes
	// EIO of that.
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.ESRCH) || err == nil && int(info.Proc.P_pid) != pid {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of process %d: %w", pid, err)
	}
	return info, nil
}

func startOf(pid int) (string, error) {
	info, err := kinfo(pid)
	if err != nil {
		return "", err
	}
	if info.Proc.P_stat == zombie {
		return "", ErrGone
	}
	t := info.Proc.P_starttime
	return fmt.Sprintf("%d.%06d", t.Sec, t.Usec), nil
}

func parentOf(pid int) (int, error) {
	info, err := kinfo(pid)
	if err != nil {
		return 0, err
	}
	return int(info.Eproc.Ppid), nil
}

var space = sync.OnceValues(func() (boot, pidns string) {
	boot, _ = unix.Sysctl("kern.bootsessionuuid")
	return boot, ""
})

func startTime(pid int) (time.Time, error) {
	info, err := kinfo(pid)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(info.Proc.P_starttime.Unix()), nil
}

// handle is a kqueue that reports the end of the process. It does not pin the
// PID for signals: each of them checks the identity first.
type handle int

func openHandle(pid int) (handle, error) {
	kq, err := unix.Kqueue()
	if err != nil {
		return -1, fmt.Errorf("open process %d: %w", pid, err)
	}
	unix.CloseOnExec(kq)
	ev := unix.Kevent_t{Ident: uint64(pid), Filter: unix.EVFILT_PROC, Flags: unix.EV_ADD, Fflags: unix.NOTE_EXIT}
	if _, err := unix.Kevent(kq, []unix.Kevent_t{ev}, nil, nil); err != nil {
		unix.Close(kq)
		if errors.Is(err, unix.ESRCH) {
			return -1, ErrGone
		}
		return -1, fmt.Errorf("open process %d: %w", pid, err)
	}
	return handle(kq), nil
}

func (h handle) wait(id Identity, d time.Duration) error {
	deadline := time.Now().Add(d)
	for {
		left := max(time.Until(deadline), 0)
		ts := unix.NsecToTimespec(int64(left))
		n, err := unix.Kevent(int(h), nil, make([]unix.Kevent_t, 1), &ts)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for process %d: %w", id.PID, err)
		case n > 0:
			return nil
		case left == 0:
			return ErrTimeout
		}
	}
}

func (h handle) signal(id Identity, sig syscall.Signal) error {
	err := id.Check()
	if err == nil {
		err = unix.Kill(id.PID, sig)
	}
	return signalError(id, sig, err)
}

func (h handle) close() { unix.Close(int(h)) }
