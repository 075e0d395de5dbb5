//go:build unix

package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// outputGone is closed when nobody can read what we would write: the end of a
// pipeline is not noticed otherwise before there is something to write.
func outputGone(w io.Writer) <-chan struct{} {
	gone := make(chan struct{})
	f, ok := w.(*os.File)
	if !ok { // as in a test
		return gone
	}
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	go func() {
		for {
			n, err := unix.Poll(fds, -1)
			if n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
				close(gone)
				return
			}
			if err != unix.EINTR {
				return
			}
		}
	}()
	return gone
}
