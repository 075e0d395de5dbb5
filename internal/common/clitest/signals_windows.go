package clitest

import "ductor/internal/common/process"

// Running reports whether a process lives.
func Running(pid int) bool {
	_, err := process.Of(pid)
	return err == nil
}
