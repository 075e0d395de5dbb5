//go:build unix

package installer

import (
	"os/exec"
	"syscall"
)

type group struct{}

// start makes the program lead a group, which is asked to end as a whole.
func start(cmd *exec.Cmd) (group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	return group{}, cmd.Start()
}

// end does nothing: the number of the group may be another's by now. End finds
// what is left.
func (group) end() {}
