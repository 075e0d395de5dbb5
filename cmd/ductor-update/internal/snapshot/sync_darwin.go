package snapshot

import (
	"golang.org/x/sys/unix"

	"ductor/internal/common/exitcode"
)

// Sync flushes every file system: macOS has no call for one. It may return
// before all is written; the flush of the drive that comes with the manifest
// (F_FULLFSYNC) then waits for what has reached the drive.
func Sync(path string) error {
	if err := unix.Sync(); err != nil {
		return fail(exitcode.IOErr, "flush", path, err)
	}
	return nil
}
