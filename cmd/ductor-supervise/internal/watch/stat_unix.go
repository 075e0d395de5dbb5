//go:build unix

package watch

import (
	"os"
	"syscall"
)

// inode tells a file from another that has taken its name.
func inode(info os.FileInfo) uint64 {
	st, _ := info.Sys().(*syscall.Stat_t)
	if st == nil {
		return 0
	}
	return st.Ino
}
