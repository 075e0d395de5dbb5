package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"ductor/cmd/ductor-sandbox/internal/box"
	"ductor/cmd/ductor-sandbox/internal/engine"
	"ductor/cmd/ductor-sandbox/internal/inside"
	"ductor/cmd/ductor-sandbox/internal/marked"
	"ductor/cmd/ductor-sandbox/internal/record"
	"ductor/cmd/ductor-sandbox/internal/session"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/jsonout"
	"ductor/internal/common/process"
)

// outcome is the line of --status-fd.
type outcome struct {
	ID       string            `json:"id,omitempty"`
	RanOn    string            `json:"ran_on"` // sandbox, host or none
	Reason   string            `json:"reason"`
	Code     int               `json:"code"`
	Signal   string            `json:"signal,omitempty"`
	Message  string            `json:"message,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
	Killed   int               `json:"killed,omitempty"`
	Duration float64           `json:"duration_seconds"`
}

// hostOutcome is that line for a command that is about to run on the host: how it
// ends, nobody will write.
type hostOutcome struct {
	RanOn   string            `json:"ran_on"`
	Reason  string            `json:"reason"`
	Message string            `json:"message,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
}

// Run runs a command in the container, and returns its code.
func (c *execCmd) Run(std *cli.IO) error {
	status, err := c.statusFile()
	if err != nil {
		return err
	}
	began := time.Now()
	x := &execution{execCmd: c, std: std, tags: tags(c.Tag), again: make(chan struct{})}
	ctx, stop := x.interruptible(fileOf(std.Out))
	defer stop()
	r, err := x.run(ctx)
	o := outcome{ID: x.id, RanOn: "sandbox", Reason: string(r.Reason), Code: r.Code, Signal: x.signal, Message: r.Detail, Tags: x.tags, Killed: r.Killed}
	switch {
	case err != nil && ctx.Err() != nil: // it was not that there is no sandbox
		o.RanOn, o.Reason = "none", string(session.Aborted)
		if r.Reason = session.Aborted; errors.Is(context.Cause(ctx), session.ErrTimeUp) {
			r.Reason, o.Reason = session.Timeout, string(session.Timeout)
		}
		err = c.conclude(ctx, std, &o, r)
	case err != nil:
		reason := unavailable(err)
		if slices.Contains(outside, reason) && c.OnUnavailable == "host" {
			return x.onHost(ctx, status, reason, err)
		}
		o.RanOn, o.Reason, o.Message, o.Code = "none", cli.Describe(err).Error, err.Error(), exitcode.Of(err)
		if reason != "" {
			err = again(err, exitcode.Unavailable)
			o.Reason, o.Code = reason, exitcode.Unavailable
		}
	default:
		err = c.conclude(ctx, std, &o, r)
	}
	o.Duration = float64(time.Since(began).Milliseconds()) / 1000
	if werr := status.write(o); werr != nil {
		cli.Warn(std, "%v", werr)
		if exitcode.Of(err) == exitcode.OK {
			return exitcode.Status(exitcode.IOErr)
		}
	}
	return err
}

// outside are the reasons for which the host takes the container's place, if that
// is wanted. All others can lie in what commands can write: one that made the
// container fail would have the next one run on the host.
var outside = []string{"disabled", "daemon_unreachable", "permission_denied", "daemon_timeout", "api_unsupported", "image_missing", "build_failed", "name_conflict"}

// unavailable is the reason why there is no sandbox, or "" for what a host could
// not do better.
func unavailable(err error) string {
	if word := id(err); exitcode.Of(err) == exitcode.Unavailable || word == "name_conflict" {
		return word
	}
	return ""
}

// again is an error with another code.
func again(err error, code int) error {
	var e *exitcode.Error
	if errors.As(err, &e) {
		e.Code = code
	}
	return err
}

// conclude says what is not the command's own, and finds the code.
func (c *execCmd) conclude(ctx context.Context, std *cli.IO, o *outcome, r session.Result) error {
	switch r.Reason {
	case session.Timeout:
		o.Code = exitcode.Timeout
		if o.RanOn == "none" {
			cli.Warn(std, "no command could be started within %s", c.Timeout)
			break
		}
		cli.Warn(std, "the command took more than %s%s", c.Timeout, map[bool]string{false: ", and was ended", true: "; whether all of it has ended is unknown: " + r.Detail}[r.Left])
	case session.Aborted:
		o.Code = exitcode.SignalBase + int(syscall.SIGPIPE)
		var sig signalled
		if errors.As(context.Cause(ctx), &sig) {
			o.Code = exitcode.SignalBase + int(sig.Signal.(syscall.Signal))
		}
		if r.Write != nil && ctx.Err() == nil && !errors.Is(r.Write, syscall.EPIPE) {
			o.Code = exitcode.IOErr
			return exitcode.Errorf(exitcode.IOErr, "write the output: %w", r.Write)
		}
		o.Signal = signalName(o.Code - exitcode.SignalBase)
	case session.OOM:
		o.Signal = signalName(9)
		cli.Warn(std, "the command was killed for want of memory (--memory)")
	case session.Lost:
		return exitcode.Errorf(exitcode.OSErr, "what became of the command is unknown: %s", r.Detail).WithID("lost")
	case session.NotStarted:
		return exitcode.Errorf(r.Code, "the command cannot be started in the container: %s", r.Detail).WithID("not_started")
	}
	return exitcode.Status(o.Code)
}

type execution struct {
	*execCmd
	std  *cli.IO
	tags map[string]string
	id   string
	s    *sandbox
	// signal is what the command died of, where that is known.
	signal string
	// again is closed by the second signal: then nobody waits for anything.
	again chan struct{}
}

// run ends with a result once something was started, and with an error before.
func (x *execution) run(ctx context.Context) (session.Result, error) {
	env, err := x.env()
	if err != nil {
		return session.Result{}, err
	}
	if x.s, err = open(ctx, x.std, x.nameFlags, x.specFlags); err != nil {
		return session.Result{}, err
	}
	defer x.s.close()
	if err := x.s.want(ctx); err != nil {
		return session.Result{}, err
	}
	self, err := process.Self()
	if err != nil {
		return session.Result{}, exitcode.Errorf(exitcode.OSErr, "identify this process: %w", err)
	}
	x.id = rand.Text()
	r := record.Run{ID: x.id, Owner: self, Tags: x.tags, Command: x.Command.Words()[0], Since: time.Now().UTC(), Engine: x.s.engine.Host}
	left := false
	defer func() {
		if left { // the next call finds the file, and ends what goes on
			return
		}
		if err := x.s.runs.Remove(x.id); err != nil {
			cli.Warn(x.std, "%v", err)
		}
	}()
	for try := 0; ; {
		id, err := x.container(ctx)
		if err != nil {
			return session.Result{}, err
		}
		r.Container = id
		if err := x.s.runs.Write(r); err != nil {
			return session.Result{}, err
		}
		if ok, err := x.s.settled(ctx); err != nil {
			return session.Result{}, err
		} else if !ok {
			continue
		}
		result, err := x.in(ctx, id, env)
		left = result.Left
		if err == nil || try == 2 || !errors.Is(err, session.ErrGone) {
			return result, engine.Classify(err, "run the command")
		}
		try++
	}
}

// container is the one to run it in: as it is, if it is as it should be.
func (x *execution) container(ctx context.Context) (string, error) {
	in, err := x.s.find(ctx)
	if err != nil {
		return "", err
	}
	if x.s.box.Ready(in) && len(x.s.lost(in)) == 0 {
		x.s.helped = &x.s.box.Spec.Helper // or it would not be what is wanted
		x.s.reap(ctx, in.ID)
		return in.ID, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, upTime, errUpTime)
	defer cancel()
	st, err := x.s.up(ctx, box.Options{})
	if st.Drift == box.Recreated {
		cli.Warn(x.std, "the container %q was made anew, as it was not what this call wants: flags of up hold for that call alone, %q holds for all", x.s.settings.Container, x.s.configFile())
	}
	if x.s.helped = nil; st.Drift != box.Pending {
		x.s.helped = &x.s.box.Spec.Helper
	}
	if err != nil || st.Drift != box.Pending {
		return st.ID, err
	}
	in, err = x.s.find(ctx)
	if err == nil && (in == nil || x.s.box.Weaker(in) || len(x.s.lost(in)) > 0) {
		err = exitcode.Errorf(exitcode.TempFail, "commands run in the container %q, which protects less than is wanted now", x.s.settings.Container).WithID("busy").
			WithHint("wait until they have ended; or ductor-sandbox up --now")
	}
	return st.ID, err
}

func (x *execution) in(ctx context.Context, id string, env []string) (session.Result, error) {
	argv := x.Command.Words()
	dir, notes := x.directory(), &notes{to: x.std.Err, prefix: inside.Prefix(x.id)}
	ss := session.Session{Client: x.s.engine.Client, Container: id, Env: append(x.passed(env), marked.Env+"="+x.id),
		Stdout: x.std.Out, Stderr: x.std.Err, KillMax: x.Grace + 25*time.Second,
		Kill: func(ctx context.Context) (int, error) { return x.kill(ctx, id) }}
	if x.s.hasHelper(ctx, id) {
		ss.Argv, ss.Dir, ss.Stderr = append([]string{box.HelperPath, "run", dir}, argv...), "/", notes
	} else {
		ss.Argv, ss.Dir = argv, dir
	}
	if x.std.In != nil {
		ss.Stdin = x.std.In
	}
	if restore := x.terminal(&ss); restore != nil {
		defer restore()
	}
	r, err := ss.Run(ctx)
	text, sig, whole := notes.end()
	died := r.Reason == session.OOM && !whole || ss.TTY && r.Reason == session.Exit && (r.Code == 2 || r.Code > exitcode.SignalBase)
	if err == nil && r.Reason == session.Exit {
		switch { // a command can write such lines, too
		case ss.Stderr == notes && !ss.TTY && !whole:
			died = true
			r = session.Result{Reason: session.Lost, Code: exitcode.OSErr, Detail: "our program in the container was killed before it could tell"}
		case text != "" && (r.Code == exitcode.CannotExec || r.Code == exitcode.NotFound):
			r.Reason, r.Detail = session.NotStarted, text
		case r.Code > exitcode.SignalBase:
			x.signal = sig
		}
	}
	// Nobody else ends what it left, if our program is not there, or was killed: of
	// many a signal a program in Go dies with code 2.
	if err == nil && (!x.s.hasHelper(ctx, id) || died) {
		if _, kerr := x.s.end(context.Background(), id, x.id, 0); kerr != nil {
			r.Left = true
		}
	}
	return r, err
}

// kill gives the run its time, unless somebody asks again.
func (x *execution) kill(ctx context.Context, container string) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-x.again:
			_, _ = x.s.end(ctx, container, x.id, 0)
		case <-ctx.Done():
		}
	}()
	return x.s.end(ctx, container, x.id, x.Grace)
}

// terminal decides whether there is one inside, and sets up the one outside.
func (x *execution) terminal(ss *session.Session) (restore func()) {
	in, out := x.std.In, fileOf(x.std.Out)
	both := in != nil && out != nil && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(out.Fd()))
	if ss.TTY = x.TTY || both && !x.NoTTY; !ss.TTY {
		return nil
	}
	if name := x.std.Getenv("TERM"); name != "" {
		ss.Env = append(ss.Env, "TERM="+name)
	}
	if out == nil || !term.IsTerminal(int(out.Fd())) {
		return nil
	}
	ss.Size = func() (session.Size, bool) {
		w, h, err := term.GetSize(int(out.Fd()))
		return session.Size{Rows: uint(h), Cols: uint(w)}, err == nil
	}
	resized, stop := resizes()
	ss.Resized = resized
	if in == nil || !term.IsTerminal(int(in.Fd())) {
		return stop
	}
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return stop
	}
	return func() { stop(); _ = term.Restore(int(in.Fd()), old) }
}

func fileOf(w io.Writer) *os.File {
	f, _ := w.(*os.File)
	return f
}

// directory is here, if here is inside, too.
func (x *execution) directory() string {
	dir := x.Workdir
	if dir == "" {
		dir, _ = os.Getwd()
		if in, ok := x.s.plan.Inside(dir); ok {
			return in
		}
		return x.s.plan.WorkDir
	}
	if !filepath.IsAbs(dir) {
		if here, err := filepath.Abs(dir); err == nil {
			dir = here
		}
	}
	if in, ok := x.s.plan.Inside(dir); ok {
		return in
	}
	return x.Workdir
}

// passed has what config.json passes in front, so that -e is stronger.
func (x *execution) passed(env []string) []string {
	var all []string
	for _, name := range x.s.settings.EnvPass {
		if v, has := os.LookupEnv(name); has {
			all = append(all, name+"="+v)
		}
	}
	return append(all, env...)
}

// maxWord is Linux's MAX_ARG_STRLEN, in bytes. Other systems have none, and
// Docker fails without saying why.
const maxWord = 128 << 10

// env has the variables of the command line.
func (x *execution) env() ([]string, error) {
	var env []string
	for _, w := range append(slices.Clone(x.Command.Words()), x.Env...) {
		if !utf8.ValidString(w) {
			return nil, exitcode.Errorf(exitcode.Usage, "%q is not UTF-8, and Docker takes nothing else", w)
		}
		if len(w) >= maxWord {
			return nil, exitcode.Errorf(exitcode.Usage, "a word of %d bytes, and Linux takes fewer than %d", len(w), maxWord).
				WithHint("pass it on standard input")
		}
	}
	for _, e := range x.Env {
		k, _, given := strings.Cut(e, "=")
		if k == "" || strings.ContainsRune(e, 0) || k == marked.Env {
			return nil, exitcode.Errorf(exitcode.Usage, "--env=%q: is neither K=V nor K", e)
		}
		if v, has := os.LookupEnv(k); !given && has {
			e, given = k+"="+v, true
		}
		if given {
			env = append(env, e)
		}
	}
	return env, nil
}

func tags(words []string) map[string]string {
	all := map[string]string{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		all[k] = v
	}
	return all
}

type signalled struct{ os.Signal }

func (s signalled) Error() string { return s.String() }

// errReader is the cause where who has asked for the output is gone.
var errReader = errors.New("nobody reads the output")

// interruptible is done at a signal, when the time is up, or when the caller is
// gone.
func (x *execution) interruptible(out *os.File) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 4)
	caught := slices.DeleteFunc(slices.Clone(stopSignals), signal.Ignored)
	signal.Notify(signals, caught...)
	ignorePipe()
	var up <-chan time.Time
	if x.Timeout > 0 {
		up = time.After(x.Timeout)
	}
	var gone <-chan struct{}
	if out != nil {
		gone = readerGone(out)
	}
	done := make(chan struct{})
	go func() {
		select {
		case sig := <-signals:
			cancel(signalled{sig})
		case <-gone:
			cancel(errReader)
		case <-up:
			cancel(session.ErrTimeUp)
		case <-done:
		}
		select {
		case <-signals:
			close(x.again)
		case <-done:
		}
	}()
	return ctx, func() { close(done); signal.Stop(signals); cancel(nil) }
}

// upTime is for a container that a command waits for, and perhaps its image.
const upTime = 5 * time.Minute

var errUpTime = fmt.Errorf("no container within %s", upTime)

// tried has the programs that were run on the host already: a script that calls
// us is often the first of its name on PATH, and runs the next one so.
const tried = "DUCTOR_SANDBOX_TRIED"

// maxTried ends what goes round in circles.
const maxTried = 16

// onHost is only for who asked for it, and only where nothing was started.
func (x *execution) onHost(ctx context.Context, status statusFile, reason string, why error) error {
	argv := x.Command.Words()
	again := func(path string) bool { return filepath.Base(path) == filepath.Base(argv[0]) }
	if !slices.ContainsFunc(filepath.SplitList(x.std.Getenv(tried)), again) {
		cli.Warn(x.std, "NOT in a sandbox, but on this machine: %v", why)
	}
	path, err := x.hostProgram(argv[0])
	if err == nil && x.Workdir != "" {
		if cerr := os.Chdir(x.Workdir); cerr != nil {
			err = exitcode.Errorf(exitcode.CannotExec, "%w", cerr)
		}
	}
	if err != nil {
		o := outcome{RanOn: "none", Reason: "not_started", Code: exitcode.Of(err), Message: err.Error(), Tags: x.tags}
		return errors.Join(status.write(o), err)
	}
	env := append(os.Environ(), tried+"="+strings.TrimPrefix(x.std.Getenv(tried)+string(os.PathListSeparator)+path, string(os.PathListSeparator)))
	for _, e := range x.Env {
		if strings.Contains(e, "=") {
			env = append(env, e)
		}
	}
	if ctx.Err() != nil { // a signal came in between
		return exitcode.Status(exitcode.SignalBase + int(syscall.SIGTERM))
	}
	if err := status.write(hostOutcome{"host", reason, why.Error(), x.tags}); err != nil {
		return err
	}
	if x.Timeout > 0 {
		return x.below(ctx, path, argv, env)
	}
	return become(x.std, path, argv, env)
}

// below stays until the command has ended, for the sake of --timeout. On the host
// that ends the command, and not what it has started.
func (x *execution) below(ctx context.Context, path string, argv, env []string) error {
	restorePipe()
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Env: env, Files: []*os.File{x.std.In, fileOf(x.std.Out), fileOf(x.std.Err)}})
	if err != nil {
		return exitcode.Errorf(exitcode.CannotExec, "execute %q: %w", path, err)
	}
	ended := make(chan struct{})
	go func() {
		for _, end := range []struct {
			after <-chan struct{}
			how   func(*os.Process) error
		}{{ctx.Done(), terminate}, {after(ctx, x.Grace), (*os.Process).Kill}} {
			select {
			case <-end.after:
				_ = end.how(p)
			case <-ended:
				return
			}
		}
	}()
	st, err := p.Wait()
	close(ended)
	var sig signalled
	switch {
	case err != nil:
		return exitcode.Errorf(exitcode.OSErr, "wait for %q: %w", path, err)
	case errors.Is(context.Cause(ctx), session.ErrTimeUp):
		cli.Warn(x.std, "the command took more than %s, and was ended", x.Timeout)
		return exitcode.Status(exitcode.Timeout)
	case errors.As(context.Cause(ctx), &sig):
		return exitcode.Status(exitcode.SignalBase + int(sig.Signal.(syscall.Signal)))
	}
	return exitcode.Status(codeOf(st))
}

// after is closed a while after ctx is done.
func after(ctx context.Context, d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(d, func() { close(c) }) })
	return c
}

// hostProgram looks on PATH, past those that were tried.
func (x *execution) hostProgram(name string) (string, error) {
	before := filepath.SplitList(x.std.Getenv(tried))
	candidates := []string{name}
	if filepath.Base(name) == name {
		candidates = nil
		for _, dir := range filepath.SplitList(x.std.Getenv("PATH")) {
			candidates = append(candidates, filepath.Join(dir, name))
		}
	}
	denied, last := false, ""
	found := 0
	for _, c := range candidates {
		path, err := exec.LookPath(c)
		denied = denied || errors.Is(err, os.ErrPermission)
		if err != nil {
			continue
		}
		if found++; !slices.Contains(before, path) {
			return path, nil
		}
		last = path
	}
	if found > 1 && len(before) < maxTried { // a program that calls its own name again
		return last, nil
	}
	if denied {
		return "", exitcode.Errorf(exitcode.CannotExec, "%q cannot be executed on this machine", name)
	}
	return "", exitcode.Errorf(exitcode.NotFound, "%q cannot be found on this machine", name)
}

// statusFile is where the outcome is written; nowhere without --status-fd.
type statusFile struct{ f *os.File }

func (c *execCmd) statusFile() (statusFile, error) {
	if c.StatusFD == nil {
		return statusFile{}, nil
	}
	if *c.StatusFD < 0 {
		return statusFile{}, exitcode.Errorf(exitcode.Usage, "--status-fd=%d: is no descriptor", *c.StatusFD)
	}
	f := os.NewFile(uintptr(*c.StatusFD), "status")
	if _, err := f.Stat(); err != nil || !claim(*c.StatusFD) {
		return statusFile{}, exitcode.Errorf(exitcode.Usage, "--status-fd=%d: is not open for writing", *c.StatusFD)
	}
	return statusFile{f}, nil
}

func (s statusFile) write(o any) error {
	if s.f == nil {
		return nil
	}
	line, err := jsonout.Line(o)
	if err == nil {
		_, err = s.f.Write(line)
	}
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}
