package job

import "golang.org/x/sys/windows"

// Break sends CTRL_BREAK to the group of our console that the process pid leads.
func Break(pid int) error {
	return windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(pid))
}
