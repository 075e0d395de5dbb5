package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ductor/cmd/ductor-service/internal/definition"
)

// Status asks launchd, whose answers change with its versions: of what we do
// not understand it says less, and nothing wrong.
func (l *Launchd) Status(ctx context.Context) (Status, error) {
	st := Status{Manager: string(l.Platform()), State: NotInstalled, Problems: []Problem{}}
	a, err := l.agents(ctx)
	if err != nil {
		return st, err
	}
	st.Problems = append(st.Problems, l.oldAgents(ctx, a)...)
	main, timer := a.jobs[0], a.jobs[1]
	f, there := a.files[l.main()]
	if !there {
		if a.orphan(main) {
			st.Problems = append(st.Problems, Problem{"orphan", "launchd runs " + main.label + ", whose definition is gone",
				"ductor-service uninstall --name " + l.service.Name})
		}
		return st, nil
	}
	st.Installed, st.Definition, st.Enabled = true, l.path(l.main()), !main.disabled
	_, st.Timer = a.files[timer.label+".plist"]
	if old, err := definition.Read(l.Platform(), f.data); err == nil {
		st.Stored, st.Stale = &old, old.Stale(l.Platform(), f.data)
	}
	st.Problems = append(st.Problems, commonProblems(l.Platform(), st.Stored, f.data)...)
	l.fill(&st, main)
	return st, nil
}

// fill translates launchd's words.
func (l *Launchd) fill(st *Status, j job) {
	st.State, st.PID, st.LastExit = j.is(), j.pid, j.exit
	if j.runs > 0 {
		restarts := j.runs - 1
		st.Restarts = &restarts
	}
	st.Starts = StartsLogin
	if !st.Enabled {
		st.Starts = StartsManual
	}
	if strings.HasPrefix(j.domain, "user/") {
		st.Problems = append(st.Problems, Problem{"headless-login-only",
			"nobody is logged in at the screen: after a boot the service starts when somebody is, and not before",
			fmt.Sprintf("ductor-service render --platform launchd-daemon --name %s | sudo tee /Library/LaunchDaemons/%s.plist", l.service.Name, j.label)})
	}
}

// is translates what launchd calls the state of a job.
func (j job) is() State {
	switch {
	case !j.loaded:
		return Stopped
	case strings.HasPrefix(j.state, "SIG"): // SIGTERMed
		return Stopping
	case j.state == "xpcproxy": // the process is there, but not yet the program
		return Starting
	case j.pid > 0:
		return Running
	case j.state == "spawn scheduled", j.state == "waiting": // the latter in older ones
		if j.failed() {
			return Restarting
		}
		return Starting
	case j.state == "not running", j.state == "exited":
		if j.failed() {
			return Failed
		}
		return Stopped
	}
	return Unknown
}

// oldLabels are those under which others have made ductor an agent: two of
// them would be two bots. The Python package's own installer took the one that
// is ours for the default name.
var oldLabels = []string{"dev.ductor"}

// oldAgents names the agents of that kind that are there. They are not ours to
// remove.
func (l *Launchd) oldAgents(ctx context.Context, a agents) (found []Problem) {
	labels := append([]string{l.service.Label()}, oldLabels...)
	for i, label := range labels {
		if i > 0 && label == labels[0] {
			continue
		}
		name := label + ".plist"
		if err := a.read(name); err != nil {
			continue // it is not ours to complain about
		}
		f, there := a.files[name]
		if _, err := definition.Read(l.Platform(), f.data); !there || !errors.Is(err, definition.ErrForeign) {
			continue
		}
		fix := "ductor-service install --force --name " + l.service.Name
		if i > 0 {
			j, err := l.look(ctx, a.domains, label)
			if err != nil || !j.loaded {
				continue
			}
			fix = fmt.Sprintf("launchctl bootout %s; rm %s", j.target(), ShellQuote(l.path(name)))
		}
		found = append(found, Problem{"old-definition", name + " was not written by ductor-service", fix})
	}
	return found
}
