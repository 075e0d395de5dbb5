package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
)

// statusView is status.json as of now: what the file says, corrected by
// whether its supervisor lives.
type statusView struct {
	journal.Status
	Supervised bool   `json:"supervised"`           // a supervisor of this name runs
	LastState  string `json:"last_state,omitempty"` // what a supervisor said that died since
	Leftover   bool   `json:"leftover,omitempty"`   // its child lives on
}

// Run prints how the bot is; the exit code is the answer for scripts.
func (c *statusCmd) Run(std *cli.IO) error {
	_, run, err := findRun(std, c.Name)
	if err != nil {
		return err
	}
	v, err := view(run, c.Name)
	if err != nil {
		return err
	}
	if c.Wait && v.Supervised {
		err = waitFor(c.Timeout, "status", func() (bool, error) {
			v, err = view(run, c.Name)
			return running(v.Status) || !v.Supervised, err
		})
		if err != nil {
			return err
		}
	}
	if c.JSON {
		err = printLine(std, v)
	} else {
		_, err = fmt.Fprint(std.Out, v.text(time.Now()))
	}
	if err == nil && !v.Supervised {
		return exitcode.Status(exitcode.No)
	}
	return err
}

// view reads the file and asks the lock: a supervisor that was killed could
// not say so.
func view(run home.Run, name home.Name) (statusView, error) {
	id, alive, err := supervisorOf(run)
	if err != nil {
		return statusView{}, err
	}
	st, err := journal.ReadStatus(run.Status())
	if errors.Is(err, fs.ErrPermission) {
		return statusView{}, err
	}
	v := statusView{Status: st, Supervised: alive}
	if err != nil || alive && (st.Supervisor.PID != id.PID || st.Supervisor.Start != id.Start) { // nothing known, or of one before
		v.Status = journal.Status{State: "down", Command: []string{}}
		if alive {
			v.State, v.Supervisor.Identity = "starting", id
		}
	}
	v.Name = string(name)
	if !alive && v.State != "down" && v.State != "fatal" {
		v.LastState, v.State, v.NextStart = v.State, "down", nil
		v.Leftover = v.Child != nil && v.Child.Alive()
		if !v.Leftover {
			v.PID, v.Child = 0, nil
		}
	}
	return v, nil
}

// text is the same for people.
func (v statusView) text(now time.Time) string {
	var b strings.Builder
	state := v.State
	if !v.Since.IsZero() && v.LastState == "" {
		state += " for " + now.Sub(v.Since).Round(time.Second).String()
	}
	fmt.Fprintf(&b, "%s: %s\n", v.Name, state)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	if v.LastState != "" {
		row("problem", "the supervisor died without a word; its last state was %q", v.LastState)
	}
	if v.Leftover {
		row("leftover", "PID %d runs on without a supervisor; the next one stops it first", v.PID)
	} else if v.PID != 0 {
		row("PID", "%d", v.PID)
	}
	if len(v.Command) > 0 {
		row("command", "%s", strings.Join(v.Command, " "))
	}
	if v.Supervised {
		row("supervisor", "PID %d", v.Supervisor.PID)
	} else {
		row("supervisor", "none")
	}
	if v.Restarts > 0 {
		row("restarts", "%d, the last: %s", v.Restarts, v.Reason)
	}
	if e := v.LastExit; e != nil {
		how := fmt.Sprintf("code %d", e.Code)
		if e.Signal != "" {
			how = e.Signal
		}
		row("last exit", "%s after %.1fs, led to: %s", how, e.RuntimeSeconds, e.Reason)
	}
	if v.NextStart != nil {
		row("next start", "in %s", max(v.NextStart.Sub(now), 0).Round(100*time.Millisecond))
	}
	return b.String()
}
