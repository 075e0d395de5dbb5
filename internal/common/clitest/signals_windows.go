package clitest

import (
	"os"

	"ductor/internal/common/process"
)

// Running reports whether a process lives.
func Running(pid int) bool {
	_, err := process.Of(pid)
	return err == nil
}

// CodeOf is a process's exit code.
func CodeOf(s *os.ProcessState) int { return s.ExitCode() }
