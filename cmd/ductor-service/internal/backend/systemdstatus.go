package backend

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/exitcode"
)

// properties are what systemd is asked for. is-active would call a unit that
// does not exist, and one that is about to be started again, "inactive".
var properties = []string{"LoadState", "ActiveState", "SubState", "Result", "MainPID", "NRestarts", "ExecMainCode", "ExecMainStatus",
	"UnitFileState", "FragmentPath", "NeedDaemonReload", "ActiveEnterTimestamp", "InactiveEnterTimestamp",
	"ExecMainStartTimestamp", "ExecMainExitTimestamp"}

// patience is how long the manager may take to answer a question.
const patience = 10 * time.Second

func (s *Systemd) show(ctx context.Context) (map[string]string, error) {
	args := []string{"--user", "show", s.unit(), "--timestamp=unix", "-p", strings.Join(properties, ",")}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o, err := s.program.ask(ctx, "systemctl", args...)
	if err == nil && o.code != 0 && strings.Contains(o.err, "unrecognized option") { // before 247 there is no --timestamp
		args = slices.DeleteFunc(args, func(a string) bool { return a == "--timestamp=unix" })
		o, err = s.program.ask(ctx, "systemctl", args...)
	}
	if err == nil && o.code != 0 {
		err = exitcode.Errorf(exitcode.OSErr, "systemctl --user show: %s", o.words())
	}
	shown := map[string]string{}
	for line := range strings.Lines(o.out) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		shown[k] = v
	}
	return shown, err
}

// Status asks the manager; if it does not run, it tells what is stored.
func (s *Systemd) Status(ctx context.Context) (Status, error) {
	st := Status{Manager: string(s.Platform()), State: NotInstalled, Problems: []Problem{}}
	if err := s.booted(); err != nil {
		return st, err
	}
	have, err := s.stored()
	if err != nil {
		return st, err
	}
	data, there := have[s.unit()]
	if !there {
		return st, nil
	}
	st.Installed, st.Definition, st.State = true, s.path(s.unit()), Unknown
	_, st.Timer = have[s.timer()]
	if old, err := definition.Read(s.Platform(), data); err == nil {
		st.Stored, st.Stale = &old, old.Stale(s.Platform(), data)
	}
	st.Problems = append(st.Problems, commonProblems(s.Platform(), st.Stored, data)...)
	if err := s.reachable(); err != nil {
		st.Problems = append(st.Problems, Problem{"manager-unreachable", err.Error(), "sudo loginctl enable-linger " + ShellQuote(s.user)})
		return st, nil
	}
	shown, err := s.show(ctx)
	if exitcode.Of(err) == exitcode.Timeout && ctx.Err() == nil {
		st.Problems = append(st.Problems, Problem{"manager-unreachable", "the user manager does not answer", "systemctl --user status"})
		return st, nil
	}
	if err != nil {
		return st, err
	}
	s.fill(&st, shown)
	return st, nil
}

// fill translates systemd's words.
func (s *Systemd) fill(st *Status, shown map[string]string) {
	st.State = stateOf(shown)
	st.Enabled = strings.HasPrefix(shown["UnitFileState"], "enabled")
	st.PID = number(shown["MainPID"])
	restarts := number(shown["NRestarts"])
	st.Restarts = &restarts
	since := shown["ActiveEnterTimestamp"]
	if st.State == Stopped || st.State == Failed {
		since = shown["InactiveEnterTimestamp"]
	}
	st.Since = unixTime(since)
	st.started = unixTime(shown["ExecMainStartTimestamp"])
	st.LastExit = exitOf(shown)
	// Those in one's own folder: what a distribution has for every unit is no
	// change of this one.
	st.Dropins, _ = filepath.Glob(filepath.Join(escapeGlob(st.Definition)+".d", "*.conf"))
	switch {
	case !st.Enabled:
		st.Starts = StartsManual
	case s.lingers():
		st.Starts = StartsBoot
	default:
		st.Starts = StartsLogin
		st.Problems = append(st.Problems, s.lingerOff(""))
	}
	if shown["NeedDaemonReload"] == "yes" {
		st.Problems = append(st.Problems, Problem{"reload-needed", "systemd has not read the unit since it changed", "systemctl --user daemon-reload"})
	}
	if shown["LoadState"] == "masked" {
		st.Problems = append(st.Problems, Problem{"masked", "the unit is masked and cannot start", "systemctl --user unmask " + s.unit()})
	}
}

func stateOf(shown map[string]string) State {
	switch shown["ActiveState"] {
	case "active", "reloading":
		return Running
	case "activating":
		if shown["SubState"] == "auto-restart" {
			return Restarting
		}
		return Starting
	case "deactivating":
		return Stopping
	case "failed":
		return Failed
	case "inactive":
		return Stopped
	}
	return Unknown
}

// exitOf is absent while systemd knows of no end: it forgets a unit that ended
// well and that nobody refers to.
func exitOf(shown map[string]string) *Exit {
	if unixTime(shown["ExecMainExitTimestamp"]) == nil {
		return nil
	}
	e := Exit{Result: shown["Result"]}
	status := number(shown["ExecMainStatus"])
	if shown["ExecMainCode"] == "1" { // CLD_EXITED
		e.Code = &status
	} else {
		e.Signal = signalName(status)
	}
	return &e
}

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// unixTime reads "@1700000000"; nothing, 0 and words are no time.
func unixTime(text string) *time.Time {
	n := number(strings.TrimPrefix(text, "@"))
	if n <= 0 {
		return nil
	}
	t := time.Unix(int64(n), 0).UTC()
	return &t
}
