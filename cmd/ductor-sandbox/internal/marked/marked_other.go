//go:build !linux

package marked

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// List works where the container is, on Linux.
func List(string) (map[string][]int, error) { return nil, unsupported() }

// Kill works where the container is, on Linux.
func Kill(string, string, syscall.Signal, time.Duration) (left, killed int, err error) {
	return 0, 0, unsupported()
}

func unsupported() error {
	return fmt.Errorf("look for processes on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
