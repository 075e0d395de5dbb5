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
// Who reads us may be gone, as a bot is that we have restarted: no write fails.
type output struct {
	mu     sync.Mutex
	to     io.Writer
	live   bool // on a terminal
	tail   []byte
	doing  string
	since  time.Time
	shown  bool
	inLine bool // what was written last has no line end yet
	stop   chan struct{}
}

func newOutput(to io.Writer, getenv func(string) string) *output {
	f, ok := to.(*os.File)
	o := &output{to: to, live: ok && isTerminal(f) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb", stop: make(chan struct{})}
	if o.live {
		go o.tick()
	}
	return o
}

func (o *output) tick() {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			o.mu.Lock()
			o.draw()
			o.mu.Unlock()
		case <-o.stop:
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
	_, _ = o.to.Write(p)
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

func (o *output) draw() {
	if o.live && o.doing != "" && !o.inLine {
		fmt.Fprintf(o.to, "\r\x1b[K[%s] %s", time.Since(o.since).Round(time.Second), safe(o.doing))
		o.shown = true
	}
}

func (o *output) erase() {
	if o.shown {
		_, _ = io.WriteString(o.to, "\r\x1b[K")
		o.shown = false
	}
}

// close takes the line away.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.doing = ""; o.stop != nil {
		close(o.stop)
		o.stop = nil
	}
	o.erase()
}

// end is the tail, safe to print.
func (o *output) end() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return index.Clean(string(o.tail[max(0, len(o.tail)-maxTail):]), true, maxTail)
}
