package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// askName is the event by which a process is asked to end. It is global,
// because a task may run in another session than who asks.
func askName(id Identity) (*uint16, error) {
	return windows.UTF16PtrFromString(fmt.Sprintf(`Global\ductor-end-%d-%s`, id.PID, id.Start))
}

// Asked calls f each time that Terminate asks this process to end, for the rest
// of its life. It takes the place of SIGTERM, which Windows has not: a console
// event reaches only those who share a console. The system lets the same user
// and administrators ask, as with a signal.
func Asked(f func()) error {
	id, err := Of(os.Getpid())
	if err != nil {
		return err
	}
	name, err := askName(id)
	if err != nil {
		return err
	}
	ev, err := windows.CreateEvent(nil, 0, 0, name)
	if err != nil {
		return os.NewSyscallError("CreateEvent", err)
	}
	go func() {
		for {
			if got, err := windows.WaitForSingleObject(ev, windows.INFINITE); err != nil || got != windows.WAIT_OBJECT_0 {
				return
			}
			f()
		}
	}()
	return nil
}
