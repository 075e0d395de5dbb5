package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"ductor/cmd/ductor-update/internal/index"
	"ductor/cmd/ductor-update/internal/install"
	"ductor/cmd/ductor-update/internal/state"
	"ductor/cmd/ductor-update/internal/version"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
)

// checkView is what check --json and watch print. The first four are those that
// existing bots know.
type checkView struct {
	Current     string          `json:"current"`
	Latest      string          `json:"latest"`
	Available   bool            `json:"update_available"`
	Summary     string          `json:"summary"`
	Package     string          `json:"package"`
	Mode        install.Mode    `json:"mode"`
	Upgradeable bool            `json:"upgradeable"`
	Source      string          `json:"source"`
	CheckedAt   time.Time       `json:"checked_at"`
	Cached      bool            `json:"cached"`
	Skipped     []index.Skipped `json:"skipped,omitempty"`
}

// Run asks, remembers the answer, and tells it.
func (c *checkCmd) Run(std *cli.IO) error {
	v, err := c.askFlags.check(context.Background(), std)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(std, v)
	} else {
		_, err = io.WriteString(std.Out, v.text())
	}
	if err == nil && c.ExitCode && !v.Available {
		return exitcode.Status(exitcode.No)
	}
	return err
}

// check is one question. That the answer cannot be remembered is only worth a
// warning.
func (f askFlags) check(ctx context.Context, std *cli.IO) (checkView, error) {
	a, err := f.asker(std)
	if err != nil {
		return checkView{}, err
	}
	defer a.client.Close()
	path, err := f.statePath(std)
	if err != nil {
		return checkView{}, err
	}
	st, err := state.Read(path)
	if err != nil {
		cli.Warn(std, "%v", err)
	}
	f.settle(std, st)
	now := time.Now()
	v, answer, err := a.check(ctx, st, now)
	if err != nil {
		return v, err
	}
	if err := remember(path, func(s *state.State) { s.Remember(a.source(), answer); s.CheckedAt = now.UTC() }); err != nil {
		cli.Warn(std, "the answer is not remembered: %v", err)
	}
	return v, nil
}

// settle ends a probation that is over, if nobody upgrades just now.
func (f askFlags) settle(std *cli.IO, st state.State) {
	if len(st.Probation) == 0 {
		return
	}
	u, err := newUpdater(std, f.Name, 0)
	if err != nil {
		return
	}
	defer u.close()
	if err := u.settle(); err != nil {
		cli.Warn(std, "%v", err)
	}
}

// statePath makes nothing: a question that fails leaves nothing behind.
func (f askFlags) statePath(std *cli.IO) (string, error) {
	dir, err := home.Find(std.Getenv)
	if err != nil {
		return "", exitcode.Errorf(exitcode.Config, "%w", err)
	}
	return dir.Run(f.Name).UpdateState(), nil
}

// remember changes the state. What was wrong with the file has been said
// already when it was read.
func remember(path string, f func(*state.State)) error {
	_, err := state.Change(path, func(s *state.State) error { f(s); return nil })
	return err
}

// source is whom we ask, as the state knows them.
func (a *asker) source() string {
	if a.repo != nil {
		return a.repo.String()
	}
	return a.config.Indexes[0].String()
}

// known is what is kept of an answer.
type known struct {
	Latest  string          `json:"latest"`
	Summary string          `json:"summary,omitempty"`
	Skipped []index.Skipped `json:"skipped,omitempty"`
}

// check asks with what is known from before, and returns what is to be known
// from now on.
func (a *asker) check(ctx context.Context, st state.State, now time.Time) (checkView, state.Answer, error) {
	old, _ := st.Answer(a.source())
	var k known
	if json.Unmarshal(old.Data, &k) != nil {
		old.ETag = "" // there is nothing that could be unchanged
	}
	got, err := a.ask(ctx, old.ETag)
	if err != nil {
		return checkView{}, old, err
	}
	if !got.NotModified {
		k = known{got.Latest, got.Summary, got.Skipped}
	}
	data, err := json.Marshal(k)
	if err != nil {
		return checkView{}, old, err
	}
	v := checkView{Current: a.in.Version, Latest: k.Latest, Summary: k.Summary, Package: a.in.Package, Mode: a.in.Mode, Upgradeable: a.in.Upgradeable,
		Source: got.Source, CheckedAt: now.UTC(), Cached: got.NotModified, Skipped: k.Skipped}
	v.Available, err = a.newer(k.Latest)
	if v.Available && st.IsBlocked(k.Latest) {
		v.Available = false
		v.Skipped = append([]index.Skipped{{Version: k.Latest, Why: "the bot went back from it"}}, v.Skipped...)
	}
	return v, state.Answer{ETag: got.Validator, FetchedAt: now.UTC(), Data: data}, err
}

// newer compares with what is installed; anything is newer than nothing known.
func (a *asker) newer(latest string) (bool, error) {
	if latest == "" {
		return false, nil
	}
	if a.repo != nil {
		x, err1 := version.ParseTag(a.in.Version)
		y, err2 := version.ParseTag(latest)
		return err1 == nil && err2 == nil && version.CompareTags(y, x) > 0, errors.Join(err1, err2)
	}
	x, err1 := version.Parse(a.in.Version)
	y, err2 := version.Parse(latest)
	if err := errors.Join(err1, err2); err != nil {
		return false, err
	}
	return version.Compare(y, x) > 0, nil
}

func (v checkView) text() string {
	var b strings.Builder
	switch {
	case v.Latest == "":
		fmt.Fprintf(&b, "%s %s is installed; %s has no version for it\n", v.Package, safe(v.Current), safe(v.Source))
	case v.Available:
		fmt.Fprintf(&b, "%s %s can be had; %s is installed\n", v.Package, safe(v.Latest), safe(v.Current))
	default:
		fmt.Fprintf(&b, "%s %s is the newest\n", v.Package, safe(v.Current))
	}
	if v.Summary != "" && v.Available {
		fmt.Fprintf(&b, "  %s\n", safe(v.Summary))
	}
	for _, s := range v.Skipped {
		fmt.Fprintf(&b, "  not %s: %s\n", safe(s.Version), safe(s.Why))
	}
	return b.String()
}
