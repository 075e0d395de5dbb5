package main

import (
	"os"
	"strconv"
)

// openName is the file behind a descriptor of ours, "" if it has no name.
func openName(fd int) string {
	name, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return name
}
