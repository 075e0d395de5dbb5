package main

import "golang.org/x/sys/unix"

// totalMemory of this machine, in bytes; 0 if that is unknown.
func totalMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}
