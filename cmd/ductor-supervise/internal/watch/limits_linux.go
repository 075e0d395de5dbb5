package watch

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const (
	maxWatches   = "fs.inotify.max_user_watches"
	maxInstances = "fs.inotify.max_user_instances"
)

func limitText(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return "too many watchers of this user (sysctl " + maxInstances + ")"
	case errors.Is(err, syscall.ENOSPC):
		return "too many watched folders of this user (sysctl " + maxWatches + ")"
	}
	return ""
}

// remedy is a command that gives room for twice as many.
func remedy(err error, folders int) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return fmt.Sprintf("sysctl %s=%d", maxInstances, max(512, 2*sysctl(maxInstances)))
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Sprintf("sysctl %s=%d", maxWatches, max(524288, 2*sysctl(maxWatches), 2*folders))
	}
	return ""
}

// sysctl reads a number, or returns 0.
func sysctl(name string) int {
	data, _ := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	n, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return n
}

// watchAbove: folders above a root are a handful of watches.
const watchAbove = true

// crowded never is: a watch costs no descriptor.
func crowded(int) error { return nil }

// watchLimit is how many folders one user can watch, 0 if that is not known.
func watchLimit() (n int, name string) { return sysctl(maxWatches), "sysctl " + maxWatches }
