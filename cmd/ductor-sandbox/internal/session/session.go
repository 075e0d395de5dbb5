// Package session is one command in the container: its streams, its end, and how
// that is known.
package session

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"ductor/internal/common/exitcode"
)

// Reason says how a run ended.
type Reason string

const (
	Exit       Reason = "exit"
	Timeout    Reason = "timeout"
	Aborted    Reason = "aborted"
	OOM        Reason = "oom"
	Lost       Reason = "lost"        // nobody knows: never tried again, never on the host
	NotStarted Reason = "not_started" // it cannot be executed
)

// ErrGone is what Run returns, before anything was started, for a container that
// does not run any more.
var ErrGone = errors.New("the container does not run")

// Size of a terminal.
type Size struct{ Rows, Cols uint }

// Session is what to run.
type Session struct {
	Client    client.APIClient
	Container string
	Argv      []string
	Env       []string // also what Argv must not show
	Dir       string
	TTY       bool
	Stdin     io.Reader // nil: none
	Stdout    io.Writer
	Stderr    io.Writer
	Size      func() (Size, bool) // of the terminal
	Resized   <-chan struct{}
	// Kill ends all that has come of the run, and returns how many processes
	// there were. It is called at most once.
	Kill func(ctx context.Context) (int, error)
	// KillMax is how long Kill may take, with all grace that it gives. Zero is
	// ten minutes: not for ever, and longer than any grace.
	KillMax time.Duration
}

// Result is its end.
type Result struct {
	Reason Reason
	Code   int
	Killed int
	Detail string
	// Left: processes of it may still run, because nobody knows its end or Kill
	// failed. Whoever comes next has to end them.
	Left bool
	// Write is why our own output could not be written, which ended it.
	Write error
}

// Variables for the sake of tests.
var (
	drain   = time.Second     // for output that comes after the end
	settle  = 5 * time.Second // for Docker to know of the end
	lookAt  = time.Second     // how often a run is looked at whose stream is open
	callMax = 10 * time.Second
	killMax = 10 * time.Minute
)

// Run runs it. ctx asks for its end: the cause is ErrTimeUp, or anything else. The
// error is for what was not started: ErrGone, or a daemon that cannot be asked.
// A read of Stdin, and a write that blocks, go on after Run: nothing can end them.
func (s *Session) Run(ctx context.Context) (Result, error) {
	began := time.Now()
	call, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	made, err := s.Client.ContainerExecCreate(call, s.Container, container.ExecOptions{
		Cmd: s.Argv, Env: s.Env, WorkingDir: s.Dir, Tty: s.TTY, AttachStdin: s.Stdin != nil, AttachStdout: true, AttachStderr: !s.TTY, ConsoleSize: s.console()})
	switch {
	case errdefs.IsNotFound(err) || errdefs.IsConflict(err):
		return Result{}, fmt.Errorf("%w: %w", ErrGone, err)
	case err != nil && ctx.Err() != nil: // no fault of the daemon's
		return Result{Reason: wanted(ctx)}, nil
	case err != nil:
		return Result{}, err
	}
	stream, err := s.attach(ctx, made.ID)
	switch {
	case errdefs.IsNotFound(err) || errdefs.IsConflict(err): // it was stopped in between, and so nothing was started
		return Result{}, fmt.Errorf("%w: %w", ErrGone, err)
	case errors.Is(err, errNoAnswer): // it may begin yet
		return Result{}.lost(err), nil
	case err != nil:
		return s.judge(made.ID, began, Result{}, err.Error()), nil
	}
	defer stream.Close()
	r, first := s.follow(ctx, made.ID, stream)
	r = s.judge(made.ID, began, r, first.text())
	if r.Reason != NotStarted {
		first.release()
	}
	if r.Reason == NotStarted && s.isStopped() {
		if s.Stdin != nil { // what was read of it is gone, so that a second try would have less
			return Result{}.lost(fmt.Errorf("the container went away when the command was to begin: %s", r.Detail)), nil
		}
		return Result{}, fmt.Errorf("%w: %s", ErrGone, r.Detail)
	}
	return r, nil
}

func (s *Session) console() *[2]uint {
	if !s.TTY || s.Size == nil {
		return nil
	}
	size, ok := s.Size()
	if !ok {
		return nil
	}
	return &[2]uint{size.Rows, size.Cols}
}

// errNoAnswer is for a daemon that was told to start a command and has not said
// whether it did.
var errNoAnswer = errors.New("no answer from Docker")

// attach starts it. The stream outlives ctx.
func (s *Session) attach(ctx context.Context, id string) (types.HijackedResponse, error) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), callMax)
	defer cancel()
	return Attach(limited, s.Client, id, container.ExecAttachOptions{Tty: s.TTY, ConsoleSize: s.console()})
}

// Attach starts a command that was created. The client waits for the answer without
// a look at its context, so a daemon that hangs has to be left behind.
func Attach(ctx context.Context, c client.APIClient, id string, o container.ExecAttachOptions) (types.HijackedResponse, error) {
	type answer struct {
		stream types.HijackedResponse
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		stream, err := c.ContainerExecAttach(context.WithoutCancel(ctx), id, o)
		answers <- answer{stream, err}
	}()
	select {
	case a := <-answers:
		return a.stream, a.err
	case <-ctx.Done():
		go func() {
			if a := <-answers; a.err == nil {
				a.stream.Close()
			}
		}()
		return types.HijackedResponse{}, errNoAnswer
	}
}

// ErrTimeUp is the cause of a context whose run took too long.
var ErrTimeUp = errors.New("the time is up")

// isStopped tells a container that went away from a command that cannot be
// started.
func (s *Session) isStopped() bool {
	ctx, cancel := context.WithTimeout(context.Background(), callMax)
	defer cancel()
	in, err := s.Client.ContainerInspect(ctx, s.Container)
	return errdefs.IsNotFound(err) || err == nil && in.ContainerJSONBase != nil && in.State != nil && !in.State.Running
}

// wanted is why ctx wants the end.
func wanted(ctx context.Context) Reason {
	if errors.Is(context.Cause(ctx), ErrTimeUp) {
		return Timeout
	}
	return Aborted
}

// follow pumps the streams until the end. It also returns what came on standard
// output first, which is where Docker says why a command could not be started.
func (s *Session) follow(ctx context.Context, id string, stream types.HijackedResponse) (Result, *head) {
	first := &head{to: s.Stdout}
	f := &following{Session: s, in: &source{from: stream.Reader}, output: make(chan error, 2), killed: make(chan death, 1)}
	pumped := make(chan struct{})
	go func() { f.pump(first, f.in); close(pumped) }()
	if s.Stdin != nil {
		go s.copyIn(stream)
	}
	asking, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if s.TTY {
		go s.resizes(asking, id)
	}
	f.until(ctx, s.looks(asking, id))
	stream.Close()
	select {
	case <-pumped:
	case <-time.After(drain): // whoever reads our output does not
	}
	return f.r, first
}

func (s *Session) copyIn(stream types.HijackedResponse) {
	_, _ = io.Copy(stream.Conn, s.Stdin)
	if s.TTY { // to close it would hang up; a person types Ctrl-D, twice within a line
		_, _ = stream.Conn.Write([]byte{4, 4})
		return
	}
	_ = stream.CloseWrite()
}

// following is a run whose stream is open.
type following struct {
	*Session
	r      Result
	in     *source
	output chan error // the end of the stream; before it, that of our own output
	killed chan death // what Kill has said
	asked  bool       // Kill was called
	over   <-chan time.Time
}

// death is what Kill returns.
type death struct {
	n   int
	err error
}

// pump reads to the end even if nobody wants it, so that the command is not
// stuck in a write while it is asked to end.
func (f *following) pump(out io.Writer, r io.Reader) {
	err := f.copyOut(out, r)
	f.output <- err
	var broken *writeError
	if errors.As(err, &broken) {
		_, _ = io.Copy(io.Discard, r)
		f.output <- nil
	}
}

// until returns at the end. ended is closed when Docker says that it has come:
// something may hold the stream open.
func (f *following) until(ctx context.Context, ended <-chan struct{}) {
	asked := ctx.Done()
	for {
		select {
		case err := <-f.output:
			var broken *writeError
			if !errors.As(err, &broken) {
				f.last()
				return
			}
			// Whoever read our output is gone, and so is the reason for the run.
			if f.r.Reason == "" {
				f.r.Detail, f.r.Write = broken.Error(), broken.error
				f.kill(Aborted)
			}
		case <-asked:
			asked = nil
			if f.r.Reason == "" {
				f.kill(wanted(ctx))
			}
		case d := <-f.killed:
			f.dead(d)
			f.over = time.After(drain)
		case <-ended:
			ended = nil
			if !f.asked {
				f.over = time.After(drain)
			}
		case <-f.over:
			if f.asked || f.in.dry() {
				return
			}
			f.over = time.After(drain) // whoever reads our output is slow, and wants the rest
		}
	}
}

// source is a stream that knows how long nothing has come.
type source struct {
	from  io.Reader
	mu    sync.Mutex
	since time.Time // of the Read that waits; zero: none does
}

func (s *source) Read(p []byte) (int, error) {
	s.reads(time.Now())
	defer s.reads(time.Time{})
	return s.from.Read(p)
}

func (s *source) reads(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = since
}

func (s *source) dry() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.since.IsZero() && time.Since(s.since) >= drain
}

// kill asks for the end of all, and does not wait for ever: a daemon that hangs
// does not even look at a context everywhere.
func (f *following) kill(why Reason) {
	f.r.Reason, f.asked, f.over = why, true, nil
	limit := cmp.Or(f.KillMax, killMax)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	answers := make(chan death, 1)
	go func() {
		n, err := f.Kill(ctx)
		answers <- death{n, err}
	}()
	go func() {
		defer cancel()
		select {
		case d := <-answers:
			f.killed <- d
		case <-time.After(limit + drain):
			f.killed <- death{err: fmt.Errorf("it was not ended within %s", limit)}
		}
	}()
}

// last waits for Kill: the command has ended, and perhaps not all that came of it.
func (f *following) last() {
	if f.asked && f.over == nil {
		f.dead(<-f.killed)
	}
}

func (f *following) dead(d death) {
	f.r.Killed = d.n
	if d.err != nil {
		f.r.Left, f.r.Detail = true, d.err.Error()
	}
}

// resizes tells Docker the size now and whenever it changes. It is not part of
// the loop, since Docker answers the first one when the command runs, and after
// 10 seconds if it does not.
func (s *Session) resizes(ctx context.Context, id string) {
	for {
		s.resize(ctx, id)
		select {
		case <-s.Resized:
		case <-ctx.Done():
			return
		}
	}
}

// looks asks Docker now and then until it says that the command has ended.
func (s *Session) looks(ctx context.Context, id string) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(lookAt)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if s.ended(ctx, id) {
					close(ended)
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ended
}

func (s *Session) resize(ctx context.Context, id string) {
	if s.Size == nil {
		return
	}
	if size, ok := s.Size(); ok {
		ctx, cancel := context.WithTimeout(ctx, callMax)
		defer cancel()
		_ = s.Client.ContainerExecResize(ctx, id, container.ResizeOptions{Height: size.Rows, Width: size.Cols})
	}
}

func (s *Session) ended(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	in, err := s.Client.ContainerExecInspect(ctx, id)
	return err != nil && errdefs.IsNotFound(err) || err == nil && !in.Running && in.Pid != 0
}

// writeError is a failure of our own output, and not of the stream.
type writeError struct{ error }

type checked struct{ io.Writer }

func (w checked) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}

func (e *writeError) Unwrap() error { return e.error }

func (s *Session) copyOut(out io.Writer, r io.Reader) error {
	if s.TTY {
		_, err := io.Copy(checked{out}, r)
		return err
	}
	_, err := stdcopy.StdCopy(checked{out}, checked{s.Stderr}, r)
	return err
}

// refusal begins what runc says, by Docker on standard output, of a command that it
// could not start.
const refusal = "OCI runtime exec failed: "

// head keeps the beginning of what passes, and holds it back as long as it may be
// a refusal, which is not the command's. It may be read while a write blocks.
type head struct {
	to  io.Writer
	mu  sync.Mutex
	buf bytes.Buffer
	own bool // it is the command's
}

const headMax = 4096

func (h *head) Write(p []byte) (int, error) {
	late, held := h.keep(p)
	if held {
		return len(p), nil
	}
	if len(late) > 0 {
		if _, err := h.to.Write(late); err != nil {
			return 0, err
		}
	}
	return h.to.Write(p)
}

// keep returns what was held back until now, and whether that goes on.
func (h *head) keep(p []byte) (late []byte, held bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.buf.Len()
	h.buf.Write(p[:min(headMax-before, len(p))])
	if h.own {
		return nil, false
	}
	n := min(h.buf.Len(), len(refusal))
	if h.buf.Len() < headMax && string(h.buf.Bytes()[:n]) == refusal[:n] {
		return nil, true
	}
	h.own = true
	return bytes.Clone(h.buf.Bytes()[:before]), false
}

// release passes on what turned out to be the command's own.
func (h *head) release() {
	h.mu.Lock()
	own, late := h.own, bytes.Clone(h.buf.Bytes())
	h.own = true
	h.mu.Unlock()
	if !own {
		_, _ = h.to.Write(late)
	}
}

func (h *head) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.String()
}

// judge knows the end by Docker's word alone, and only where there was a process
// and is none any more. A stream that ended cleanly says nothing: it does so too
// when the daemon was stopped and the process goes on.
func (s *Session) judge(id string, began time.Time, r Result, text string) Result {
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	for {
		in, err := s.Client.ContainerExecInspect(ctx, id)
		switch {
		case err != nil:
			return r.lost(err)
		case !in.Running && in.Pid != 0:
			return s.exited(in.ExitCode, began, r)
		case !in.Running:
			return notStarted(in.ExitCode, text, r)
		}
		select {
		case <-ctx.Done():
			return r.lost(errors.New("it still runs, says Docker"))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (r Result) lost(err error) Result {
	if r.Reason == "" {
		r.Reason = Lost
	}
	r.Code, r.Left = exitcode.OSErr, true
	r.Detail = cmp.Or(r.Detail, err.Error()) // what went wrong first says more
	return r
}

func (s *Session) exited(code int, began time.Time, r Result) Result {
	r.Code = code
	if r.Reason != "" {
		return r
	}
	r.Reason = Exit
	if code != exitcode.SignalBase+9 {
		return r
	}
	ctx, cancel := context.WithTimeout(context.Background(), callMax)
	defer cancel()
	switch {
	case s.outOfMemory(ctx, began):
		r.Reason = OOM
	case s.containerDied(ctx, began):
		r.Reason, r.Code, r.Detail = Lost, exitcode.OSErr, "the container ended"
	case s.outOfMemory(ctx, began): // that news comes by another way than the end, and may be later
		r.Reason = OOM
	}
	return r
}

// containerDied: what was killed with its container says nothing of itself.
// Docker learns of the container's end a moment after that of the command.
func (s *Session) containerDied(ctx context.Context, began time.Time) bool {
	for range 10 {
		in, err := s.Client.ContainerInspect(ctx, s.Container)
		if err != nil || !in.State.Running || in.State.Status == container.StateRemoving {
			return true
		}
		if since, err := time.Parse(time.RFC3339Nano, in.State.StartedAt); err == nil && since.After(began) {
			return true // and it was started again
		}
		time.Sleep(30 * time.Millisecond)
	}
	return false
}

// outOfMemory asks what has happened since: the state of the container does not
// tell when a command in it was killed for want of memory.
func (s *Session) outOfMemory(ctx context.Context, since time.Time) bool {
	until := time.Now()
	messages, errs := s.Client.Events(ctx, events.ListOptions{
		Since: fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond()), Until: fmt.Sprintf("%d.%09d", until.Unix(), until.Nanosecond()),
		Filters: filters.NewArgs(filters.Arg("container", s.Container), filters.Arg("event", "oom"))})
	for {
		select {
		case <-messages:
			return true
		case <-errs:
			return false
		}
	}
}

// notStarted tells 126 from 127, which Docker does not, by its last words: those
// before quote names, which may hold anything. If its end was asked for, that came
// first.
func notStarted(code int, text string, r Result) Result {
	if r.Reason != "" {
		return r
	}
	r.Reason, r.Code, r.Detail = NotStarted, exitcode.CannotExec, strings.TrimSpace(text)
	last := strings.TrimSuffix(r.Detail, ": unknown")
	_, what, _ := strings.Cut(last, "container process: ")
	if strings.HasPrefix(what, "chdir to cwd (") { // it is the folder that is missing
		return r
	}
	if code == exitcode.NotFound || strings.HasSuffix(last, "executable file not found in $PATH") || strings.HasSuffix(last, "no such file or directory") {
		r.Code = exitcode.NotFound
	}
	return r
}
