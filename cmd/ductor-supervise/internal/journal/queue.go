package journal

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// Queue writes lines to w from a goroutine of its own: a terminal that was
// stopped, or a pipe that nobody reads, must never stop a supervisor. What
// does not fit is dropped and counted.
type Queue struct {
	w       io.Writer
	lost    string // format of the note about dropped lines; "" for none
	lines   chan []byte
	dropped atomic.Int64
	done    chan struct{}
}

// queueLength is in lines; a supervisor writes a few a restart.
const queueLength = 1024

// NewQueue starts the goroutine. lost is a format with one number, for the note
// that stands in place of dropped lines; "" leaves it to sequence numbers.
func NewQueue(w io.Writer, lost string) *Queue {
	q := &Queue{w: w, lost: lost, lines: make(chan []byte, queueLength), done: make(chan struct{})}
	go q.run()
	return q
}

func (q *Queue) run() {
	defer close(q.done)
	for line := range q.lines {
		_, _ = q.w.Write(line)
	}
	if note := q.note(); note != nil {
		_, _ = q.w.Write(note)
	}
}

// note is the text in place of the lines that were dropped since the last one.
func (q *Queue) note() []byte {
	n := q.dropped.Load()
	if n == 0 || q.lost == "" {
		return nil
	}
	return fmt.Appendf(nil, q.lost, n)
}

// Write queues a copy of line and never blocks or fails. One goroutine may
// call it.
func (q *Queue) Write(line []byte) (int, error) {
	select {
	case q.lines <- append(q.note(), line...):
		q.dropped.Store(0)
	default:
		q.dropped.Add(1)
	}
	return len(line), nil
}

// Close, the last call, waits for what is queued, but not longer than limit.
func (q *Queue) Close(limit time.Duration) {
	close(q.lines)
	select {
	case <-q.done:
	case <-time.After(limit):
	}
}
