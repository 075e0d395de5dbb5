// Package capture takes a bot's output: into a log that is bounded, or through
// to our standard error, and the end of it for the event of its exit.
//
// Nothing here may hold up the bot. Its pipes are read by goroutines that touch
// memory only; between them and the one goroutine that writes stands a queue
// that is bounded in bytes. What does not fit, or cannot be written, is
// dropped, counted, and told where it is missing.
package capture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Config says what to keep.
type Config struct {
	// File is the log, an absolute path; "" passes standard error through to
	// Stderr instead, and leaves standard output alone.
	File string
	Size int64 // of the log in bytes, before the next one is begun; 0 is without end
	Keep int   // how many old ones stay; with 0 the log is emptied instead
	Time bool  // the time in front of each line
	Tail int   // how many bytes of the end of standard error
	Name string
	// Stderr is used without File.
	Stderr io.Writer
	// Warn is told, from any goroutine, of what is lost.
	Warn func(format string, args ...any)
}

// Capture writes the output of all runs of one bot. A nil one does nothing.
type Capture struct {
	cfg    Config
	queue  *queue
	writer *writer
	report *report

	mu   sync.Mutex // guards what follows, and what streams have read
	live map[*stream]bool
	shared
}

// readSize is in bytes; a pipe holds 64 KiB.
const readSize = 32 << 10

// Open starts to write. An error means that the log can never be written; one
// that has no room now is waited for.
func Open(cfg Config) (*Capture, error) {
	c := &Capture{cfg: cfg, live: map[*stream]bool{}}
	c.report = &report{warn: cfg.Warn}
	what := "standard error"
	to := cfg.Stderr
	if cfg.File != "" {
		what = "the log"
		f := newFile(cfg.File, cfg.Size, cfg.Keep, c.report)
		if err := f.open(); err != nil && !isFull(err) {
			return nil, fmt.Errorf("open the log: %w", err)
		}
		to = f
	}
	c.report.what = what
	c.queue = newQueue(c.note, c.report.slow)
	c.writer = startWriter(c.queue, to, c.report)
	return c, nil
}

// Note adds a line of our own to the log, which has no console beside it to
// tell why the bot was restarted.
func (c *Capture) Note(at time.Time, text string) {
	if c != nil && c.cfg.File != "" {
		c.queue.put(c.line(at, text))
	}
}

// Write passes our own words on to standard error, behind what the bot wrote
// there before. It is used without a log, and never blocks.
func (c *Capture) Write(p []byte) (int, error) {
	c.queue.put(p)
	return len(p), nil
}

// line is one of our own.
func (c *Capture) line(at time.Time, text string) []byte {
	if c.cfg.Time {
		return fmt.Appendf(nil, "%s %s: %s\n", at.UTC().Format(stampFormat), c.cfg.Name, text)
	}
	return fmt.Appendf(nil, "%s %s: %s\n", at.Local().Format(time.DateTime), c.cfg.Name, text)
}

// note stands in place of what was lost.
func (c *Capture) note(l loss) []byte { return c.line(time.Now(), "("+l.String()+" were lost here)") }

// stampFormat is RFC 3339 with milliseconds.
const stampFormat = "2006-01-02T15:04:05.000Z07:00"

// Close takes what is still in the pipes and waits until all is written, but
// not longer than limit. It returns what was lost and is not told yet.
func (c *Capture) Close(limit time.Duration) error {
	if c == nil {
		return nil
	}
	for _, s := range c.streams() {
		s.drain(time.Now().Add(drainLimit))
	}
	c.queue.close()
	select {
	case <-c.writer.done:
	case <-time.After(limit):
		return c.hangs()
	}
	return c.report.rest()
}

// hangs is the error of an end that is not written, with what is known of it.
// What is being written is not counted: some of that may be there.
func (c *Capture) hangs() error {
	l := c.queue.left()
	l.sum(c.report.left())
	text := c.report.what + " hangs, and its end is not written"
	if l != (loss{}) {
		text += fmt.Sprintf(": about %s were lost", l)
	}
	return errors.New(text)
}

func (c *Capture) streams() (all []*stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.live {
		all = append(all, s)
	}
	return all
}

// Streams are a bot's pipes in one run. A nil one does nothing.
type Streams struct {
	Stdout *os.File // nil when that is left alone
	Stderr *os.File
	all    []*stream
	tail   *tail
}

// Streams makes the pipes of the next run. Those of earlier runs are read on
// until nobody has them open: a process in the background may outlive its bot.
func (c *Capture) Streams() (s *Streams, err error) {
	s = &Streams{tail: newTail(c.cfg.Tail)}
	if c.cfg.File != "" { // first, so that the last words are those of standard error
		s.Stdout, err = c.pipe(s, nil)
	}
	if err == nil {
		s.Stderr, err = c.pipe(s, s.tail)
	}
	if err != nil {
		s.Release()
		return nil, err
	}
	return s, nil
}

func (c *Capture) pipe(s *Streams, t *tail) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	in := &stream{c: c, r: r, tail: t, done: make(chan struct{})}
	c.mu.Lock()
	c.live[in] = true
	c.mu.Unlock()
	s.all = append(s.all, in)
	go in.read()
	return w, nil
}

// Release gives up our copies of the child's ends, whether it was started or
// not: the end of a pipe is seen when nobody has it open.
func (s *Streams) Release() {
	if s == nil {
		return
	}
	for _, f := range []*os.File{s.Stdout, s.Stderr} {
		if f != nil {
			f.Close()
		}
	}
}

// drainLimit is for systems that cannot say whether a pipe is empty.
const drainLimit = 50 * time.Millisecond

// Tail takes all that was written before the call, ends a line that was begun,
// and returns the end of standard error as valid UTF-8.
func (s *Streams) Tail() string {
	if s == nil {
		return ""
	}
	deadline := time.Now().Add(drainLimit)
	for _, in := range s.all {
		in.drain(deadline)
	}
	c := s.all[0].c
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.tail.text()
}
