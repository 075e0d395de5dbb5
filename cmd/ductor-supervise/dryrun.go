package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"ductor/cmd/ductor-supervise/internal/supervisor"
	"ductor/cmd/ductor-supervise/internal/watch"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/holder"
)

// dryRun says what would be done. Its exit code is the one that a start would
// end with, as far as that is known before: no such command, no lock to be had.
func (c *runCmd) dryRun(std *cli.IO, cfg supervisor.Config) error {
	var r report
	program, err := supervisor.LookPath(cfg.Command[0], cfg.Dir)
	r.row("command", "%s", strings.Join(cfg.Command, " "))
	switch {
	case errors.Is(err, fs.ErrPermission):
		r.no(exitcode.CannotExec, "program", "%v", err)
	case err != nil:
		r.no(exitcode.NotFound, "program", "%v", err)
	default:
		r.row("program", "%s", program)
	}
	if cfg.Dir != "" {
		r.row("folder", "%s", cfg.Dir)
	}
	r.lock("supervisor", cfg.Home.Run(cfg.Name).SupervisePID(), cfg.KillExisting)
	if cfg.NoLock {
		r.row("lock", "none (--no-lock)")
	} else {
		r.lock("lock", cfg.Home.Run(cfg.Name).BotPID(), cfg.KillExisting)
		r.row("", "taken by %s", cfg.LockTool)
	}
	for _, m := range cfg.Markers {
		r.row("marker", "%s", m)
	}
	if err := r.watched(cfg); err != nil {
		return exitcode.Errorf(exitcode.Usage, "--watch: %w", err)
	}
	if _, err := fmt.Fprintf(std.Out, "%s: would be supervised\n%s", cfg.Name, r.text.String()); err != nil {
		return err
	}
	if r.code != 0 {
		return exitcode.Status(r.code)
	}
	return nil
}

// report is rows for people, and the code of the first problem.
type report struct {
	text strings.Builder
	code int
}

func (r *report) row(name, format string, args ...any) {
	fmt.Fprintf(&r.text, "  %-11s %s\n", name, fmt.Sprintf(format, args...))
}

func (r *report) no(code int, name, format string, args ...any) {
	r.row(name, "problem: "+format, args...)
	if r.code == 0 {
		r.code = code
	}
}

// lock says who has it. A takeover is not a problem, but is said.
func (r *report) lock(name, pidFile string, takeover bool) {
	st, err := holder.Inspect(pidFile, true)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.row(name, "%s is free", pidFile)
	case err != nil:
		r.no(exitcode.OSErr, name, "%v", err)
	case st.Held() && takeover:
		r.row(name, "%s is held by PID %d, and will be taken over", pidFile, st.PID)
	case st.Held():
		r.no(exitcode.TempFail, name, "%s is held by PID %d", pidFile, st.PID)
	default:
		r.row(name, "%s is free", pidFile)
	}
}

func number(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func (r *report) watched(cfg supervisor.Config) error {
	if len(cfg.WatchDirs) == 0 {
		r.row("watch", "nothing")
		return nil
	}
	plan, err := watch.Survey(cfg.WatchDirs, cfg.WatchFilter, cfg.WatchMode)
	if err != nil {
		return err
	}
	for _, p := range plan.Roots {
		r.row("watch", "%s: %s, %s, %s (%s)", p.Name, number(p.Folders, "folder"), number(p.Files, "file"), p.Mode, p.Why)
		if p.Real != p.Name {
			r.row("", "leads to %s", p.Real)
		}
		for _, b := range p.Biggest {
			r.row("", "%d folders in %s", b.Folders, b.Path)
		}
	}
	return nil
}
