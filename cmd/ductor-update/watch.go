package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"ductor/cmd/ductor-update/internal/index"
	"ductor/cmd/ductor-update/internal/state"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/jsonout"
	"ductor/internal/common/lockfile"
)

// watcher is a watch in progress.
type watcher struct {
	*watchCmd
	std   *cli.IO
	path  string
	now   func() time.Time // of the wall: a machine that sleeps has no other
	words []string
}

// Run ends by a signal, with --once, and when the package cannot be upgraded.
func (c *watchCmd) Run(std *cli.IO) error {
	path, err := c.statePath(std)
	if err != nil {
		return err
	}
	w := watcher{c, std, path, func() time.Time { return time.Now().Round(0) }, c.Command.Words()}
	if len(w.words) > 0 {
		if w.words[0], err = program(w.words[0]); err != nil {
			return err
		}
	}
	if err := w.upgradeable(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals...)
	defer stop()
	if c.Once {
		return w.look(ctx)
	}
	return w.loop(ctx)
}

func (w watcher) run() home.Run { return home.Run(filepath.Dir(w.path)) }

func program(word string) (string, error) {
	found, err := exec.LookPath(word)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", exitcode.Errorf(exitcode.CannotExec, "%q cannot be executed", word)
	case err != nil && !errors.Is(err, exec.ErrDot):
		return "", exitcode.Errorf(exitcode.NotFound, "%q cannot be found", word)
	}
	return found, nil
}

// upgradeable refuses what could never act on the news.
func (w watcher) upgradeable() error {
	in, err := w.find(w.std)
	if _, held, lerr := lockfile.Holder(w.run().UpdateLock()); lerr == nil && held { // its files come and go just now
		return err
	}
	if err == nil && !in.Upgradeable {
		e := exitcode.Errorf(exitcode.Config, "%s cannot be upgraded where it is: %s", in.Package, safe(in.Reason))
		if in.Fix != "" {
			e = e.WithHint("%s", safe(in.Fix))
		}
		return e
	}
	return err
}

// loop looks whenever it is due. What was due while nobody watched is due now;
// a watcher that is started again and again asks no more often for that.
func (w watcher) loop(ctx context.Context) error {
	next := w.now().Add(w.Initial)
	for w.sleep(ctx, next) {
		st, _ := state.Read(w.path)
		if !st.Due(w.now(), w.Interval) {
			next = st.NextCheckAt
			continue
		}
		if err := w.upgradeable(); err != nil {
			return err
		}
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			cli.Warn(w.std, "%v", err)
		}
		st, _ = state.Read(w.path)
		if next = st.NextCheckAt; !next.After(w.now()) { // it could not be written
			next = w.now().Add(w.Interval)
		}
	}
	return nil
}

// sleep waits for a time of the wall, and looks at it each minute, because no
// timer goes on while a machine sleeps. It returns false when it is to end.
func (w watcher) sleep(ctx context.Context, until time.Time) bool {
	for {
		left := until.Sub(w.now())
		if left <= 0 {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(left, time.Minute)):
		}
	}
}

// look asks once, and tells what is new.
func (w watcher) look(ctx context.Context) error {
	a, err := w.asker(w.std)
	if err != nil {
		return w.failed(err)
	}
	defer a.client.Close()
	st, err := state.Read(w.path)
	if err != nil {
		cli.Warn(w.std, "%v", err)
	}
	w.settle(w.std, st)
	v, answer, err := a.check(ctx, st, w.now())
	if err != nil {
		return w.failed(err)
	}
	told := st.Announced
	if v.Available && v.Latest != told {
		if err = w.tell(ctx, v); err == nil {
			told = v.Latest
		}
	}
	return errors.Join(err, remember(w.path, func(s *state.State) {
		s.Remember(a.source(), answer)
		s.Announced = told
		s.Succeeded(w.now(), w.Interval, w.spread())
	}))
}

// failed lets the next question wait longer.
func (w watcher) failed(why error) error {
	var after time.Duration
	if at, ok := index.RetryAt(why); ok {
		after = at.Sub(w.now())
	}
	err := remember(w.path, func(s *state.State) { s.Failed(w.now(), w.Interval, w.spread(), after) })
	return errors.Join(why, err)
}

func (w watcher) spread() float64 { return float64(w.Jitter) * (2*rand.Float64() - 1) }

// tell prints the news, or runs the command with them.
func (w watcher) tell(ctx context.Context, v checkView) error {
	line, err := jsonout.Line(v)
	if err != nil {
		return err
	}
	if len(w.words) == 0 {
		_, err = w.std.Out.Write(line)
		return err
	}
	cmd := exec.CommandContext(ctx, w.words[0], w.words[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(line), w.std.Out, w.std.Err
	// It may be an upgrade, which has to undo what it has begun.
	cmd.Cancel, cmd.WaitDelay = func() error { return terminate(cmd.Process) }, 2*time.Minute
	cmd.Env = append(os.Environ(), "DUCTOR_UPDATE_CURRENT="+v.Current, "DUCTOR_UPDATE_LATEST="+v.Latest, "DUCTOR_UPDATE_PACKAGE="+v.Package)
	if err := cmd.Run(); err != nil {
		return exitcode.Errorf(exitcode.OSErr, "%s: %w; it is run again the next time", w.words[0], err)
	}
	return nil
}
