package capture

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// writer is the goroutine that may hang.
type writer struct {
	queue  *queue
	to     io.Writer
	report *report
	lost   loss // could not be written, and neither could the note about it
	done   chan struct{}
}

func startWriter(q *queue, to io.Writer, r *report) *writer {
	w := &writer{queue: q, to: to, report: r, done: make(chan struct{})}
	go w.run()
	return w
}

// spareSize is what is kept for the next batch; the memory of a burst is not.
const spareSize = 64 << 10

func (w *writer) run() {
	defer close(w.done)
	var spare []byte
	for {
		batch, dropped, ok := w.queue.take(spare)
		if !ok {
			break
		}
		w.report.lost(dropped)
		w.write(batch)
		if spare = batch[:0]; cap(spare) > spareSize {
			spare = nil
		}
	}
	if c, ok := w.to.(*file); ok {
		c.close()
	}
}

// write writes a batch, and before it what stands in place of an earlier one.
func (w *writer) write(batch []byte) {
	if w.lost != (loss{}) {
		if _, err := w.to.Write(w.queue.note(w.lost)); err != nil {
			w.fail(batch, err)
			return
		}
		w.lost = loss{}
	}
	if n, err := w.to.Write(batch); err != nil {
		w.fail(batch[n:], err)
		return
	}
	w.report.well()
}

func (w *writer) fail(rest []byte, err error) {
	var l loss
	l.add(rest)
	w.lost.sum(l)
	w.report.lost(l)
	w.report.failed(err)
}

// report tells the supervisor what is lost: that it begins, and how much it
// was when it is over. A disk that is full by turns is no reason to fill the
// events as well, so each is told once in a while, and sums up.
type report struct {
	what string
	warn func(format string, args ...any)

	mu     sync.Mutex
	untold loss
	reason error
	told   map[string]time.Time
}

// errSlow is the reason when nothing failed.
var errSlow = errors.New("it was not written as fast as it came")

// tellAgain is the least time between two warnings of a kind.
const tellAgain = time.Minute

// tell needs the lock.
func (r *report) tell(kind, format string, args ...any) bool {
	now := time.Now()
	if last, before := r.told[kind]; before && now.Sub(last) < tellAgain {
		return false
	}
	if r.told == nil {
		r.told = map[string]time.Time{}
	}
	r.told[kind] = now
	r.warn(format, args...)
	return true
}

func (r *report) lost(l loss) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.untold.sum(l)
}

// slow: nothing was taken for longer than anybody may wait.
func (r *report) slow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reason = errSlow
	r.tell("slow", "%s takes nothing any more, and the bot's output is dropped until it does", r.what)
}

func (r *report) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reason = err
	r.tell("failed", "%s cannot be written, and the bot's output is dropped until it can: %v", r.what, err)
}

// trouble is what does not lose anything.
func (r *report) trouble(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell("trouble", "%v", err)
}

// well: something was written.
func (r *report) well() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.untold != (loss{}) && r.tell("lost", "%s", r.sum()) {
		r.untold, r.reason = loss{}, nil
	}
}

func (r *report) sum() string {
	reason := r.reason
	if reason == nil {
		reason = errSlow
	}
	return fmt.Sprintf("%s of the bot's output were lost: %v", r.untold, reason)
}

func (r *report) left() loss {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.untold
}

// rest is what was not told.
func (r *report) rest() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.untold == (loss{}) {
		return nil
	}
	return errors.New(r.sum())
}
