//go:build unix

package capture

import (
	"errors"
	"syscall"
)

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }

// moveAway has nothing to do: no open file keeps lumberjack from renaming it.
func (*file) moveAway() error { return nil }
