//go:build unix

package hook

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

func shell(command string) *exec.Cmd { return exec.Command("/bin/sh", "-c", command) }

// group is the process group that the shell leads.
type group struct{}

func (h *Hook) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd.Start()
}

func (h *Hook) terminate() {
	_ = unix.Kill(-h.PID, unix.SIGTERM)
	_ = unix.Kill(-h.PID, unix.SIGCONT)
}

func (h *Hook) kill() { _ = unix.Kill(-h.PID, unix.SIGKILL) }

func (*group) close() {}

func ended(state *os.ProcessState) (int, os.Signal) {
	ws, ok := state.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return 128 + int(ws.Signal()), ws.Signal()
	}
	return state.ExitCode(), nil
}
