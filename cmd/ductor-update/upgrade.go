package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"ductor/cmd/ductor-update/internal/install"
	"ductor/cmd/ductor-update/internal/installer"
	"ductor/cmd/ductor-update/internal/snapshot"
	"ductor/cmd/ductor-update/internal/state"
	"ductor/cmd/ductor-update/internal/version"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/sentinel"
)

// Statuses of a result.
const (
	upgraded      = "upgraded"
	unchanged     = "unchanged"
	pinned        = "pinned"
	notVisibleYet = "not-visible-yet"
	refused       = "refused"
	failed        = "failed"
	rolledBack    = "rolled-back"
	unverified    = "unverified"
)

// result is what upgrade and rollback print.
type result struct {
	Status  string       `json:"status"`
	Old     string       `json:"old"`
	New     string       `json:"new"` // what is installed now
	Target  string       `json:"target,omitempty"`
	Package string       `json:"package"`
	Mode    install.Mode `json:"mode"`
	Tries   int          `json:"tries"`
	Reason  string       `json:"reason,omitempty"`
	Fix     string       `json:"fix,omitempty"`
	Tail    string       `json:"tail,omitempty"`
}

func (c *change) result(status string) result {
	return result{Status: status, Old: c.Old, New: c.version(), Package: c.Pkg, Mode: c.Mode}
}

// dryRun is what upgrade --dry-run prints.
type dryRun struct {
	DryRun  bool     `json:"dry_run"`
	Old     string   `json:"old"`
	Target  string   `json:"target"`
	Package string   `json:"package"`
	Mode    string   `json:"mode"`
	Command []string `json:"command"`
}

// plan is what an upgrade will do.
type plan struct {
	target  string
	exact   bool // this version and no other
	limited bool // the installer may keep to a range that the target is not in
	command install.Command
	last    install.Command // for the last try, where the installer goes on to see nothing newer
}

// lagDelays are before each try: a mirror of an index, or its cache, may take
// minutes until it shows what another part of it has.
var lagDelays = []time.Duration{0, 20 * time.Second, 40 * time.Second}

// undoTime is what going back may take, after the time of the upgrade is over.
const undoTime = 10 * time.Minute

// Run upgrades, and prints a result whatever came of it.
func (c *upgradeCmd) Run(std *cli.IO) error {
	if c.DryRun {
		return c.dryRun(std)
	}
	if done, err := c.refuse(std); done {
		return err
	}
	ignoreHangups()
	ctx, stop := interruptible(c.Timeout)
	defer stop()
	u, err := newUpdater(std, c.Name, 0)
	if err != nil {
		return err
	}
	defer u.close()
	r, err := c.upgrade(ctx, u)
	u.close()
	if r.Status == "" {
		return err
	}
	done := err == nil && (r.Status == upgraded || r.Status == unverified)
	err = report(std, c.JSON, r, err)
	if done && c.Restart { // also where nobody reads what we print
		err = errors.Join(err, askRestart(u.home, c.Name))
	}
	return err
}

// refuse comes before anything is made, but not before what a killed run has
// left is put right: an environment that lacks half of its files looks like one
// that cannot be upgraded.
func (c *upgradeCmd) refuse(std *cli.IO) (bool, error) {
	path, err := askFlags{nameFlag: c.nameFlag}.statePath(std)
	if err != nil {
		return true, err
	}
	if st, _ := state.Read(path); len(st.Journal) > 0 {
		return false, nil
	}
	in, err := c.find(std)
	if err != nil || in.Upgradeable {
		return err != nil, err
	}
	return true, report(std, c.JSON, refusal(in), nil)
}

func refusal(in install.Install) result {
	return result{Status: refused, Old: in.Version, New: in.Version, Package: in.Package, Mode: in.Mode, Reason: in.Reason, Fix: in.Fix}
}

// upgrade puts in order what a run before has left, and does its own then.
func (c *upgradeCmd) upgrade(ctx context.Context, u *updater) (result, error) {
	finished, err := u.tidy(c.To != "", true)
	if err != nil {
		return finished, err
	}
	in, err := c.find(u.std)
	if err != nil {
		return result{}, err
	}
	if !in.Upgradeable {
		return refusal(in), nil
	}
	p, r, err := c.plan(ctx, u.std, u.st, in)
	if err != nil || r.Status != "" {
		if code := interruption(ctx, err); err != nil && code != nil && ctx.Err() != nil {
			r = refusal(in)
			r.Status, r.Reason, r.Fix, err = failed, err.Error(), "", code
		}
		if r.Status == unchanged && (finished.Status == upgraded || finished.Status == unverified) {
			return finished, err // what was asked for, too
		}
		return r, err
	}
	ch, err := newChange(in, c.Module)
	if err != nil {
		return result{}, err
	}
	ch.ChatID = int64(c.ChatID)
	if !c.NoSmoke {
		u.out.begin("testing %s %s", ch.Pkg, ch.Old)
		ch.Checks = ch.passed(ctx)
	}
	return u.perform(ctx, ch, p)
}

// tidy puts in order what a run before has left. It has its own time: the way
// back is not the upgrade's. What cannot be undone stands in the way of
// everything but a version that somebody has named.
func (u *updater) tidy(named, mayStay bool) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), undoTime)
	defer cancel()
	r, err := u.recover(ctx, mayStay)
	if err != nil && named {
		u.warn("%v; that is given up for the version that was named", err)
		if c := u.record(u.st.Journal); c != nil {
			err = u.forget(c)
		}
	}
	if r == nil {
		r = &result{}
	}
	if err == nil {
		err = u.settle()
	}
	return *r, err
}

// plan decides what to do; a result with a status is the answer already.
func (c *upgradeCmd) plan(ctx context.Context, std *cli.IO, st state.State, in install.Install) (p plan, r result, err error) {
	r = result{Old: in.Version, New: in.Version, Package: in.Package, Mode: in.Mode}
	if in.Pinned {
		r.Status, r.Reason, r.Fix = pinned, in.Reason, in.Fix
		return p, r, nil
	}
	if c.To != "" {
		return c.planExact(in, r)
	}
	a, err := askFlags{nameFlag: c.nameFlag, packageFlag: c.packageFlag, Source: "pypi"}.asker(std)
	if err != nil {
		return p, result{}, err
	}
	defer a.client.Close()
	v, _, err := a.check(ctx, state.State{Blocked: st.Blocked}, time.Now())
	if err != nil {
		return p, result{}, err
	}
	if !v.Available {
		r.Status = unchanged
		if len(v.Skipped) > 0 {
			r.Reason = fmt.Sprintf("not %s: %s", v.Skipped[0].Version, v.Skipped[0].Why)
		}
		return p, r, nil
	}
	p.target = v.Latest
	if target, err := version.Parse(v.Latest); err == nil && target.IsPrerelease() {
		p.exact = true // the installer would not take it by itself
		p.command, err = in.Exact(v.Latest)
		return p, result{}, err
	} else if limits, lerr := version.ParseSpecifiers(in.Specifier); err == nil && lerr == nil {
		p.limited = !limits.Admits(target)
	}
	if p.last, err = in.Exact(v.Latest); err == nil {
		p.command, err = in.Upgrade()
	}
	return p, result{}, err
}

func (c *upgradeCmd) planExact(in install.Install, r result) (plan, result, error) {
	target, err := version.Parse(c.To)
	if err != nil {
		return plan{}, result{}, exitcode.Errorf(exitcode.Usage, "--to=%q: %w", c.To, err)
	}
	if sameVersion(in.Version, target.String()) {
		r.Status = unchanged
		return plan{}, r, nil
	}
	command, err := in.Exact(target.String())
	return plan{target: target.String(), exact: true, command: command}, result{}, err
}

func sameVersion(a, b string) bool {
	x, err1 := version.Parse(a)
	y, err2 := version.Parse(b)
	return a == b || err1 == nil && err2 == nil && version.Compare(x, y) == 0
}

func (c *upgradeCmd) dryRun(std *cli.IO) error {
	in, err := c.find(std)
	if err != nil {
		return err
	}
	r := refusal(in)
	var p plan
	if in.Upgradeable {
		path, err := askFlags{nameFlag: c.nameFlag}.statePath(std)
		if err != nil {
			return err
		}
		st, err := state.Read(path)
		if err != nil {
			cli.Warn(std, "%v", err)
		}
		if p, r, err = c.plan(context.Background(), std, st, in); err != nil {
			return err
		}
		if err = in.Writable(); err != nil {
			return err
		}
	}
	if r.Status != "" {
		return report(std, c.JSON, r, nil)
	}
	if !c.JSON && isScreen(std) {
		_, err := fmt.Fprintf(std.Out, "%s %s would be upgraded to %s:\n  %s\n", in.Package, safe(in.Version), safe(p.target), safe(quoted(p.command.Argv)))
		return err
	}
	return printJSON(std, dryRun{true, in.Version, p.target, in.Package, string(in.Mode), p.command.Argv})
}

// errLag and errLimit: the installer is content, and nothing has changed.
var (
	errLag   = errors.New("the index does not show it yet")
	errLimit = errors.New("the installer keeps to what was asked for when it was installed")
)

// perform does it: copy, install, test, and back if need be.
func (u *updater) perform(ctx context.Context, c *change, p plan) (result, error) {
	c.Target = p.target
	release := sync.OnceFunc(u.hold())
	defer release()
	if err := u.copy(c); err != nil {
		return result{}, err
	}
	if err := u.journal(c, changing); err != nil {
		return result{}, errors.Join(err, u.forget(c))
	}
	tries, err := u.install(ctx, c, p)
	if err == nil {
		c.New, c.After = c.version(), c.frozen()
		err = u.journal(c, changed)
	}
	if err == nil {
		r, err := u.test(ctx, c, tries)
		r.Target = p.target
		return r, err
	}
	return u.giveUp(ctx, c, p, tries, err)
}

// copy makes the way back first: without one nothing is changed.
func (u *updater) copy(c *change) error {
	if err := u.journal(c, copying); err != nil || c.Copy == "" {
		return err
	}
	u.out.begin("copying what the installer will change")
	parts := install.Install{Mode: c.Mode, Prefix: c.Prefix, SitePackages: c.Packages, User: c.User}.Parts()
	err := snapshot.Take(c.Prefix, c.Copy, parts)
	switch {
	case err == nil:
		return nil
	case exitcode.Of(err) == exitcode.Unavailable: // it cannot be put back by renames
		u.warn("no copy is made, so that the way back is by the index: %v", err)
		c.Copy = ""
		return nil
	}
	return errors.Join(err, u.forget(c))
}

// install runs the installer until the disk has another version.
func (u *updater) install(ctx context.Context, c *change, p plan) (tries int, err error) {
	command := p.command
	for i, delay := range lagDelays {
		if i > 0 && i == len(lagDelays)-1 && !p.exact && !p.limited {
			command = p.last // the installer says why it does not
		}
		if delay > 0 {
			u.out.begin("%s: %v; again in %s", p.target, errLag, delay)
		}
		select {
		case <-ctx.Done():
			return tries, ctx.Err()
		case <-time.After(delay):
		}
		tries++
		u.out.begin("%s %s → %s", c.Pkg, c.Old, p.target)
		err = installer.Run(ctx, installer.Job{Argv: command.Argv, Env: installer.Environment(command.Env...), Mark: c.ID, Out: u.out})
		now := c.version()
		switch {
		case err == nil && now != c.Old && !p.exact && u.st.IsBlocked(canonical(now)):
			return tries, fmt.Errorf("the installer brought version %s, which the bot went back from", now)
		case err == nil && now != c.Old:
			return tries, p.fits(c.Old, now)
		case err == nil && p.limited:
			return tries, errLimit
		case err != nil && (ctx.Err() != nil || !u.out.lags(c.Pkg)):
			return tries, err
		}
	}
	return tries, errLag
}

// lags recognises pip's and uv's words for a version that the index has not; of a
// dependency they mean something else.
func (o *output) lags(pkg string) bool {
	text := o.end()
	return strings.Contains(text, "No matching distribution found for "+pkg+"==") || strings.Contains(text, "no version of "+pkg+"==")
}

// fits refuses what is not what was wanted.
func (p plan) fits(old, now string) error {
	x, err1 := version.Parse(old)
	y, err2 := version.Parse(now)
	switch {
	case err2 != nil:
		return fmt.Errorf("the disk has version %q, which is none", now)
	case p.exact && !sameVersion(now, p.target):
		return fmt.Errorf("the disk has version %s, and %s was wanted", now, p.target)
	case !p.exact && err1 == nil && version.Compare(y, x) < 0:
		return fmt.Errorf("the installer went back to version %s", now)
	}
	return nil
}

// giveUp undoes what an installer did that failed, or did nothing.
func (u *updater) giveUp(ctx context.Context, c *change, p plan, tries int, why error) (result, error) {
	tail := u.out.end()
	untouched := c.version() == c.Old && slices.Equal(c.frozen(), c.Frozen)
	r := c.result(failed)
	r.Target, r.Tries, r.Tail = p.target, tries, tail
	var code error
	switch {
	case errors.Is(why, errLag):
		r.Status, r.Reason = notVisibleYet, why.Error()
	case errors.Is(why, errLimit):
		r.Status, r.Reason, r.Fix = pinned, why.Error(), "pipx install --force "+c.Pkg
		if c.Mode == install.UvTool {
			r.Fix = "uv tool install --force " + c.Pkg
		}
	default:
		r.Reason = installer.Why(p.command.Argv, why)
		code = interruption(ctx, why)
		if !untouched {
			r.Status = rolledBack
		}
	}
	if untouched && (r.Status == notVisibleYet || r.Status == pinned) { // the installer was content
		return r, u.forget(c)
	}
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if err := u.goBack(back, c, ctx.Err() != nil || installer.Died(why)); err != nil {
		r.Status, r.New = failed, c.version()
		return r, err
	}
	r.New = c.version()
	return r, code
}

// test keeps the new version if it passes what the old one did.
func (u *updater) test(ctx context.Context, c *change, tries int) (result, error) {
	tail := u.out.end()
	var why error
	for _, check := range c.Checks {
		u.out.begin("testing %s %s", c.Pkg, c.New)
		if why = c.smoke(ctx, check, c.New); why != nil {
			break
		}
	}
	if why == nil {
		why = ctx.Err()
	}
	if why == nil {
		r, err := u.keep(c)
		r.Tries, r.Tail = tries, tail
		return r, err
	}
	r := c.result(rolledBack)
	r.Tries, r.Tail, r.Reason = tries, tail, why.Error()
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if err := u.goBack(back, c, false); err != nil {
		r.Status = failed
		return r, err
	}
	r.New = c.version()
	if ctx.Err() != nil {
		return r, interruption(ctx, ctx.Err())
	}
	if errors.Is(why, errUntested) {
		return r, nil
	}
	return r, u.change(func(s *state.State) { s.Block(canonical(c.New)) })
}

// keep puts the new version on probation. Where the old one was still on
// probation itself, the way back is that to the one before.
func (u *updater) keep(c *change) (result, error) {
	r := c.result(upgraded)
	if len(c.Checks) == 0 {
		r.Status, r.Reason = unverified, "nothing tested it"
	}
	if err := errors.Join(snapshot.Sync(c.Packages), u.leaveWord(sentinel.Upgrade{ChatID: c.ChatID, OldVersion: c.Old, NewVersion: c.New})); err != nil {
		return r, err
	}
	p, spare := *c, ""
	if base := u.record(u.st.Probation); base != nil {
		spare = base.Copy
		if base.New == c.Old && base.Packages == c.Packages && base.Pkg == c.Pkg {
			p.Old, p.Copy, p.Frozen, p.Undo, spare = base.Old, base.Copy, base.Frozen, base.Undo, c.Copy
		}
	}
	p.Phase, p.Since = "", time.Now().UTC()
	return r, u.drop([]string{spare}, func(s *state.State) {
		s.Journal, s.Probation = nil, encode(&p)
		s.Unblock(canonical(c.New))
	})
}

// interruption is the code of what cut the installer short: the time, or a
// signal.
func interruption(ctx context.Context, why error) error {
	var sig signalled
	switch {
	case errors.Is(why, context.DeadlineExceeded):
		return exitcode.Status(exitcode.Timeout)
	case errors.As(context.Cause(ctx), &sig):
		return exitcode.Status(exitcode.SignalBase + int(sig.Signal.(syscall.Signal)))
	case exitcode.Of(why) == exitcode.Unavailable:
		return exitcode.Status(exitcode.Unavailable)
	}
	return nil
}

type signalled struct{ os.Signal }

func (s signalled) Error() string { return s.String() }

// interruptible is done after a time, or at a signal.
func interruptible(limit time.Duration) (context.Context, func()) {
	ctx, timeout := context.WithTimeout(context.Background(), limit)
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, upgradeSignals...)
	go func() {
		select {
		case sig := <-signals:
			cancel(signalled{sig})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil); timeout() }
}

// report prints a result, and says it once more as an error where it is one. err
// is what else went wrong, or a code that comes before that of the status.
func report(std *cli.IO, json bool, r result, err error) error {
	perr := r.print(std, json)
	var status exitcode.Status
	if err != nil && !errors.As(err, &status) {
		return err
	}
	e := r.failure(int(status))
	if e == nil {
		return perr
	}
	return e
}

func (r result) failure(code int) error {
	numbers := map[string]int{refused: exitcode.Config, pinned: exitcode.Config, notVisibleYet: exitcode.TempFail, failed: exitcode.OSErr, rolledBack: exitcode.OSErr}
	number := numbers[r.Status]
	if number == 0 {
		return nil
	}
	if code != 0 {
		number = code
	}
	e := exitcode.Errorf(number, "%s is not upgraded: %s", r.Package, safe(r.Reason)).WithID(r.Status)
	if r.Fix != "" {
		e = e.WithHint("%s", safe(r.Fix))
	}
	return e
}

// isScreen: a person reads the answer.
func isScreen(std *cli.IO) bool {
	f, ok := std.Out.(*os.File)
	return ok && isTerminal(f)
}

func (r result) print(std *cli.IO, json bool) error {
	if json || !isScreen(std) {
		return printJSON(std, r)
	}
	_, err := fmt.Fprintln(std.Out, r.text())
	return err
}

func (r result) text() string {
	switch r.Status {
	case upgraded, unverified:
		text := fmt.Sprintf("%s %s is installed; it was %s", r.Package, safe(r.New), safe(r.Old))
		if r.Status == unverified {
			text += "; nothing tested it"
		}
		return text
	case unchanged:
		text := fmt.Sprintf("%s %s stays", r.Package, safe(r.New))
		if r.Reason != "" {
			text += "; " + safe(r.Reason)
		}
		return text
	}
	return fmt.Sprintf("%s: %s; version %s is installed", r.Package, r.Status, safe(r.New))
}

// quoted is a command line to be read.
func quoted(argv []string) string {
	words := make([]string, len(argv))
	for i, w := range argv {
		if words[i] = w; strings.ContainsAny(w, " \t\"'$\\<>|&;()*?") || w == "" {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// upgradeSentinel is the home's for the default bot, as existing bots know it.
func upgradeSentinel(dir home.Home, name home.Name) string {
	if name == home.DefaultName {
		return dir.UpgradeSentinel()
	}
	return filepath.Join(string(dir.Run(name)), filepath.Base(dir.UpgradeSentinel()))
}

// askRestart leaves the marker: the last thing that is done, since the restart
// may end the process that asked for the upgrade, and us with it.
func askRestart(dir home.Home, name home.Name) error {
	path := dir.RestartRequested()
	if name != home.DefaultName {
		path = dir.Run(name).CtlRestart()
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	if err := sentinel.WriteMarker(path); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	return nil
}
