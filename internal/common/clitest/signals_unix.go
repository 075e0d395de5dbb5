//go:build unix

package clitest

import (
	"syscall"

	"ductor/internal/common/process"
)

func init() {
	signals["USR1"], signals["USR2"], signals["STOP"], signals["CONT"] = syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGSTOP, syscall.SIGCONT
}

// Running reports whether a process lives; a zombie does not.
func Running(pid int) bool {
	_, err := process.Of(pid)
	return err == nil
}
