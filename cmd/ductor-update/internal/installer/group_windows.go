package installer

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"

	"ductor/internal/common/job"
)

// group is the job that holds the program and what comes of it: it ends with us,
// however we end.
type group struct{ job *job.Job }

func start(cmd *exec.Cmd) (group, error) {
	j, err := job.New()
	if err != nil {
		return group{}, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_SUSPENDED}
	cmd.Cancel = func() error { j.Kill(); return nil }
	if err := cmd.Start(); err != nil {
		j.Close()
		return group{}, err
	}
	if err := j.Adopt(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		j.Close()
		return group{}, err
	}
	return group{j}, nil
}

func (g group) end() { g.job.Close() }
