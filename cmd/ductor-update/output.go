package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"ductor/cmd/ductor-update/internal/index"
)

// maxTail bounds what is kept of the end of an installer's output, in bytes.
const maxTail = 4 << 10

// output passes on what an installer says and keeps the end of it. On a terminal
// there is a line below it that says what is being done, and for how long.
// Who reads us may be gone, as a bot is that we have restarted, or may not read:
// no write fails, and none waits.
type output struct {
	mu     sync.Mutex
	queue  chan []byte
	done   chan struct{} // the queue is written
	live   bool          // on a terminal
	tail   []byte
	doing  string
	since  time.Time
	shown  bool
	inLine bool // what was written last has no line end yet
	stop   chan struct{}
}

func newOutput(to io.Writer, getenv func(string) string) *output {
	f, ok := to.(*os.File)
	o := &output{queue: make(chan []byte, 4096), done: make(chan struct{}), live: ok && isTerminal(f) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb", stop: make(chan struct{})}
	go func() {
		defer close(o.done)
		for p := range o.queue {
			_, _ = to.Write(p)
		}
	}()
	if o.live {
		go o.tick(o.stop)
	}
	return o
}

// send drops what a reader who does not read has no room for.
func (o *output) send(p []byte) {
	if o.stop == nil { // closed
		return
	}
	select {
	case o.queue <- p:
	default:
	}
}

func (o *output) tick(stop <-chan struct{}) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			o.mu.Lock()
			o.draw()
			o.mu.Unlock()
		case <-stop:
			return
		}
	}
}

// begin says what is done from now on; the tail begins anew.
func (o *output) begin(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.doing, o.since, o.tail = fmt.Sprintf(format, args...), time.Now(), nil
	o.draw()
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.erase()
	o.send(plain(p))
	if len(p) > 0 {
		o.inLine = p[len(p)-1] != '\n'
	}
	o.tail = append(o.tail, p...)
	if len(o.tail) > 2*maxTail {
		o.tail = bytes.Clone(o.tail[len(o.tail)-maxTail:])
	}
	o.draw()
	return len(p), nil
}

// notes are our own words, which are not the installer's.
type notes struct{ *output }

func (n notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.erase()
	n.send(bytes.Clone(p))
	n.draw()
	return len(p), nil
}

func (o *output) draw() {
	if o.live && o.doing != "" && !o.inLine {
		o.send(fmt.Appendf(nil, "\r\x1b[K[%s] %s", time.Since(o.since).Round(time.Second), safe(o.doing)))
		o.shown = true
	}
}

func (o *output) erase() {
	if o.shown {
		o.send([]byte("\r\x1b[K"))
		o.shown = false
	}
}

// close takes the line away, and waits a moment for who reads us.
func (o *output) close() {
	o.mu.Lock()
	o.erase()
	if o.doing = ""; o.stop != nil {
		close(o.stop)
		close(o.queue)
		o.stop = nil
	}
	o.mu.Unlock()
	select {
	case <-o.done:
	case <-time.After(time.Second):
	}
}

// plain is a copy without what steers a terminal: an installer shows what an
// index says.
func plain(p []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' && r != '\r' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, p)
}

// end is the tail, safe to print.
func (o *output) end() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return index.Clean(string(o.tail[max(0, len(o.tail)-maxTail):]), true, maxTail)
}
