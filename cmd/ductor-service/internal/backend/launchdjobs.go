package backend

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ductor/internal/common/exitcode"
)

// Exit codes of launchctl, which are errno(2) of macOS and, above 106, launchd's own.
const (
	ctlNoProcess  = 3   // bootout: it is not loaded
	ctlIO         = 5   // bootstrap: it is loaded, or disabled, or its last process has not ended
	ctlInProgress = 36  // bootout: it is on its way out
	ctlAlready    = 37  // bootstrap: another one is under way
	ctlNoDomain   = 112 // nobody is logged in at the screen
	ctlNoService  = 113
	ctlWrongPlace = 125 // bootstrap: the domain does not take agents
)

// job is one agent as launchd has it.
type job struct {
	label    string
	domain   string // where it is loaded; if it is not, where it would be
	loaded   bool
	disabled bool   // it is not loaded at login
	path     string // of the definition that launchd has read
	state    string
	pid      int
	runs     int // since it was loaded
	exit     *Exit
}

func (j job) target() string { return j.domain + "/" + j.label }

// failed reports whether it does not run, because it failed.
func (j job) failed() bool {
	return j.pid == 0 && j.exit != nil && (j.exit.Code == nil || *j.exit.Code != 0)
}

func (l *Launchd) ctl(ctx context.Context, args ...string) (outcome, error) {
	return l.ask(ctx, "launchctl", args...)
}

// ctlError is for an exit code that is not among the expected ones.
func ctlError(o outcome, args ...string) error {
	return exitcode.Errorf(exitcode.OSErr, "launchctl %s: exit code %d: %s", strings.Join(args, " "), o.code, o.words())
}

// must is ctl for what has to succeed.
func (l *Launchd) must(ctx context.Context, args ...string) error {
	o, err := l.ctl(ctx, args...)
	if err == nil && o.code != 0 {
		err = ctlError(o, args...)
	}
	return err
}

// print asks for a domain or a job; found is false if there is no such thing.
func (l *Launchd) print(ctx context.Context, target string) (text string, found bool, err error) {
	o, err := l.ctl(ctx, "print", target)
	switch {
	case err != nil:
		return "", false, err
	case o.code == 0:
		return o.out, true, nil
	case slices.Contains([]int{ctlNoProcess, ctlNoDomain, ctlNoService, ctlWrongPlace}, o.code):
		return "", false, nil
	}
	return "", false, ctlError(o, "print", target)
}

// domains are those in which an agent of this user can be loaded, the better
// one first. They are always named: launchctl alone would take that of the
// caller, who may have come by ssh. Without a session at the screen there is
// no gui domain.
func (l *Launchd) domains(ctx context.Context) ([]string, error) {
	gui, user := fmt.Sprintf("gui/%d", l.uid), fmt.Sprintf("user/%d", l.uid)
	_, found, err := l.print(ctx, gui)
	if !found || err != nil {
		return []string{user}, err
	}
	return []string{gui, user}, nil
}

// look finds a job in whichever domain it is.
func (l *Launchd) look(ctx context.Context, domains []string, label string) (job, error) {
	for _, d := range domains {
		text, found, err := l.print(ctx, d+"/"+label)
		if err != nil {
			return job{}, err
		}
		if found {
			j := parseJob(text)
			j.label, j.domain, j.loaded = label, d, true
			return j, nil
		}
	}
	return job{label: label, domain: domains[0]}, nil
}

// parseJob reads what launchctl prints of a job. That is no interface, says its
// page; so what is not understood is left out. Only the outermost level counts:
// the blocks in it have states of their own.
func parseJob(text string) (j job) {
	lines := strings.Split(text, "\n")
	for _, line := range lines[1:] {
		k, v, is := strings.Cut(strings.TrimPrefix(line, indent(lines[1])), " = ")
		if !is || indent(line) != indent(lines[1]) {
			continue
		}
		switch k {
		case "state":
			j.state = v
		case "path":
			j.path = v
		case "pid":
			j.pid = max(0, number(v))
		case "runs":
			j.runs = number(v)
		case "last exit code": // "0", "78: EX_CONFIG", "(never exited)"
			code, _, _ := strings.Cut(v, ":")
			if n, err := strconv.Atoi(code); err == nil {
				j.exit = &Exit{Code: &n, Result: v}
			}
		case "last terminating signal": // "Terminated: 15", in place of the code
			if i := strings.LastIndex(v, ": "); i >= 0 && number(v[i+2:]) > 0 {
				j.exit = &Exit{Signal: signalName(number(v[i+2:])), Result: v}
			}
		}
	}
	return j
}

func indent(line string) string { return line[:len(line)-len(strings.TrimLeft(line, " \t"))] }

// disabled are the labels that are not loaded at login. If launchd does not
// tell, there are none.
func (l *Launchd) disabled(ctx context.Context, domain string) (map[string]bool, error) {
	o, err := l.ctl(ctx, "print-disabled", domain)
	labels := map[string]bool{}
	for line := range strings.Lines(o.out) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " => ")
		if v == "disabled" || v == "true" { // the latter before macOS 13
			labels[strings.Trim(k, `"`)] = true
		}
	}
	return labels, err
}

// unload takes a job out of launchd, wherever it is, and waits until it has
// ended: launchd would not load it again before. Not stop or kill: the job is
// to be kept running, and would be started again.
func (l *Launchd) unload(ctx context.Context, domains []string, label string, patience int) error {
	for _, d := range domains {
		j, err := l.look(ctx, []string{d}, label)
		if err != nil {
			return err
		}
		if !j.loaded {
			continue
		}
		o, err := l.ctl(ctx, "bootout", j.target())
		if err != nil {
			return err
		}
		if !slices.Contains([]int{0, ctlNoProcess, ctlInProgress, ctlNoService}, o.code) {
			return ctlError(o, "bootout", j.target())
		}
		if err := l.gone(ctx, j, patience); err != nil {
			return err
		}
	}
	return nil
}

func (l *Launchd) gone(ctx context.Context, j job, patience int) error {
	for range patience {
		now, err := l.look(ctx, []string{j.domain}, j.label)
		if err != nil || !now.loaded {
			return err
		}
		if err := l.sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return exitcode.Errorf(exitcode.Timeout, "%s has not ended in %d s", j.label, patience)
}

// load gives a definition to launchd, in the first domain that takes it, which
// also starts it. What launchd answers is not to be trusted, in either way.
func (l *Launchd) load(ctx context.Context, domains []string, label string) error {
	var o outcome
	for _, wait := range []time.Duration{0, time.Second, 2 * time.Second, 4 * time.Second} {
		if err := l.sleep(ctx, wait); err != nil {
			return err
		}
		var err error
		if o, err = l.ctl(ctx, "bootstrap", domains[0], l.path(label+".plist")); err != nil {
			return err
		}
		switch {
		case o.code == ctlWrongPlace && len(domains) > 1:
			return l.load(ctx, domains[1:], label)
		case o.code != 0 && o.code != ctlIO && o.code != ctlAlready:
			return ctlError(o, "bootstrap", domains[0], l.path(label+".plist"))
		}
		if j, err := l.look(ctx, domains, label); err != nil || j.loaded {
			return err
		}
	}
	return exitcode.Errorf(exitcode.OSErr, "launchd does not take %s: exit code %d: %s", l.path(label+".plist"), o.code, o.words())
}

// up waits until a job that was loaded has been started, and says how it is.
func (l *Launchd) up(ctx context.Context, domains []string, label string) (job, error) {
	const patience = 15
	for range patience {
		j, err := l.look(ctx, domains, label)
		if err != nil || j.pid > 0 || j.exit != nil {
			return j, err
		}
		if err := l.sleep(ctx, time.Second); err != nil {
			return j, err
		}
	}
	return job{}, exitcode.Errorf(exitcode.OSErr, "launchd did not start %s in %d s", label, patience)
}
