//go:build unix

package backend

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalName is SIGKILL for 9.
func signalName(n int) string {
	if name := unix.SignalName(syscall.Signal(n)); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", n)
}
