package capture

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// Bounds of a queue, in bytes, and how long one who reads may wait for it.
const (
	// softLimit is where readers begin to wait: a disk that works must not
	// lose a line only because this process was not scheduled.
	softLimit = 1 << 20
	// hardLimit is where everything is dropped. What lies between is for those
	// who cannot wait: the end of a run.
	hardLimit = 2 << 20
	// patience is for how long the bot may be held up, once, by a disk or a
	// reader that takes nothing. After that it is dropped until something is taken.
	patience = 100 * time.Millisecond
)

// loss is how much was dropped.
type loss struct{ lines, bytes int64 }

func (l *loss) add(p []byte) {
	l.lines += int64(bytes.Count(p, []byte{'\n'}))
	l.bytes += int64(len(p))
}

func (l *loss) sum(m loss) { l.lines += m.lines; l.bytes += m.bytes }

func (l loss) String() string { return fmt.Sprintf("%d lines, %d bytes", l.lines, l.bytes) }

// queue stands between those who read and the one who writes.
type queue struct {
	note     func(loss) []byte // what stands in place of dropped lines
	slow     func()            // called when patience has ended
	patience time.Duration

	mu      sync.Mutex
	pending []byte
	dropped loss // since the last note
	noted   loss // in notes that are pending
	torn    bool // what was queued last has no end of a line
	full    bool // nobody waits any more
	closed  bool
	work    chan struct{} // something is pending
	room    chan struct{} // closed when that was taken; nil while nobody waits
}

func newQueue(note func(loss) []byte, slow func()) *queue {
	return &queue{note: note, slow: slow, patience: patience, work: make(chan struct{}, 1)}
}

// put queues p as a whole, or drops it, and never waits.
func (q *queue) put(p []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full || q.closed || len(q.pending)+len(p) > hardLimit {
		q.dropped.add(p)
		return
	}
	q.settle()
	q.pending = append(q.pending, p...)
	q.torn = len(p) > 0 && p[len(p)-1] != '\n'
	if len(q.work) == 0 {
		q.wake()
	}
}

// settle puts the note about what was dropped.
func (q *queue) settle() {
	if q.dropped == (loss{}) {
		return
	}
	if q.torn {
		q.pending = append(q.pending, '\n')
		q.torn = false
	}
	q.pending = append(q.pending, q.note(q.dropped)...)
	q.noted.sum(q.dropped)
	q.dropped = loss{}
}

func (q *queue) wake() {
	select {
	case q.work <- struct{}{}:
	default:
	}
}

// wait lets a reader wait for room, within bounds.
func (q *queue) wait() {
	q.mu.Lock()
	if len(q.pending) < softLimit || q.full || q.closed {
		q.mu.Unlock()
		return
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	room := q.room
	q.mu.Unlock()
	timer := time.NewTimer(q.patience)
	defer timer.Stop()
	select {
	case <-room:
		return
	case <-timer.C:
	}
	q.mu.Lock()
	late := q.room == room && !q.full
	q.full = q.full || late
	q.mu.Unlock()
	if late {
		q.slow()
	}
}

// take waits for something and returns all of it, and how much is missing in
// it; spare is used for what comes next. It returns false at the end.
func (q *queue) take(spare []byte) (batch []byte, lost loss, ok bool) {
	for {
		q.mu.Lock()
		q.settle()
		if len(q.pending) > 0 {
			defer q.mu.Unlock()
			batch, lost = q.pending, q.noted
			q.pending, q.noted, q.full = spare[:0], loss{}, false
			if q.room != nil {
				close(q.room)
				q.room = nil
			}
			return batch, lost, true
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return nil, loss{}, false
		}
		<-q.work
	}
}

// left is what nobody has taken, and what never got in.
func (q *queue) left() (l loss) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.add(q.pending)
	l.sum(q.noted)
	l.sum(q.dropped)
	return l
}

// close lets the writer end when all is written.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
	q.wake()
}
