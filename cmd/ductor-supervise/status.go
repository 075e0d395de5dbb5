package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/process"
)

// statusView is status.json as of now: what the file says, corrected by
// whether its supervisor lives, and what the events add to it.
type statusView struct {
	journal.Status
	timeline
	Problem    string `json:"problem,omitempty"`    // why status.json is not what this is from
	Supervised bool   `json:"supervised"`           // a supervisor of this name runs
	LastState  string `json:"last_state,omitempty"` // what a supervisor said that died since
	Leftover   bool   `json:"leftover,omitempty"`   // its child lives on
}

// unknown is the state when neither status.json nor the events tell it.
const unknown = "unknown"

// Run prints how the bot is; the exit code is the answer for scripts.
func (c *statusCmd) Run(std *cli.IO) error {
	_, run, err := findRun(std, c.Name)
	if err != nil {
		return err
	}
	l := newLooker(run, c.Name)
	v, err := l.view()
	if err != nil {
		return err
	}
	if c.Wait && v.Supervised {
		err = waitFor(c.Timeout, "status", func() (bool, error) {
			v, err = l.view()
			return running(v.Status) || !v.Supervised, err
		})
		if err != nil {
			return err
		}
	}
	show := c.display(std)
	if err = show.first(v); err == nil && c.Follow {
		v, err = follow(l, v, show)
	}
	if err == nil && !v.Supervised {
		return exitcode.Status(exitcode.No)
	}
	return err
}

// looker looks at one bot, again and again.
type looker struct {
	run    home.Run
	name   home.Name
	events *journal.Reader
	past   past
}

func newLooker(run home.Run, name home.Name) *looker {
	return &looker{run: run, name: name, events: journal.NewReader(run.Events())}
}

// view reads the files and asks the lock: a supervisor that was killed could
// not say so. Events that cannot be read are only missing.
func (l *looker) view() (statusView, error) {
	v, err := l.brief()
	_ = l.events.Next(l.past.add)
	if err == nil {
		v.recall(l.past)
	}
	return v, err
}

// brief is view without the events, unless status.json is of no use.
func (l *looker) brief() (statusView, error) {
	id, alive, err := supervisorOf(l.run)
	if err != nil {
		return statusView{}, err
	}
	st, err := journal.ReadStatus(l.run.Status())
	if errors.Is(err, fs.ErrPermission) {
		return statusView{}, err
	}
	v := statusView{Status: st, Supervised: alive}
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		v.Problem = fmt.Sprintf("status.json: %v", err)
	case err != nil:
		v.Problem = "status.json is missing"
	case alive && (st.Supervisor.PID != id.PID || st.Supervisor.Start != id.Start):
		v.Problem = "status.json is of an earlier supervisor"
	}
	if v.Problem != "" {
		_ = l.events.Next(l.past.add)
		v.guess(l.past.status, id, errors.Is(err, fs.ErrNotExist) || err == nil)
	}
	v.Name = string(l.name)
	v.bury()
	return v, nil
}

// guess takes the place of what status.json does not say. Before a supervisor
// has written its first one, that is no problem but the normal course.
func (v *statusView) guess(told journal.Status, id process.Identity, normal bool) {
	ours := told.State != "" && (!v.Supervised || told.Supervisor.PID == 0 || told.Supervisor.PID == id.PID)
	switch {
	case ours:
		v.Status = told
	case !normal:
		v.Status = journal.Status{State: unknown}
	case v.Supervised:
		v.Status = journal.Status{State: "starting"}
	default:
		v.Status = journal.Status{State: "down"}
	}
	if v.Supervised {
		v.Supervisor.Identity = id
	}
	if v.Command == nil {
		v.Command = []string{}
	}
	if normal && (!ours || v.State == "starting") {
		v.Problem = ""
	}
}

// bury corrects the words of a supervisor that is dead.
func (v *statusView) bury() {
	if v.Supervised || v.State == "down" || v.State == "fatal" || v.State == unknown {
		return
	}
	v.LastState, v.State, v.NextStart = v.State, "down", nil
	v.Leftover = v.Child != nil && v.Child.Alive()
	if !v.Leftover {
		v.PID, v.Child = 0, nil
	}
}

// recall adds what the events tell. What is of another supervisor's time is
// left out, but for the ends of runs.
func (v *statusView) recall(p past) {
	v.timeline = timeline{Exits: slices.Clone(p.Exits)}
	if p.status.Supervisor.PID != 0 && p.status.Supervisor.PID != v.Supervisor.PID {
		return
	}
	v.Reasons = maps.Clone(p.Reasons)
	if v.PID != 0 && v.PID == p.status.PID {
		v.StartedAt = p.StartedAt
	}
	if v.Supervised {
		v.Held, v.Suspended, v.Preflight = p.Held, p.Suspended, p.Preflight
	}
}

// uptime is how long the run has lasted, as far as is known.
func (v statusView) uptime(now time.Time) (d time.Duration, ok bool) {
	switch {
	case v.PID == 0 || v.LastState != "" && !v.Leftover:
		return 0, false
	case v.StartedAt != nil:
		return now.Sub(*v.StartedAt), true
	case (v.State == "up" || v.State == "ready") && !v.Since.IsZero():
		return now.Sub(v.Since), true
	}
	return 0, false
}
