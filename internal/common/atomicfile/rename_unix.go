//go:build unix

package atomicfile

import (
	"os"
	"syscall"
)

// nonblock keeps a pipe in place of a file from hanging its reader.
const nonblock = syscall.O_NONBLOCK

func rename(from, to string) error { return os.Rename(from, to) }
