package capture

import (
	"bytes"
	"os"
	"time"
	"unicode/utf8"
)

// maxLine is in bytes. A longer line is written in pieces of this length, so
// that one without an end cannot take all memory.
const maxLine = 64 << 10

// stream is our end of one pipe. Its fields are guarded by the Capture's lock.
type stream struct {
	c       *Capture
	r       *os.File
	tail    *tail  // of standard error
	partial []byte // the line that is not ended yet
	open    bool   // such a line was passed through already
	ended   bool   // nobody has the other end open
	done    chan struct{}
}

// add takes what was read. Whole lines go to the log, so that those of two
// streams are never mixed; to a terminal everything goes as it comes.
func (s *stream) add(data []byte) {
	s.tail.add(data)
	if s.c.cfg.File == "" {
		s.c.queue.put(data)
		s.open = len(data) > 0 && data[len(data)-1] != '\n'
		return
	}
	for len(data) > 0 {
		if len(s.partial) >= maxLine && data[0] != '\n' {
			s.cut()
		}
		n := bytes.IndexByte(data, '\n') + 1
		if n == 0 {
			n = len(data)
		}
		n = min(n, max(maxLine-len(s.partial), 1))
		s.partial = append(s.partial, data[:n]...)
		data = data[n:]
		if s.partial[len(s.partial)-1] == '\n' {
			s.put(s.partial)
			s.partial = s.partial[:0]
		}
	}
}

// cut writes a piece of a line that is too long, and never half a character.
func (s *stream) cut() {
	n := len(s.partial)
	for back := 1; back < utf8.UTFMax; back++ {
		if b := s.partial[n-back]; utf8.RuneStart(b) {
			if !utf8.FullRune(s.partial[n-back:]) {
				n -= back
			}
			break
		}
	}
	rest := bytes.Clone(s.partial[n:])
	s.put(append(s.partial[:n], '\n'))
	s.partial = append(s.partial[:0], rest...)
}

// put queues one line, with its time if that was asked for.
func (s *stream) put(line []byte) {
	if !s.c.cfg.Time {
		s.c.queue.put(line)
		return
	}
	stamped := time.Now().UTC().AppendFormat(make([]byte, 0, len(stampFormat)+1+len(line)), stampFormat)
	s.c.queue.put(append(append(stamped, ' '), line...))
}

// endLine ends a line that was begun.
func (s *stream) endLine() {
	if len(s.partial) > 0 {
		s.put(append(s.partial, '\n'))
		s.partial = nil
	}
	if s.open {
		s.c.queue.put([]byte{'\n'})
		s.open = false
	}
}

// finish is called by the reading goroutine at its end.
func (s *stream) finish() {
	s.c.mu.Lock()
	s.ended = true
	s.endLine()
	delete(s.c.live, s)
	s.c.mu.Unlock()
	s.r.Close()
	close(s.done)
}
