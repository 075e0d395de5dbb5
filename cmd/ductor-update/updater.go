package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"ductor/cmd/ductor-update/internal/install"
	"ductor/cmd/ductor-update/internal/installer"
	"ductor/cmd/ductor-update/internal/snapshot"
	"ductor/cmd/ductor-update/internal/state"
	"ductor/cmd/ductor-update/internal/version"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/hold"
	"ductor/internal/common/home"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
	"ductor/internal/common/sentinel"
)

// updater changes the installation of one bot. It has update.lock.
type updater struct {
	std  *cli.IO
	name home.Name
	home home.Home
	run  home.Run
	path string // of update.json
	st   state.State
	out  *output
	lock *lockfile.Lock
}

// newUpdater takes the lock, waits for it for a time, or fails with TempFail.
func newUpdater(std *cli.IO, name home.Name, patience time.Duration) (*updater, error) {
	dir, err := home.Find(std.Getenv)
	if err != nil {
		return nil, exitcode.Errorf(exitcode.Config, "%w", err)
	}
	u := &updater{std: std, name: name, home: dir, run: dir.Run(name)}
	u.path = u.run.UpdateState()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if u.lock, err = lockfile.Try(u.run.UpdateLock()); !errors.Is(err, lockfile.ErrHeld) || time.Now().After(end) {
			break
		}
	}
	switch {
	case errors.Is(err, lockfile.ErrHeld):
		return nil, exitcode.Errorf(exitcode.TempFail, "%q is being upgraded already", name).WithID("busy")
	case err != nil:
		return nil, err
	}
	u.out = newOutput(std.Err, std.Getenv)
	own := *std
	own.Err = notes{u.out} // who does not read must not hold us up
	u.std = &own
	if u.st, err = state.Read(u.path); err != nil {
		if !errors.Is(err, state.ErrMalformed) {
			u.close()
			return nil, err
		}
		cli.Warn(std, "%v", err)
	}
	return u, nil
}

func (u *updater) close() {
	u.out.close()
	if u.lock != nil {
		_ = u.lock.Close()
		u.lock = nil
	}
}

func (u *updater) warn(format string, args ...any) {
	u.out.begin("")
	cli.Warn(u.std, format, args...)
}

// change writes the state, and knows it from then on.
func (u *updater) change(f func(*state.State)) error {
	_, err := state.Change(u.path, func(s *state.State) error { f(s); u.st = *s; return nil })
	return err
}

func (u *updater) journal(c *change, p phase) error {
	c.Phase = p
	return u.change(func(s *state.State) { s.Journal = encode(c) })
}

// record reads one of the records; a damaged one is said, and is none.
func (u *updater) record(raw json.RawMessage) *change {
	c, err := decode(raw)
	if err != nil {
		u.warn("%q: %v", u.path, err)
	}
	return c
}

// forget ends a change that has changed nothing, or is undone. The journal goes
// first: without it nobody looks for the copy.
func (u *updater) forget(c *change) error {
	dirs := []string{c.Copy}
	if p, err := decode(u.st.Probation); err == nil && p != nil && p.ID == c.ID {
		dirs = append(dirs, p.Copy)
	}
	end := func(s *state.State) {
		s.Journal = nil
		for _, raw := range []*json.RawMessage{&s.Probation, &s.Previous} {
			if p, err := decode(*raw); err == nil && p != nil && p.ID == c.ID {
				*raw = nil
			}
		}
	}
	err := u.drop(slices.Compact(dirs), end)
	if errors.Is(err, syscall.ENOSPC) && snapshot.Remove(c.Copy) == nil { // that made room
		err = u.change(end)
	}
	return err
}

// drop changes the state so that nobody needs these copies any more, and removes
// them. The state knows of them as long as they are there.
func (u *updater) drop(dirs []string, f func(*state.State)) error {
	err := u.change(func(s *state.State) {
		f(s)
		s.Garbage = append(s.Garbage, slices.DeleteFunc(dirs, func(d string) bool { return d == "" })...)
	})
	if err != nil {
		return err
	}
	return u.sweep()
}

// sweep removes what is not needed any more. What is not ours by its name stays,
// and so does what cannot be removed, which is said.
func (u *updater) sweep() error {
	if len(u.st.Garbage) == 0 {
		return nil
	}
	var left []string
	for _, dir := range u.st.Garbage {
		if !filepath.IsAbs(dir) || !strings.HasPrefix(filepath.Base(dir), copyPrefix) {
			continue
		}
		if err := snapshot.Remove(dir); err != nil {
			u.warn("%v", err)
			left = append(left, dir)
		}
	}
	return u.change(func(s *state.State) { s.Garbage = left })
}

// newChange is one of an install, before anything is done.
func newChange(in install.Install, module string) (*change, error) {
	if err := in.Writable(); err != nil {
		return nil, err
	}
	undo, err := in.Undo()
	if err != nil {
		return nil, err
	}
	if module == "" {
		module = defaultModule(in.Package)
	}
	c := &change{ID: rand.Text(), Mode: in.Mode, Pkg: in.Package, Module: module, Old: in.Version, Python: in.Python, Program: in.Program,
		Prefix: in.Prefix, Packages: in.SitePackages, User: in.User, Undo: undo}
	c.Frozen = c.frozen()
	if in.Parts() != nil {
		c.Copy = filepath.Join(filepath.Clean(in.Prefix), copyPrefix+c.ID)
	}
	return c, nil
}

// hold makes a watching supervisor wait while files change, if there is one. It
// returns how to let go.
func (u *updater) hold() func() {
	path := u.run.CtlHold()
	if st := u.supervisor(); st.Hold != "" {
		path = st.Hold
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return func() {}
	}
	if err := hold.Take(path, u.run.HoldGuard()); err != nil {
		u.warn("%v", err)
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		touch := time.NewTicker(hold.TouchEvery)
		defer touch.Stop()
		for {
			select {
			case <-touch.C:
				hold.Touch(path)
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		if err := hold.Release(path, u.run.HoldGuard()); err != nil {
			u.warn("%v", err)
		}
	}
}

// supervision is what we read of status.json.
type supervision struct {
	State      string    `json:"state"`
	Since      time.Time `json:"since"`
	Hold       string    `json:"hold"`
	Supervisor struct {
		PID   int    `json:"pid"`
		Start string `json:"start"`
	} `json:"supervisor"`
}

// supervisor is the zero value if none runs.
func (u *updater) supervisor() supervision {
	var st supervision
	data, err := atomicfile.Read(u.run.Status(), 1<<20)
	if err != nil || json.Unmarshal(data, &st) != nil {
		return supervision{}
	}
	if id, err := process.Of(st.Supervisor.PID); err != nil || id.Start != st.Supervisor.Start {
		return supervision{}
	}
	return st
}

// settle ends a probation that the bot has passed, or that somebody has made
// void by installing another version.
func (u *updater) settle() error {
	p := u.record(u.st.Probation)
	if p == nil {
		return nil
	}
	st := u.supervisor()
	up := st.State == "up" || st.State == "ready"
	switch {
	case p.version() != p.New:
	case up && st.Since.After(p.Since) && time.Since(st.Since) >= provenAfter:
	case u.ranLong(p.Since):
	default:
		return nil
	}
	return u.prove(p)
}

// ranLong looks for a run in the supervisor's history that began after the upgrade
// and was long enough, however it ended.
func (u *updater) ranLong(since time.Time) bool {
	for _, path := range []string{u.run.Events() + ".1", u.run.Events()} {
		data, _ := atomicfile.Read(path, 4<<20)
		for line := range bytes.Lines(data) {
			var e struct {
				Type    string    `json:"type"`
				Time    time.Time `json:"time"`
				Runtime float64   `json:"runtime_seconds"`
			}
			ran := time.Duration(0)
			if json.Unmarshal(line, &e) == nil && e.Type == "child_exit" {
				ran = time.Duration(e.Runtime * float64(time.Second))
			}
			if ran >= provenAfter && !e.Time.Add(-ran).Before(since) {
				return true
			}
		}
	}
	return false
}

func (u *updater) prove(p *change) error {
	return u.drop([]string{p.Copy}, func(s *state.State) { pass(s, p) })
}

// recover ends what a killed run has begun, and says what came of it; nil if
// there was nothing. Where the installer was done, the new version stays if it
// works, and if it may stay.
func (u *updater) recover(ctx context.Context, mayStay bool) (*result, error) {
	if err := u.sweep(); err != nil {
		return nil, err
	}
	c := u.record(u.st.Journal)
	if c == nil {
		return nil, nil
	}
	installer.End(c.ID)
	switch {
	case c.Phase == copying:
		return nil, u.forget(c)
	case c.replaced(ctx):
		u.warn("an upgrade from %s was interrupted, and somebody has installed %s since: that stays", safe(c.Old), safe(c.version()))
		return nil, u.forget(c)
	case c.Phase == changed && mayStay:
		u.warn("an upgrade to %s was interrupted; it is finished now", safe(c.New))
		r, err := u.test(ctx, c, 1)
		return &r, err
	}
	u.warn("an upgrade from %s was interrupted; it is undone now", safe(c.Old))
	err := u.goBack(ctx, c, true)
	r := c.result(rolledBack)
	r.Old, r.Target, r.Reason = cmp.Or(c.New, c.Target), c.Old, "it was interrupted"
	if err != nil {
		r.Status = failed
		return &r, err
	}
	return &r, u.leaveWord(sentinel.Upgrade{ChatID: c.ChatID, OldVersion: c.Old, NewVersion: r.Old}.Undone())
}

// replaced reports whether somebody has put things right by hand: what is there
// is another version than those of the upgrade, and works.
func (c *change) replaced(ctx context.Context) bool {
	now := c.version()
	if now == unknownVersion || slices.ContainsFunc([]string{c.Old, c.New, c.Target}, func(v string) bool { return v != "" && sameVersion(now, v) }) {
		return false
	}
	for _, check := range c.Checks {
		if c.smoke(ctx, check, now) != nil {
			return false
		}
	}
	return true
}

// goBack brings back what was before. What the installer was doing is uncertain
// if it was cut short. On failure the journal stays, and the next run tries
// again.
func (u *updater) goBack(ctx context.Context, c *change, uncertain bool) error {
	err := u.journal(c, undoing)
	if known := u.record(u.st.Journal); err != nil && (known == nil || known.ID != c.ID) {
		return err
	} else if err != nil { // a full disk: what is known leads to the same
		u.warn("%v", err)
	}
	release := u.hold()
	defer release()
	if err := u.restore(ctx, c, uncertain); err != nil {
		return exitcode.Errorf(exitcode.OSErr, "%s %s could not be brought back: %w", c.Pkg, c.Old, err).
			WithHint("ductor-update rollback --if-pending tries again; or %s", quoted(append(slices.Clone(c.Undo.Argv), c.Pkg+"=="+c.Old)))
	}
	return u.forget(c)
}

func (u *updater) restore(ctx context.Context, c *change, uncertain bool) error {
	if u.putBack(c) {
		return nil
	}
	specs := c.missing()
	if main := install.Spec(c.Pkg, c.Old); (uncertain || c.version() != c.Old) && !slices.Contains(specs, main) {
		specs = append(specs, main)
	}
	if len(specs) == 0 {
		return nil
	}
	argv := append(slices.Clone(c.Undo.Argv), specs...)
	u.out.begin("bringing back %s %s", c.Pkg, c.Old)
	err := installer.Run(ctx, installer.Job{Argv: argv, Env: installer.Environment(c.Undo.Env...), Mark: c.ID, Out: u.out})
	switch now := c.version(); {
	case err != nil:
		return errors.New(installer.Why(argv, err))
	case now != c.Old:
		return exitcode.Errorf(exitcode.OSErr, "the disk has version %s", now)
	}
	for _, check := range c.Checks {
		if err := c.smoke(ctx, check, c.Old); err != nil && !errors.Is(err, errUntested) {
			return err
		}
	}
	return snapshot.Sync(c.Packages)
}

// putBack uses the copy, if there is one, and reports whether that was all. A
// copy that cannot be put back stays where it is: files of the user's may be in
// it.
func (u *updater) putBack(c *change) bool {
	if _, err := os.Lstat(c.Copy); c.Copy == "" || err != nil {
		return false
	}
	var err error
	if snapshot.Whole(c.Copy) {
		err = snapshot.Restore(c.Prefix, c.Copy)
	}
	if err == nil && c.version() == c.Old {
		u.tellUndone(c)
		return true
	}
	u.warn("the copy in %q cannot be put back, and is left there: %v", c.Copy, cmp.Or(err, error(exitcode.Errorf(exitcode.DataErr, "it has version %s", c.version()))))
	c.Copy = ""
	err = u.change(func(s *state.State) {
		s.Journal = encode(c)
		if p, derr := decode(s.Probation); derr == nil && p != nil && p.ID == c.ID {
			s.Probation = nil // it names the copy, too, which would be removed with it
		}
	})
	if err != nil {
		u.warn("%v", err)
	}
	return false
}

// tellUndone names the files of the user's that have another name now.
func (u *updater) tellUndone(c *change) {
	n := 0
	for _, part := range (install.Install{Mode: c.Mode, Prefix: c.Prefix, SitePackages: c.Packages, User: c.User}).Parts() {
		_ = filepath.WalkDir(filepath.Join(c.Prefix, part), func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && strings.Contains(e.Name(), snapshot.Suffix) {
				if n++; n <= 10 {
					u.warn("%q was written since the upgrade, and is kept under this name", path)
				}
			}
			return nil
		})
	}
}

// canonical is a version as the index has it.
func canonical(v string) string {
	if parsed, err := version.Parse(v); err == nil {
		return parsed.String()
	}
	return v
}

// leaveWord writes the sentinel that the bot's next start reads. One that nobody
// has read yet, of an upgrade that is undone, is a lie: its chat is told the
// truth, or nothing.
func (u *updater) leaveWord(s sentinel.Upgrade) error {
	path := upgradeSentinel(u.home, u.name)
	if s.Status == sentinel.RolledBack {
		data, err := atomicfile.Read(path, sentinel.MaxSize)
		if old, perr := sentinel.ParseUpgrade(data); err == nil && perr == nil && old.Status == "" && old.NewVersion != s.NewVersion {
			if s.ChatID == 0 && old.ChatID == 0 {
				return atomicfile.Remove(path)
			}
			s.ChatID = cmp.Or(s.ChatID, old.ChatID)
		}
	}
	if s.ChatID == 0 {
		return nil
	}
	if err := sentinel.WriteUpgrade(path, s); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	return nil
}
