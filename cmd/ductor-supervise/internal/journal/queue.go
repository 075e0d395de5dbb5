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
		if n := q.dropped.Swap(0); n > 0 && q.lost != "" {
			fmt.Fprintf(q.w, q.lost, n)
		}
		_, _ = q.w.Write(line)
	}
}

// Write queues a copy of line and never blocks or fails.
func (q *Queue) Write(line []byte) (int, error) {
	select {
	case q.lines <- append([]byte(nil), line...):
	default:
		q.dropped.Add(1)
	}
	return len(line), nil
}

// Close waits for what is queued, but not longer than limit.
func (q *Queue) Close(limit time.Duration) {
	close(q.lines)
	select {
	case <-q.done:
	case <-time.After(limit):
	}
}
