package main

import (
	"bytes"
	"syscall"
	"unsafe"
)

// openName is the file behind a descriptor of ours, "" if it has no name.
func openName(fd int) string {
	var path [1024]byte // MAXPATHLEN, which fcntl(2) asks for
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETPATH, uintptr(unsafe.Pointer(&path[0]))); errno != 0 {
		return ""
	}
	name, _, _ := bytes.Cut(path[:], []byte{0})
	return string(name)
}
