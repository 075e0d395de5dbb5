package main

import (
	"strings"

	"golang.org/x/sys/windows"
)

// openName is the file behind a standard stream of ours, "" if it has no name.
func openName(fd int) string {
	handle := windows.Stdout
	if fd == 2 {
		handle = windows.Stderr
	}
	var path [windows.MAX_LONG_PATH]uint16
	n, err := windows.GetFinalPathNameByHandle(handle, &path[0], uint32(len(path)), 0)
	if err != nil || n > uint32(len(path)) {
		return ""
	}
	return strings.TrimPrefix(windows.UTF16ToString(path[:n]), `\\?\`)
}
