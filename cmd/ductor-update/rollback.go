package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"ductor/cmd/ductor-update/internal/state"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/sentinel"
)

// Run goes back: to the version before, to one that is named, or, after the
// third crash, from one on probation.
func (c *rollbackCmd) Run(std *cli.IO) error {
	ignoreHangups()
	ctx, stop := interruptible(undoTime)
	defer stop()
	patience := time.Duration(0)
	if c.IfPending { // a crash that is not counted is a crash more
		patience = lockPatience
	}
	u, err := newUpdater(std, c.Name, patience)
	if err != nil {
		return err
	}
	defer u.close()
	r, err := c.rollback(ctx, u)
	u.close()
	if r.Status == "" {
		return err
	}
	if err != nil {
		_ = r.print(std, c.JSON)
		return err
	}
	return r.print(std, c.JSON)
}

// lockPatience is for a check that just writes down what it has seen.
const lockPatience = 3 * time.Second

func (c *rollbackCmd) rollback(ctx context.Context, u *updater) (result, error) {
	if c.To != "" {
		if r, err := u.tidy(true, false); err != nil {
			return r, err
		}
		return c.to(ctx, u)
	}
	if r, err := u.recover(ctx, false); r != nil || err != nil {
		return *cmp.Or(r, &result{}), err
	}
	if c.IfPending {
		return c.ifPending(ctx, u)
	}
	for _, raw := range []json.RawMessage{u.st.Probation, u.st.Previous} {
		if p := u.record(raw); p != nil && p.Pkg == c.Package && p.version() == p.New {
			return u.back(ctx, p)
		}
	}
	return result{}, exitcode.Errorf(exitcode.No, "no upgrade of %s is known that could be undone", c.Package).
		WithHint("ductor-update rollback --to VERSION")
}

// ifPending is for the hook of a supervisor, after each crash.
func (c *rollbackCmd) ifPending(ctx context.Context, u *updater) (result, error) {
	p := u.record(u.st.Probation)
	if p == nil {
		return result{}, exitcode.Status(exitcode.No)
	}
	if p.version() != p.New { // somebody has installed another one since
		return result{}, errors.Join(u.prove(p), exitcode.Status(exitcode.No))
	}
	if u.ranLong(p.Since) {
		return result{}, errors.Join(u.prove(p), exitcode.Status(exitcode.No))
	}
	switch p.judge(thisCrash(u.std)) {
	case proven:
		if err := u.prove(p); err != nil {
			return result{}, err
		}
	case counted:
		if err := u.change(func(s *state.State) { s.Probation = encode(p) }); err != nil {
			return result{}, err
		}
		cli.Warn(u.std, "%s %s is on probation, and the bot has crashed: %d of %d", p.Pkg, safe(p.New), p.Crashes, lastCrash)
	case bad:
		cli.Warn(u.std, "%s %s is on probation, and the bot has crashed %d times: going back to %s", p.Pkg, safe(p.New), lastCrash, safe(p.Old))
		return u.back(ctx, p)
	}
	return result{}, exitcode.Status(exitcode.No)
}

// thisCrash is what the supervisor tells its hook, or now, if nobody tells.
func thisCrash(std *cli.IO) crash {
	k := crash{at: time.Now().UTC(), ran: -1}
	if std.Getenv("DUCTOR_EVENT") == "" || std.In == nil {
		return k
	}
	var e struct {
		Time    time.Time `json:"time"`
		Runtime *float64  `json:"runtime_seconds"`
	}
	data, err := io.ReadAll(io.LimitReader(std.In, 1<<20))
	if err != nil || json.Unmarshal(data, &e) != nil || e.Time.IsZero() {
		return k
	}
	k.at = e.Time
	if e.Runtime != nil && *e.Runtime >= 0 {
		k.ran = time.Duration(*e.Runtime * float64(time.Second))
	}
	return k
}

// back undoes an upgrade. The copy is used while nobody else has changed the
// environment since.
func (u *updater) back(ctx context.Context, p *change) (result, error) {
	bad := p.New
	if !slices.Equal(p.After, p.frozen()) {
		p.Copy = ""
	}
	err := u.change(func(s *state.State) { s.Block(canonical(bad)) })
	if err == nil {
		err = u.goBack(ctx, p, false)
	}
	r := p.result(rolledBack)
	r.Old, r.Target, r.Tail = bad, p.Old, u.out.end()
	if err != nil {
		r.Status, r.Reason = failed, err.Error()
		return r, err
	}
	return r, u.leaveWord(sentinel.Upgrade{ChatID: p.ChatID, OldVersion: p.Old, NewVersion: bad}.Undone())
}

// to goes to a version that somebody has named.
func (c *rollbackCmd) to(ctx context.Context, u *updater) (result, error) {
	in, err := c.find(u.std)
	if err != nil {
		return result{}, err
	}
	r := refusal(in)
	if !in.Upgradeable {
		return r, r.failure(0)
	}
	up := upgradeCmd{To: c.To}
	p, r, err := up.planExact(in, r)
	if err != nil || r.Status != "" {
		return r, err
	}
	ch, err := newChange(in, "")
	if err != nil {
		return result{}, err
	}
	ch.Checks = ch.passed(ctx)
	r, err = u.perform(ctx, ch, p)
	if r.Status != upgraded && r.Status != unverified {
		if err == nil {
			err = r.failure(0)
		}
		return r, err
	}
	r.Status, r.Reason = rolledBack, ""
	if p := u.record(u.st.Probation); err == nil && p != nil {
		err = u.drop([]string{p.Copy}, func(s *state.State) { s.Probation = nil; s.Block(canonical(in.Version)) })
	}
	if err == nil {
		err = u.leaveWord(sentinel.Upgrade{OldVersion: r.New, NewVersion: in.Version}.Undone())
	}
	return r, err
}
