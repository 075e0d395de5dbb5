package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"ductor/cmd/ductor-service/internal/backend"
	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/jsonout"
	"ductor/internal/common/lockfile"
)

// installView is what install --json prints.
type installView struct {
	Action     backend.Action    `json:"action"` // created, updated, unchanged
	Name       string            `json:"name"`
	Manager    string            `json:"manager"`
	Definition string            `json:"definition"`
	Backups    []string          `json:"backups,omitempty"`
	Path       []string          `json:"path"`
	State      backend.State     `json:"state"`
	PID        int               `json:"pid,omitempty"`
	Starts     string            `json:"starts,omitempty"`
	Problems   []backend.Problem `json:"problems"`
}

// Run validates, stores, starts and looks whether it stays up.
func (c *installCmd) Run(std *cli.IO) error {
	began := time.Now()
	b, err := find(std, c.Name)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	if err := b.mayInstall(ctx, std); err != nil {
		return err
	}
	m := maker{std: std, owner: b.owner, flags: c.serviceFlags}
	s, err := m.service()
	if err != nil {
		return err
	}
	s = m.withRollback(ctx, s)
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	before, err := b.manager.Status(ctx)
	if err != nil {
		return err
	}
	starts := !c.NoStart || before.Runs()
	if err := rehearse(ctx, s, starts && !before.Runs()); err != nil {
		return err
	}
	for _, w := range relativeWords(s) {
		cli.Warn(std, "%q is looked for in %q, where the service starts", w, s.Dir)
		cli.Hint(std, "give its absolute path, or ductor-supervise --chdir DIR")
	}
	earlier, _ := b.readBot()
	done, err := b.manager.Install(ctx, backend.Plan{Service: s, Start: !c.NoStart, Linger: !c.NoLinger, Force: c.Force})
	if err != nil {
		return err
	}
	return c.report(ctx, std, b, s, done, outcome{began, starts, earlier})
}

// mayInstall refuses what would leave somebody else's home with files of ours.
func (b bot) mayInstall(ctx context.Context, std *cli.IO) error {
	if _, err := b.manager.Status(ctx); exitcode.Of(err) == exitcode.Unavailable {
		return err
	}
	if !ownFolder(b.folder) {
		return exitcode.Errorf(exitcode.NoPerm, "the home folder %q belongs to somebody else", b.folder).WithHint("run it as its owner, in a login of theirs")
	}
	if user := std.Getenv("SUDO_USER"); user != "" && b.uid == "0" {
		cli.Warn(std, "this installs a service of root, and not of %s", user)
		cli.Hint(std, "run it without sudo")
	}
	return nil
}

// outcome is what report needs to know of the time before.
type outcome struct {
	began   time.Time
	starts  bool    // the service was started, or started again
	earlier botView // what an earlier supervisor had said
}

// report says what was done, and how the service is by now.
func (c *installCmd) report(ctx context.Context, std *cli.IO, b bot, s definition.Service, done backend.Installed, o outcome) error {
	st, why, err := b.afterInstall(ctx, o.earlier, o.starts)
	if ctx.Err() != nil {
		cli.Warn(std, "%q is installed; whether it stays up was not waited for", s.Name)
		return exitcode.Status(exitcode.SignalBase + 2)
	}
	if err != nil {
		cli.Warn(std, "%q is installed, but how it is cannot be told: %v", s.Name, err)
		st.State = backend.Unknown
	}
	problems := st.Problems
	for _, p := range done.Problems { // linger-off, with the reason
		problems = withProblem(problems, p)
	}
	v := installView{done.Action, s.Name, st.Manager, done.Definition, done.Backups, strings.Split(s.Path, pathSeparator), st.State, st.PID, st.Starts, problems}
	if err := v.print(std, c.JSON); err != nil {
		return err
	}
	if why == "" {
		return nil
	}
	e := exitcode.Errorf(exitcode.Config, "%q is installed, but does not stay up: %s", s.Name, why)
	if !c.JSON {
		fmt.Fprint(std.Err, indent(b.lastLines(ctx, o.began)))
	}
	return e.WithHint("ductor-service logs --name %s", s.Name)
}

const pathSeparator = string(os.PathListSeparator)

// withProblem puts a problem in the place of another of its code.
func withProblem(problems []backend.Problem, p backend.Problem) []backend.Problem {
	for i := range problems {
		if problems[i].Code == p.Code {
			problems[i] = p
			return problems
		}
	}
	return append(problems, p)
}

func (v installView) print(std *cli.IO, json bool) error {
	if json {
		return printJSON(std, v)
	}
	text := fmt.Sprintf("%s %s\n%s\n", v.Action, v.Definition, v.now())
	for _, b := range v.Backups {
		text += "what was there is " + b + "\n"
	}
	_, err := io.WriteString(std.Out, text)
	tellProblems(std, v.Problems)
	return err
}

func (v installView) now() string {
	text := v.Name + ": " + string(v.State)
	if v.PID != 0 {
		text += fmt.Sprintf(", PID %d", v.PID)
	}
	if v.Starts != "" {
		text += ", starts at " + v.Starts
		if v.Starts == backend.StartsManual {
			text = strings.TrimSuffix(text, "starts at manual") + "started by hand only"
		}
	}
	return text
}

func tellProblems(std *cli.IO, problems []backend.Problem) {
	for _, p := range problems {
		cli.Warn(std, "%s: %s", p.Code, p.Message)
		if p.Fix != "" {
			cli.Hint(std, "%s", p.Fix)
		}
	}
}

func printJSON(std *cli.IO, v any) error {
	line, err := jsonout.Line(v)
	if err == nil {
		_, err = std.Out.Write(line)
	}
	return err
}

// bot is the service of one name, and who answers for it.
type bot struct {
	owner
	name    home.Name
	manager backend.Manager
}

func find(std *cli.IO, name home.Name) (bot, error) {
	o, err := findOwner(std)
	if err != nil {
		return bot{}, err
	}
	m, err := managerOf(std, o, name)
	return bot{o, name, m}, err
}

// lockWait is how long another installation may take; it waits for stops.
const lockWait = 2 * time.Minute

// lock lets one at a time change the service.
func (b bot) lock(ctx context.Context) (unlock func(), err error) {
	run := b.home.Run(b.name)
	if err := run.Make(); err != nil {
		return nil, exitcode.File(exitcode.CantCreat, err)
	}
	type result struct {
		lock *lockfile.Lock
		err  error
	}
	got := make(chan result, 1)
	go func() {
		l, err := lockfile.Wait(run.ServiceGuard())
		got <- result{l, err}
	}()
	busy := time.NewTimer(lockWait)
	defer busy.Stop()
	select {
	case r := <-got:
		if r.err != nil {
			return nil, exitcode.File(exitcode.CantCreat, r.err)
		}
		return func() { r.lock.Close() }, nil
	case <-busy.C:
	case <-ctx.Done():
	}
	return nil, exitcode.Errorf(exitcode.TempFail, "the service %q is being changed by somebody else", b.name)
}

// interruptible ends with Ctrl-C, so that what was begun is undone.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), stopSignals...)
}

// lastLines are those that may say why it does not run.
func (b bot) lastLines(ctx context.Context, since time.Time) string {
	var out bytes.Buffer
	if err := b.manager.Logs(ctx, &out, io.Discard, backend.Lines{Last: 10, Since: since.Truncate(time.Second)}); err != nil {
		return ""
	}
	return out.String()
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + strings.TrimRight(line, "\n") + "\n")
	}
	return b.String()
}
