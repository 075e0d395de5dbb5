//go:build unix

package clitest

import (
	"os"
	"syscall"

	"ductor/internal/common/process"
)

func init() {
	signals["USR1"], signals["USR2"], signals["STOP"], signals["CONT"] = syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGSTOP, syscall.SIGCONT
}

func openConsole() {}

// Send sends a signal.
func Send(pid int, sig os.Signal) error { return syscall.Kill(pid, sig.(syscall.Signal)) }

// Running reports whether a process lives; a zombie does not.
func Running(pid int) bool {
	_, err := process.Of(pid)
	return err == nil
}

// CodeOf is a process's exit code, or 128+n as a shell has it.
func CodeOf(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}
