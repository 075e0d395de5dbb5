package process

import (
	"errors"
	"fmt"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// access is what a question about another user's process can still be granted.
const access = windows.PROCESS_QUERY_LIMITED_INFORMATION | windows.SYNCHRONIZE

// withProcess calls f with a handle of the live process pid. A PID alone is
// no proof of life: it stays valid while anybody has a handle open.
func withProcess(pid int, f func(windows.Handle) error) error {
	h, err := windows.OpenProcess(access, false, uint32(pid))
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer windows.CloseHandle(h)
	if ev, err := windows.WaitForSingleObject(h, 0); err == nil && ev == windows.WAIT_OBJECT_0 {
		return ErrGone
	}
	return f(h)
}

func creation(h windows.Handle) (windows.Filetime, error) {
	var created, exited, kernel, user windows.Filetime
	err := windows.GetProcessTimes(h, &created, &exited, &kernel, &user)
	return created, err
}

func startOf(pid int) (start string, err error) {
	err = withProcess(pid, func(h windows.Handle) error {
		t, err := creation(h)
		start = strconv.FormatUint(uint64(t.HighDateTime)<<32|uint64(t.LowDateTime), 10)
		return err
	})
	return start, err
}

func startTime(pid int) (t time.Time, err error) {
	err = withProcess(pid, func(h windows.Handle) error {
		ft, err := creation(h)
		t = time.Unix(0, ft.Nanoseconds())
		return err
	})
	return t, err
}

func parentOf(pid int) (int, error) {
	snap, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	defer windows.CloseHandle(snap)
	e := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(snap, &e); err == nil; err = windows.Process32Next(snap, &e) {
		if int(e.ProcessID) == pid {
			return int(e.ParentProcessID), nil
		}
	}
	return 0, ErrGone
}

func space() (boot, pidns string) { return "", "" }

// handle keeps the PID from being given to another process.
type handle windows.Handle

func openHandle(pid int) (handle, error) {
	h, err := windows.OpenProcess(access|windows.PROCESS_TERMINATE, false, uint32(pid))
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
		return 0, ErrGone
	}
	if err != nil {
		return 0, fmt.Errorf("open process %d: %w", pid, err)
	}
	return handle(h), nil
}

func (h handle) wait(id Identity, d time.Duration) error {
	ev, err := windows.WaitForSingleObject(windows.Handle(h), uint32(max(d, 0).Milliseconds()))
	switch {
	case err != nil:
		return fmt.Errorf("wait for process %d: %w", id.PID, err)
	case ev == uint32(windows.WAIT_TIMEOUT):
		return ErrTimeout
	}
	return nil
}

// terminate asks where somebody listens (see Asked). Who does not cannot be
// asked from outside his console, and is ended.
func (h handle) terminate(id Identity) error {
	name, err := askName(id)
	if err != nil {
		return err
	}
	ev, err := windows.OpenEvent(windows.EVENT_MODIFY_STATE, false, name)
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return h.kill(id)
	}
	if err == nil {
		err = windows.SetEvent(ev)
		windows.CloseHandle(ev)
	}
	if err != nil {
		return fmt.Errorf("ask process %d to end: %w", id.PID, err)
	}
	return nil
}

func (h handle) kill(id Identity) error {
	if err := windows.TerminateProcess(windows.Handle(h), 128+9); err != nil {
		if h.wait(id, 0) == nil {
			return nil
		}
		return fmt.Errorf("end process %d: %w", id.PID, err)
	}
	return nil
}

func (h handle) close() { windows.CloseHandle(windows.Handle(h)) }
