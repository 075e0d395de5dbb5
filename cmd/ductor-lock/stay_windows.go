package main

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/windows"

	"ductor/internal/common/job"
	"ductor/internal/common/process"
)

// child is the command's job: it ends with us, and so does all that is in it.
type child struct {
	job *job.Job
	pid int
}

// listen also hears ductor-lock kill, which has no signal to send.
func listen(c chan<- os.Signal) error {
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	return process.Asked(func() { c <- syscall.SIGTERM })
}

// startChild puts the command into a job before it has run an instruction.
func startChild(cmd *exec.Cmd) (*child, error) {
	j, err := job.New()
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_SUSPENDED}
	if err := cmd.Start(); err != nil {
		j.Close()
		return nil, err
	}
	if err := j.Adopt(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		j.Close()
		return nil, err
	}
	return &child{j, cmd.Process.Pid}, nil
}

// forward: a group of its own hears no Ctrl-C, so every signal becomes the
// CTRL_BREAK that it does hear. If that can reach nobody, the command ends at
// once: it would never learn that it should.
func (c *child) forward(os.Signal) {
	if job.AskGroup(c.pid) != nil {
		c.job.Kill()
	}
}

func (c *child) close() { c.job.Close() }

func codeOf(s *os.ProcessState) int { return s.ExitCode() }
