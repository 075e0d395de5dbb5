package atomicfile

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// nonblock: a pipe cannot stand in place of a file here.
const nonblock = 0

// rename tries for a second: a reader, a virus scanner or an indexer that has
// the target open makes MoveFileEx fail with a sharing violation, which passes.
func rename(from, to string) error {
	for delay := time.Millisecond; ; delay *= 2 {
		err := os.Rename(from, to)
		busy := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !busy || delay > 512*time.Millisecond {
			return err
		}
		time.Sleep(delay)
	}
}
