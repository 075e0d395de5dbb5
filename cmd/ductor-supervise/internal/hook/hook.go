// Package hook runs a shell command on the side, for a bounded time.
package hook

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"ductor/internal/common/process"
)

// Spec says what to run and how long at most.
type Spec struct {
	Command string // for the shell: /bin/sh -c, or cmd.exe /c
	Env     []string
	Dir     string // "" is ours
	Input   []byte // its standard input
	Timeout time.Duration
	Grace   time.Duration // between TERM and KILL when it is ended
}

// maxTail bounds what is kept of the end of its output, in bytes.
const maxTail = 4 << 10

// outputWait is how long the output is waited for that something has open which
// the command left behind.
const outputWait = 200 * time.Millisecond

// Result is how it ended.
type Result struct {
	Code     int       // the exit code, or 128+n
	Signal   os.Signal // nil if it exited
	TimedOut bool
	Runtime  time.Duration
	Tail     string // the end of its output, both streams
	Err      error  // it could not be run at all
}

// OK reports whether it succeeded.
func (r Result) OK() bool { return r.Err == nil && r.Code == 0 && !r.TimedOut }

// Hook is a command that runs.
type Hook struct {
	PID  int
	done chan Result
	cmd  *exec.Cmd
	spec Spec
	tail tail
	group

	mu    sync.Mutex
	over  bool // it has ended, and its number may soon be somebody else's
	asked int  // how often it was told to end
	late  bool
}

// Start runs the command in a process group of its own. The caller owns the
// moment at which it becomes our child; its end is taken here.
func Start(s Spec) (*Hook, error) {
	cmd := shell(s.Command)
	cmd.Env, cmd.Dir, cmd.WaitDelay = s.Env, s.Dir, outputWait
	cmd.Stdin = bytes.NewReader(s.Input)
	h := &Hook{done: make(chan Result, 1), cmd: cmd, spec: s}
	cmd.Stdout = &h.tail
	cmd.Stderr = &h.tail
	began := time.Now()
	if err := h.start(cmd); err != nil {
		return nil, err
	}
	h.PID = cmd.Process.Pid
	limit := time.AfterFunc(s.Timeout, func() { h.end(true) })
	go func() {
		h.await()
		limit.Stop()
		h.deliver(began, cmd.Wait())
	}()
	return h, nil
}

// Done delivers, once, how it ended.
func (h *Hook) Done() <-chan Result { return h.done }

// End asks it to end, and kills it after the grace; the second call kills it
// at once. What it left in its group ends with it.
func (h *Hook) End() { h.end(false) }

func (h *Hook) end(late bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	h.asked++
	h.late = h.late || late
	if h.asked > 1 {
		h.kill()
		return
	}
	h.terminate()
	time.AfterFunc(h.spec.Grace, h.End)
}

// await returns when the process has ended, which leaves it a zombie: as long
// as it is one, its number and its group's are its own.
func (h *Hook) await() {
	if id, err := process.Of(h.PID); err == nil {
		if handle, err := process.Open(id); err == nil {
			for errors.Is(handle.Wait(time.Hour), process.ErrTimeout) {
			}
			handle.Close()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	if h.asked > 0 {
		h.kill()
	}
}

func (h *Hook) deliver(began time.Time, err error) {
	h.close()
	r := Result{Runtime: time.Since(began), Tail: h.tail.String(), TimedOut: h.late}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) && h.cmd.ProcessState == nil {
		r.Err = err
	}
	if state := h.cmd.ProcessState; state != nil {
		r.Code, r.Signal = ended(state)
	}
	h.done <- r
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p[max(0, len(p)-maxTail):]...)
	if n := len(t.data) - maxTail; n > 0 {
		t.data = append(t.data[:0], t.data[n:]...)
	}
	return len(p), nil
}

// String is valid text, from a line's beginning if anything was cut off.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	data := t.data
	if len(data) == maxTail {
		if _, rest, ok := bytes.Cut(data, []byte("\n")); ok && len(rest) > 0 {
			data = rest
		}
	}
	return strings.ToValidUTF8(string(data), "?")
}
