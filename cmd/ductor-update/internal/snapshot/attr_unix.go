//go:build unix

package snapshot

import (
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setOwner gives a copy the owner of the original; only root may.
func setOwner(path string, info fs.FileInfo) error {
	if os.Geteuid() != 0 {
		return nil
	}
	now, err := os.Lstat(path)
	if err != nil {
		return err
	}
	want, have := info.Sys().(*syscall.Stat_t), now.Sys().(*syscall.Stat_t)
	if want.Uid == have.Uid && want.Gid == have.Gid {
		return nil
	}
	return os.Lchown(path, int(want.Uid), int(want.Gid))
}

// setLinkTime sets the time of a link itself, which os.Chtimes cannot.
func setLinkTime(path string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return nil // before or after what the system can express
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// sameDevice compares folders only: overlayfs gives each file the device of its
// layer.
func sameDevice(a, b fs.FileInfo) bool {
	return a.Sys().(*syscall.Stat_t).Dev == b.Sys().(*syscall.Stat_t).Dev
}
