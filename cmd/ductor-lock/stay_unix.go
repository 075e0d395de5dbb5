//go:build unix

package main

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"ductor/internal/common/exitcode"
)

// child is the command's process group.
type child struct {
	pgid     int
	terminal bool // the group was given our terminal
}

// listen subscribes to what a terminal, a shell or a supervisor sends to stop,
// reload or query a program. One that is ignored stays so, as under nohup.
func listen(c chan<- os.Signal) error {
	for _, s := range []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT} {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
	return nil
}

// startChild puts the command into its own group, so that a Ctrl-C reaches it
// once. If we own the terminal, the group gets it: a background group that
// reads it would be stopped.
func startChild(cmd *exec.Cmd) (*child, error) {
	fg, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	terminal := err == nil && fg == unix.Getpgrp()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: terminal, Ctty: 0}
	dieWithParent(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child{cmd.Process.Pid, terminal}, nil
}

func (c *child) forward(sig os.Signal) {
	// The leader is not reaped before close, or was a moment ago: a group
	// whose last process is gone answers ESRCH.
	_ = unix.Kill(-c.pgid, sig.(syscall.Signal))
}

// close takes the terminal back, which a background group may only do with
// SIGTTOU ignored.
func (c *child) close() {
	if c.terminal {
		signal.Ignore(unix.SIGTTOU)
		_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, unix.Getpgrp())
	}
}

func codeOf(s *os.ProcessState) int {
	if ws := s.Sys().(syscall.WaitStatus); ws.Signaled() {
		return exitcode.SignalBase + int(ws.Signal())
	}
	return s.ExitCode()
}
