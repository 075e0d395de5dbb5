package watch

import (
	"errors"
	"syscall"
)

func limitText(err error) string {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, errCrowded) {
		return "too many files and folders, of which each costs a descriptor (sysctl kern.maxfilesperproc)"
	}
	return ""
}

func remedy(err error, _ int) string {
	if errors.Is(err, syscall.ENFILE) {
		return "sysctl kern.maxfiles=524288"
	}
	return "sysctl kern.maxfilesperproc=262144"
}

// crowded keeps half of our descriptors for other uses: kqueue opens each file
// in a watched folder.
func crowded(entries int) error {
	if n, _ := watchLimit(); n > 0 && entries > n {
		return errCrowded
	}
	return nil
}

// watchAbove: each file in /, and in the home, would be opened.
const watchAbove = false

func watchLimit() (n int, name string) {
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) != nil {
		return 0, ""
	}
	return int(min(lim.Cur, 1<<30) / 2), "half of ulimit -n"
}
