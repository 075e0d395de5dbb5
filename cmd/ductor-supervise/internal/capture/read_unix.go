//go:build unix

package capture

import (
	"errors"
	"syscall"
	"time"
)

// shared is one buffer for all streams: each is read under the lock, and only
// when it has something.
type shared struct{ buf []byte }

func (s *shared) buffer() []byte {
	if s.buf == nil {
		s.buf = make([]byte, readSize)
	}
	return s.buf
}

// maxDrain bounds what is taken of a pipe into which somebody else goes on
// writing, in bytes: no pipe holds more without privilege (pipe(7)).
const maxDrain = 1 << 20

// read takes what comes until nobody has the other end open.
func (s *stream) read() {
	defer s.finish()
	conn, err := s.r.SyscallConn()
	for more := true; more && err == nil; {
		s.c.queue.wait()
		err = conn.Read(func(fd uintptr) bool {
			var n int
			n, more = s.step(int(fd))
			return n > 0 || !more
		})
	}
}

// step reads once, without waiting, and takes what it got under the same lock:
// whoever has that knows that nothing is on its way. It reports whether there
// may come more.
func (s *stream) step(fd int) (n int, more bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.ended {
		return 0, false
	}
	buf := s.c.buffer()
	n, err := syscall.Read(fd, buf)
	switch {
	case n > 0:
		s.add(buf[:n])
		return n, true
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, true
	}
	s.ended = true
	return 0, false
}

// drain takes what is in the pipe now.
func (s *stream) drain(time.Time) {
	if conn, err := s.r.SyscallConn(); err == nil {
		// An error means that the end was met, and everything taken.
		_ = conn.Control(func(fd uintptr) {
			for sum := 0; sum < maxDrain; {
				n, _ := s.step(int(fd))
				if n <= 0 {
					return
				}
				sum += n
			}
		})
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.endLine()
}
