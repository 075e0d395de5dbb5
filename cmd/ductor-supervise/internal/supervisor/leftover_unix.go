//go:build unix

package supervisor

import "golang.org/x/sys/unix"

// endGroup signals the group that the live, identified process pid leads,
// unless that is our own: a new supervisor may have been started from the tree
// of the dead one.
func endGroup(pid int, now bool) {
	if pgid, err := unix.Getpgid(pid); err != nil || pgid != pid || pgid == unix.Getpgrp() {
		return
	}
	if now {
		_ = unix.Kill(-pid, unix.SIGKILL)
		return
	}
	_ = unix.Kill(-pid, unix.SIGTERM)
	_ = unix.Kill(-pid, unix.SIGCONT)
}
