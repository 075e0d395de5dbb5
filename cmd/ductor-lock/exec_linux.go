package main

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// execKeepsLock: until Linux 5.11 the exec of a threaded program gave it a new
// file table, and the record locks stayed with the old one
// (commit 950db38ff2c0, "file: Implement close_fd" series: "exec: Simplify
// unshare_files").
func execKeepsLock() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	return atLeast(unix.ByteSliceToString(u.Release[:]), 5, 11)
}

// atLeast compares a kernel release such as "6.1.0-18-amd64".
func atLeast(release string, major, minor int) bool {
	parts := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) < 2 {
		return false
	}
	got, err1 := strconv.Atoi(parts[0])
	sub, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (got > major || got == major && sub >= minor)
}
