package job

import (
	"errors"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"ductor/internal/common/process"
)

// attachTime is how long a process may take from its start to its console. What
// is sent before that is lost.
const attachTime = time.Second

// AskGroup sends CTRL_BREAK to the group that the process leads. An error means
// that it reaches nobody: we have no console, or the leader does not share it.
// A leader that is gone may have left others, who are asked.
func AskGroup(leader int) error {
	for deadline := time.Now().Add(attachTime); ; time.Sleep(2 * time.Millisecond) {
		pids, err := onConsole()
		if err != nil {
			return err
		}
		_, gone := process.Of(leader)
		if slices.Contains(pids, uint32(leader)) || errors.Is(gone, process.ErrGone) {
			return Break(leader)
		}
		if time.Now().After(deadline) {
			return errors.New("it does not share our console")
		}
	}
}

var consoleProcesses = windows.NewLazySystemDLL("kernel32.dll").NewProc("GetConsoleProcessList")

// onConsole lists the processes on our console.
func onConsole() ([]uint32, error) {
	for pids := make([]uint32, 64); ; pids = make([]uint32, 2*len(pids)) {
		n, _, err := consoleProcesses.Call(uintptr(unsafe.Pointer(&pids[0])), uintptr(len(pids)))
		if n == 0 {
			return nil, os.NewSyscallError("GetConsoleProcessList", err)
		}
		if int(n) <= len(pids) {
			return pids[:n], nil
		}
	}
}
