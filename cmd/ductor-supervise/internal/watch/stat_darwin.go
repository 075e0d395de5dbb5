package watch

import (
	"os"
	"syscall"
	"time"
)

// changed is when a file was written, or came to its name: what is moved into
// place may have an old time of writing.
func changed(info os.FileInfo) time.Time {
	at := info.ModTime()
	if st, _ := info.Sys().(*syscall.Stat_t); st != nil {
		if c := time.Unix(st.Ctimespec.Unix()); c.After(at) {
			return c
		}
	}
	return at
}
