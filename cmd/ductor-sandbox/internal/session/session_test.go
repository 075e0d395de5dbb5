//go:build linux

package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/pkg/stdcopy"
	"go.uber.org/goleak"

	"ductor/internal/common/clitest"
)

func TestMain(m *testing.M) {
	drain, settle, lookAt, callMax = 100*time.Millisecond, time.Second, 20*time.Millisecond, 3*time.Second
	goleak.VerifyTestMain(m)
}

// run is a session with all that can be seen of it.
type run struct {
	*Session
	d        *daemon
	out, err bytes.Buffer
	kills    atomic.Int32
}

func newRun(t *testing.T, p play) *run {
	t.Helper()
	if p.inspect == nil {
		p.inspect = []answer{ended(0)}
	}
	r := &run{d: newDaemon(t, p)}
	r.Session = &Session{Client: r.d.client, Container: "box", Argv: []string{"cmd", "arg"}, Env: []string{"A=b"}, Dir: "/dir", Stdout: &r.out, Stderr: &r.err}
	r.kill(func(context.Context) (int, error) { t.Error("Kill was called"); return 0, nil })
	return r
}

func (r *run) kill(f func(ctx context.Context) (int, error)) {
	r.Kill = func(ctx context.Context) (int, error) { r.kills.Add(1); return f(ctx) }
}

// must runs it, and fails the test if that does not end.
func (r *run) must(t *testing.T, ctx context.Context) (Result, error) {
	t.Helper()
	type outcome struct {
		r   Result
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		got, err := r.Run(ctx)
		done <- outcome{got, err}
	}()
	select {
	case o := <-done:
		return o.r, o.err
	case <-time.After(clitest.Patience):
		t.Fatal("Run does not end")
		panic("unreachable")
	}
}

func TestEnd(t *testing.T) {
	before, after := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	lives := box("running", before)
	for _, tt := range []struct {
		name string
		play play
		want Result // its Detail is a part
		out  string
	}{
		{"exit", play{stream: prints("text"), inspect: []answer{ended(3)}}, Result{Reason: Exit, Code: 3}, "text"},
		{"success", play{inspect: []answer{ended(0)}}, Result{Reason: Exit}, ""},
		{"runs on for a moment after the end of the stream", play{stream: prints("text"), inspect: []answer{running(42), running(42), running(42), ended(4)}}, Result{Reason: Exit, Code: 4}, "text"},
		{"is just being started at the end of the stream", play{inspect: []answer{running(0), running(42), ended(4)}}, Result{Reason: Exit, Code: 4}, ""},
		{"runs on for ever", play{inspect: []answer{running(42)}}, Result{Reason: Lost, Code: 71, Left: true, Detail: ""}, ""},
		{"a stream that is no stream", play{stream: func(_ *daemon, c *net.UnixConn) { _, _ = io.WriteString(c, "not a frame") }, inspect: []answer{running(42)}}, Result{Reason: Lost, Code: 71, Left: true, Detail: ""}, ""},
		{"the exec is gone", play{stream: prints("text"), inspect: []answer{{status: 404}}}, Result{Reason: Lost, Code: 71, Left: true, Detail: "404"}, "text"},
		{"the daemon cannot say", play{inspect: []answer{{status: 500}}}, Result{Reason: Lost, Code: 71, Left: true, Detail: "500"}, ""},
		{"the daemon does not say", play{inspect: []answer{{status: hung}}}, Result{Reason: Lost, Code: 71, Left: true, Detail: "deadline"}, ""},
		{"the daemon is gone", play{stream: func(d *daemon, c *net.UnixConn) { prints("text")(d, c); d.die() }}, Result{Reason: Lost, Code: 71, Left: true, Detail: "daemon"}, "text"},
		{"the stream stays open", play{stream: holds("text"), inspect: []answer{running(42), running(42), ended(5)}}, Result{Reason: Exit, Code: 5}, "text"},
		{"the stream stays open, and the exec is gone", play{stream: holds("text"), inspect: []answer{running(42), {status: 404}}}, Result{Reason: Lost, Code: 71, Left: true, Detail: "404"}, "text"},

		{"was never started", play{inspect: []answer{unborn(0)}}, Result{Reason: NotStarted, Code: 126}, ""},
		{"the start is refused", play{refuse: 500, inspect: []answer{unborn(0)}}, Result{Reason: NotStarted, Code: 126, Detail: "received 500"}, ""},
		{"the start is refused, and the exec is gone", play{refuse: 500, inspect: []answer{{status: 404}}}, Result{Reason: Lost, Code: 71, Left: true, Detail: "404"}, ""},
		{"the start is not answered, and has not happened yet", play{refuse: hung, inspect: []answer{unborn(0)}}, Result{Reason: Lost, Code: 71, Left: true, Detail: "no answer"}, ""},
		{"the start is not answered", play{refuse: hung, inspect: []answer{running(0)}}, Result{Reason: Lost, Code: 71, Left: true, Detail: ""}, ""},
		{"no such program", play{stream: prints(`OCI runtime exec failed: exec: "x": executable file not found in $PATH: unknown` + "\r\n"), inspect: []answer{unborn(126)}},
			Result{Reason: NotStarted, Code: 127, Detail: "not found in $PATH: unknown"}, ""},
		{"that looks so, and is the command's own", play{stream: prints("OCI runtime exec failed: says the command"), inspect: []answer{ended(0)}}, Result{Reason: Exit}, "OCI runtime exec failed: says the command"},
		{"no such interpreter", play{stream: prints("exec /x: no such file or directory"), inspect: []answer{unborn(126)}}, Result{Reason: NotStarted, Code: 127, Detail: "no such file"}, "exec /x: no such file or directory"},
		{"not executable", play{stream: prints("exec: permission denied"), inspect: []answer{unborn(126)}}, Result{Reason: NotStarted, Code: 126, Detail: "permission denied"}, "exec: permission denied"},
		{"a newer daemon's 127", play{inspect: []answer{unborn(127)}}, Result{Reason: NotStarted, Code: 127}, ""},
		{"the command's own 126", play{stream: prints("no such file or directory"), inspect: []answer{ended(126)}}, Result{Reason: Exit, Code: 126}, "no such file or directory"},

		{"out of memory", play{inspect: []answer{ended(137)}, box: lives, oom: 1}, Result{Reason: OOM, Code: 137}, ""},
		{"out of memory, told late", play{inspect: []answer{ended(137)}, box: lives, oom: 2}, Result{Reason: OOM, Code: 137}, ""},
		{"killed", play{inspect: []answer{ended(137)}, box: lives}, Result{Reason: Exit, Code: 137}, ""},
		{"killed, told slowly", play{inspect: []answer{ended(137)}, box: lives, slow: settle + drain}, Result{Reason: Exit, Code: 137}, ""},
		{"killed with its container", play{inspect: []answer{ended(137)}, box: box("exited", before)}, Result{Reason: Lost, Code: 71, Detail: "container ended"}, ""},
		{"killed with its container that is going", play{inspect: []answer{ended(137)}, box: box("removing", before)}, Result{Reason: Lost, Code: 71, Detail: "container ended"}, ""},
		{"killed with its container that is gone", play{inspect: []answer{ended(137)}, box: answer{status: 404}}, Result{Reason: Lost, Code: 71, Detail: "container ended"}, ""},
		{"killed with its container that runs again", play{inspect: []answer{ended(137)}, box: box("running", after)}, Result{Reason: Lost, Code: 71, Detail: "container ended"}, ""},
		{"out of memory and its container, too", play{inspect: []answer{ended(137)}, box: box("exited", before), oom: 1}, Result{Reason: OOM, Code: 137}, ""},
		{"another signal", play{inspect: []answer{ended(143)}, box: box("exited", before)}, Result{Reason: Exit, Code: 143}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, tt.play)
			got, err := r.must(t, t.Context())
			if err != nil || !strings.Contains(got.Detail, tt.want.Detail) {
				t.Errorf("%+v, %v", got, err)
			}
			if tt.want.Detail = got.Detail; got != tt.want {
				t.Errorf("%+v, not %+v", got, tt.want)
			}
			if r.out.String() != tt.out || r.err.Len() > 0 {
				t.Errorf("out %q, err %q", &r.out, &r.err)
			}
		})
	}
}

// TestBefore: what was not started is an error, and says so; it may be run
// elsewhere.
func TestBefore(t *testing.T) {
	for _, tt := range []struct {
		name   string
		create int
		gone   bool
		text   string
	}{
		{"no container", 404, true, "says 404"},
		{"a stopped container", 409, true, "says 409"},
		{"a broken daemon", 500, false, "says 500"},
		{"a daemon that hangs", hung, false, "deadline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, play{create: tt.create})
			got, err := r.must(t, t.Context())
			if err == nil || errors.Is(err, ErrGone) != tt.gone || !strings.Contains(err.Error(), tt.text) || got != (Result{}) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// TestEndBefore: a person who has enough of a daemon that hangs does not want the
// command to be run elsewhere.
func TestEndBefore(t *testing.T) {
	t.Parallel()
	for why, want := range map[error]Reason{ErrTimeUp: Timeout, errors.New("a signal"): Aborted} {
		r := newRun(t, play{create: hung})
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			for r.d.count("create") == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel(why)
		}()
		got, err := r.must(t, ctx)
		if err != nil || got != (Result{Reason: want}) {
			t.Errorf("%v: %+v, %v", why, got, err)
		}
	}
}

func TestCreateOptions(t *testing.T) {
	r := newRun(t, play{})
	if _, err := r.must(t, t.Context()); err != nil {
		t.Fatal(err)
	}
	o := r.d.options
	if !slices.Equal(o.Cmd, r.Argv) || !slices.Equal(o.Env, r.Env) || o.WorkingDir != "/dir" || o.Tty || o.AttachStdin || !o.AttachStdout || !o.AttachStderr || o.Privileged || o.User != "" {
		t.Errorf("%+v", o)
	}
}

// TestStdin: its end becomes the end of the command's, and no byte is lost.
func TestStdin(t *testing.T) {
	t.Parallel()
	r := newRun(t, play{stream: echo})
	text := strings.Repeat("0123456789abcdef", 1<<16)
	r.Stdin = strings.NewReader(text)
	got, err := r.must(t, t.Context())
	if err != nil || got != (Result{Reason: Exit}) || r.out.String() != text || r.err.String() != "1048576" || !r.d.options.AttachStdin {
		t.Errorf("%+v, %v: %d bytes, %q", got, err, r.out.Len(), &r.err)
	}
}

// TestStdinStaysOpen: the command does not wait for its input, and neither do we.
func TestStdinStaysOpen(t *testing.T) {
	t.Parallel()
	in, w := io.Pipe()
	defer w.Close()
	r := newRun(t, play{stream: prints("text"), inspect: []answer{ended(6)}})
	r.Stdin = in
	got, err := r.must(t, t.Context())
	if err != nil || got != (Result{Reason: Exit, Code: 6}) || r.out.String() != "text" {
		t.Errorf("%+v, %v: %q", got, err, &r.out)
	}
}

// TestTerminal: Docker would wait for 10 seconds with a size that it is told
// before the start; the end of the input is what a person types, since a closed
// terminal hangs up.
func TestTerminal(t *testing.T) {
	t.Parallel()
	var input bytes.Buffer
	r := newRun(t, play{stream: func(d *daemon, c *net.UnixConn) {
		_, _ = io.CopyN(&input, c, 4)
		for len(d.sizes()) < 2 {
			time.Sleep(time.Millisecond)
		}
		_ = c.SetReadDeadline(time.Now().Add(drain))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the terminal's input was closed: %v", err)
		}
		_, _ = io.WriteString(c, "raw\r\n")
	}})
	var rows atomic.Uint32
	rows.Store(24)
	resized := make(chan struct{}, 1)
	r.TTY, r.Resized, r.Stdin = true, resized, strings.NewReader("in")
	r.Size = func() (Size, bool) { return Size{Rows: uint(rows.Load()), Cols: 80}, true }
	go func() {
		for len(r.d.sizes()) == 0 {
			time.Sleep(time.Millisecond)
		}
		rows.Store(50)
		resized <- struct{}{}
	}()
	got, err := r.must(t, t.Context())
	if err != nil || got != (Result{Reason: Exit}) || r.out.String() != "raw\r\n" || input.String() != "in\x04\x04" {
		t.Errorf("%+v, %v: %q, input %q", got, err, &r.out, &input)
	}
	if o := r.d.options; !o.Tty || o.AttachStderr || !o.AttachStdin {
		t.Errorf("%+v", o)
	}
	if want := []string{"create", "start", "resize", "resize"}; !slices.Equal(r.d.calls, want) || !slices.Equal(r.d.sizes(), []string{"24x80", "50x80"}) {
		t.Errorf("%q %q", r.d.calls, r.d.sizes())
	}
}

// TestResizeHangs: as it does for what cannot be started.
func TestResizeHangs(t *testing.T) {
	t.Parallel()
	r := newRun(t, play{size: hung, stream: func(_ *daemon, c *net.UnixConn) { _, _ = io.WriteString(c, "permission denied") }, inspect: []answer{unborn(126)}})
	r.TTY, r.Size = true, func() (Size, bool) { return Size{24, 80}, true }
	began := time.Now()
	got, err := r.must(t, t.Context())
	if err != nil || got != (Result{Reason: NotStarted, Code: 126, Detail: "permission denied"}) || time.Since(began) >= callMax {
		t.Errorf("%+v, %v, after %s", got, err, time.Since(began))
	}
}

// TestNoTerminal has no size to tell.
func TestNoTerminal(t *testing.T) {
	r := newRun(t, play{})
	r.Size = func() (Size, bool) { return Size{24, 80}, true }
	if got, err := r.must(t, t.Context()); err != nil || got.Reason != Exit || r.d.count("resize") > 0 {
		t.Errorf("%+v, %v, %q", got, err, r.d.calls)
	}
}

// TestKill: whoever asks, all that came of the run is ended, once.
func TestKill(t *testing.T) {
	signal := errors.New("a signal")
	for _, tt := range []struct {
		name string
		why  []error
		want Reason
	}{
		{"a signal", []error{signal}, Aborted},
		{"the time is up", []error{ErrTimeUp}, Timeout},
		{"a signal and then the time", []error{signal, ErrTimeUp}, Aborted},
		{"the time and then a signal, twice", []error{ErrTimeUp, signal, signal}, Timeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			end := make(chan struct{})
			r := newRun(t, play{stream: until(end, stdcopy.Stdout), inspect: []answer{running(42)}})
			ctx, cancel := context.WithCancelCause(t.Context())
			r.kill(func(kctx context.Context) (int, error) {
				if kctx.Err() != nil {
					t.Errorf("Kill is called with %v", kctx.Err())
				}
				for _, why := range tt.why {
					cancel(why)
				}
				r.d.turn(ended(143))
				close(end)
				return 2, nil
			})
			afterStart(r, func() { cancel(tt.why[0]) })
			got, err := r.must(t, ctx)
			if err != nil || got != (Result{Reason: tt.want, Code: 143, Killed: 2}) || r.kills.Load() != 1 {
				t.Errorf("%+v, %v, killed %d times", got, err, r.kills.Load())
			}
		})
	}
}

// afterStart does something as soon as the command runs.
func afterStart(r *run, f func()) {
	go func() {
		for r.d.count("start") == 0 {
			time.Sleep(time.Millisecond)
		}
		f()
	}()
}

type broken struct{ n int }

// Write fails at the third time.
func (b *broken) Write(p []byte) (int, error) {
	if b.n++; b.n > 2 {
		return 0, errors.New("nobody reads")
	}
	return len(p), nil
}

// TestReaderGone: of whichever output, the run has lost its reason; what comes
// until its end is read, so that it does not wait for us. That is the reason, and
// not what comes later.
func TestReaderGone(t *testing.T) {
	for to, name := range map[stdcopy.StdType]string{stdcopy.Stdout: "stdout", stdcopy.Stderr: "stderr"} {
		t.Run(name, func(t *testing.T) {
			end, written := make(chan struct{}), make(chan struct{})
			r := newRun(t, play{inspect: []answer{running(42)}, stream: func(d *daemon, c *net.UnixConn) {
				until(end, to)(d, c)
				_, _ = stdcopy.NewStdWriter(c, to).Write(make([]byte, 4<<20)) // more than any buffer
				d.turn(ended(141))
				close(written)
				_, _ = io.Copy(io.Discard, c)
			}})
			ctx, cancel := context.WithCancelCause(t.Context())
			r.Stdout, r.Stderr = &broken{}, &broken{}
			r.kill(func(context.Context) (int, error) { cancel(ErrTimeUp); close(end); <-written; return 1, nil })
			got, err := r.must(t, ctx)
			if got.Write == nil {
				t.Error("it is not said that our own output was the trouble")
			}
			got.Write = nil
			if err != nil || got != (Result{Reason: Aborted, Code: 141, Killed: 1, Detail: "nobody reads"}) || r.kills.Load() != 1 {
				t.Errorf("%+v, %v, killed %d times", got, err, r.kills.Load())
			}
		})
	}
}

// TestKillIsOfNoUse: nothing hangs with it, and it is not said that all is well.
func TestKillIsOfNoUse(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) }) // after those in parallel
	kills := map[string]struct {
		kill func(ctx context.Context) (int, error)
		text string
	}{
		"fails":               {func(context.Context) (int, error) { return 1, errors.New("2 processes are left") }, "2 processes are left"},
		"hangs":               {func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }, "deadline"},
		"ignores its context": {func(context.Context) (int, error) { <-release; return 0, nil }, "not ended within 100ms"},
	}
	for name, k := range kills {
		for _, tt := range []struct {
			name   string
			stream func(end chan struct{}) func(*daemon, *net.UnixConn)
			then   answer
			code   int
		}{
			{"the command ended", func(end chan struct{}) func(*daemon, *net.UnixConn) { return until(end, stdcopy.Stdout) }, ended(143), 143},
			{"the command runs", func(chan struct{}) func(*daemon, *net.UnixConn) { return holds("text") }, running(42), 71},
			{"the stream stays open", func(chan struct{}) func(*daemon, *net.UnixConn) { return holds("text") }, ended(143), 143},
		} {
			t.Run(name+", "+tt.name, func(t *testing.T) {
				t.Parallel()
				end := make(chan struct{})
				r := newRun(t, play{stream: tt.stream(end), inspect: []answer{running(42)}})
				r.KillMax = 100 * time.Millisecond
				r.kill(func(ctx context.Context) (int, error) { r.d.turn(tt.then); close(end); return k.kill(ctx) })
				ctx, cancel := context.WithCancelCause(t.Context())
				afterStart(r, func() { cancel(ErrTimeUp) })
				got, err := r.must(t, ctx)
				if err != nil || got.Reason != Timeout || got.Code != tt.code || !got.Left || !strings.Contains(got.Detail, k.text) {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
	}
}

// TestKillThenHeldOpen: what is ended and still holds the stream open (it is in
// another container, perhaps) is not waited for.
func TestKillThenHeldOpen(t *testing.T) {
	t.Parallel()
	r := newRun(t, play{stream: holds("text"), inspect: []answer{running(42)}})
	r.kill(func(context.Context) (int, error) { r.d.turn(ended(143)); return 3, nil })
	ctx, cancel := context.WithCancelCause(t.Context())
	afterStart(r, func() { cancel(errors.New("a signal")) })
	got, err := r.must(t, ctx)
	if err != nil || got != (Result{Reason: Aborted, Code: 143, Killed: 3}) || r.out.String() != "text" {
		t.Errorf("%+v, %v, %q", got, err, &r.out)
	}
}

// TestKillOfUnborn: what was asked to end, and was never started, was not refused
// by Docker.
func TestKillOfUnborn(t *testing.T) {
	t.Parallel()
	r := newRun(t, play{stream: holds(""), inspect: []answer{unborn(0)}})
	r.kill(func(context.Context) (int, error) { return 0, nil })
	ctx, cancel := context.WithCancelCause(t.Context())
	afterStart(r, func() { cancel(ErrTimeUp) })
	if got, err := r.must(t, ctx); err != nil || got != (Result{Reason: Timeout}) {
		t.Errorf("%+v, %v", got, err)
	}
}

type slow struct {
	bytes.Buffer
	waited bool
}

func (s *slow) Write(p []byte) (int, error) {
	if !s.waited {
		time.Sleep(5 * drain)
		s.waited = true
	}
	return s.Buffer.Write(p)
}

// TestSlowReader gets all: less(1) does not read on until somebody presses a key,
// and the command has ended long before.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdef", 1<<17) // more than any buffer
	r := newRun(t, play{stream: func(d *daemon, c *net.UnixConn) { d.turn(ended(0)); prints(text)(d, c) }})
	out := &slow{}
	r.Stdout = out
	got, err := r.must(t, t.Context())
	if err != nil || got != (Result{Reason: Exit}) || out.String() != text {
		t.Errorf("%+v, %v, %d bytes", got, err, out.Len())
	}
}

// TestWriterBlocks: a reader that does not read holds up the command, and not our
// end.
func TestWriterBlocks(t *testing.T) {
	t.Parallel()
	in, w := io.Pipe()
	defer in.Close()
	r := newRun(t, play{stream: until(t.Context().Done(), stdcopy.Stdout), inspect: []answer{running(42)}})
	r.Stdout = w
	r.kill(func(context.Context) (int, error) { r.d.turn(ended(143)); return 1, nil })
	ctx, cancel := context.WithCancelCause(t.Context())
	afterStart(r, func() { cancel(errors.New("a signal")) })
	if got, err := r.must(t, ctx); err != nil || got != (Result{Reason: Aborted, Code: 143, Killed: 1}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestDaemonHangs: while a run is going on it can be given up.
func TestDaemonHangs(t *testing.T) {
	t.Parallel()
	r := newRun(t, play{stream: holds("text"), inspect: []answer{{status: hung}}})
	r.KillMax = 50 * time.Millisecond
	r.kill(func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
	ctx, cancel := context.WithCancelCause(t.Context())
	afterStart(r, func() { time.Sleep(2 * lookAt); cancel(errors.New("a signal")) })
	got, err := r.must(t, ctx)
	if err != nil || got.Reason != Aborted || got.Code != 71 || !got.Left {
		t.Errorf("%+v, %v", got, err)
	}
}
