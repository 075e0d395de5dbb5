package capture

import "time"

// shared is nothing here: each stream waits in a buffer of its own.
type shared struct{}

func (shared) buffer() []byte { return make([]byte, readSize) }

// read takes what comes until nobody has the other end open. It stays in
// ReadFile, and PeekNamedPipe would wait for the end of that.
func (s *stream) read() {
	defer s.finish()
	buf := s.c.buffer()
	for {
		s.c.queue.wait()
		n, err := s.r.Read(buf)
		s.c.mu.Lock()
		s.add(buf[:n])
		s.c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// drain waits for the end of the pipe, which comes at once unless somebody
// else has it open.
func (s *stream) drain(deadline time.Time) {
	select {
	case <-s.done:
	case <-time.After(time.Until(deadline)):
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.endLine()
}
