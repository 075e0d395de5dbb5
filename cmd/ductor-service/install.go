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
	Backup     string            `json:"backup,omitempty"`
	Path       []string          `json:"path"`
	State      backend.State     `json:"state"`
	PID        int               `json:"pid,omitempty"`
	Starts     string            `json:"starts,omitempty"`
	Problems   []backend.Problem `json:"problems"`
}

// Run validates, stores, starts and looks whether it stays up.
func (c *installCmd) Run(std *cli.IO) error {
	b, err := find(std, c.Name)
	if err != nil {
		return err
	}
	s, err := maker{std: std, owner: b.owner, flags: c.serviceFlags}.service()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := rehearse(ctx, s); err != nil {
		return err
	}
	for _, w := range relativeWords(s) {
		cli.Warn(std, "%q is looked for in %q, where the service starts", w, s.Dir)
		cli.Hint(std, "give its absolute path, or ductor-supervise --chdir DIR")
	}
	before, err := b.manager.Status(ctx)
	if err != nil {
		return err
	}
	earlier, _ := b.readBot()
	done, err := b.manager.Install(ctx, backend.Plan{Service: s, Start: !c.NoStart, Linger: !c.NoLinger, Force: c.Force})
	if err != nil {
		return err
	}
	return c.report(ctx, std, b, s, done, !c.NoStart || before.Runs(), earlier)
}

// report says what was done, and how the service is by now.
func (c *installCmd) report(ctx context.Context, std *cli.IO, b bot, s definition.Service, done backend.Installed, started bool, earlier botView) error {
	st, why, err := b.afterInstall(ctx, earlier, started)
	if err != nil {
		return err
	}
	problems := st.Problems
	for _, p := range done.Problems { // linger-off, with the reason
		problems = withProblem(problems, p)
	}
	v := installView{done.Action, s.Name, st.Manager, done.Definition, done.Backup, strings.Split(s.Path, pathSeparator), st.State, st.PID, st.Starts, problems}
	if err := v.print(std, c.JSON); err != nil {
		return err
	}
	if why == "" {
		return nil
	}
	e := exitcode.Errorf(exitcode.Config, "%q is installed, but does not stay up: %s", s.Name, why)
	if !c.JSON {
		fmt.Fprint(std.Err, indent(b.lastLines(ctx)))
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
	if v.Backup != "" {
		text += "the old one is " + v.Backup + "\n"
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
func (b bot) lastLines(ctx context.Context) string {
	var out bytes.Buffer
	if err := b.manager.Logs(ctx, &out, io.Discard, backend.Lines{Last: 10}); err != nil {
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
