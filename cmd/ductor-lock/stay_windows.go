package main

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"

	"ductor/internal/common/process"
)

// child is the command's job: it ends with us, and so does all that is in it.
type child struct {
	job *process.Job
	pid uint32
}

func forwarded() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }

// startChild puts the command into a job before it has run an instruction.
func startChild(cmd *exec.Cmd) (*child, error) {
	job, err := process.NewJob()
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_SUSPENDED}
	if err := cmd.Start(); err != nil {
		job.Close()
		return nil, err
	}
	if err := job.Adopt(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		job.Close()
		return nil, err
	}
	return &child{job, uint32(cmd.Process.Pid)}, nil
}

// forward: a group of its own hears no Ctrl-C, so every signal becomes the
// CTRL_BREAK that it does hear.
func (c *child) forward(os.Signal) {
	_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, c.pid)
}

func (c *child) close() { c.job.Close() }

func codeOf(s *os.ProcessState) int { return s.ExitCode() }
