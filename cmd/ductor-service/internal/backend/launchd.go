package backend

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/process"
)

// Launchd is macOS's manager of one user's agents.
type Launchd struct {
	service definition.Service // its name and home
	uid     int
	folder  string                                                                  // of agents
	ask     func(ctx context.Context, name string, args ...string) (outcome, error) // program.ask, but in tests
	sleep   func(context.Context, time.Duration) error
}

// LaunchdOptions says whose agents they are.
type LaunchdOptions struct {
	Name, Home string // of the service
	UID        int
	UserHome   string
	Sleep      func(context.Context, time.Duration) error // in tests, in place of a second
}

// NewLaunchd returns the agents of a user for the service of one name.
func NewLaunchd(o LaunchdOptions) *Launchd {
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return &Launchd{service: definition.Service{Name: o.Name, Home: o.Home}, uid: o.UID,
		folder: filepath.Join(o.UserHome, "Library", "LaunchAgents"), ask: program{}.ask, sleep: o.Sleep}
}

func sleep(ctx context.Context, d time.Duration) error {
	if !pause(ctx, d) {
		return exitcode.Errorf(exitcode.Timeout, "not done in time: %w", ctx.Err())
	}
	return nil
}

// Platform is launchd-agent: a daemon is an administrator's to place.
func (l *Launchd) Platform() definition.Platform { return definition.LaunchdAgent }

func (l *Launchd) path(name string) string { return filepath.Join(l.folder, name) }
func (l *Launchd) main() string            { return l.service.Main(l.Platform()) }

// agents is what there is before something is done: the files, and what launchd
// has. The service's own job is the first.
type agents struct {
	*Launchd
	domains []string
	files   map[string]agentFile
	jobs    []job
}

type agentFile struct {
	data []byte
	mode os.FileMode
}

func (l *Launchd) agents(ctx context.Context) (agents, error) {
	a := agents{Launchd: l, files: map[string]agentFile{}}
	var err error
	if a.domains, err = l.domains(ctx); err != nil {
		return a, err
	}
	off, err := l.disabled(ctx, a.domains[0])
	if err != nil {
		return a, err
	}
	for _, name := range l.service.Names(l.Platform()) {
		j, err := l.look(ctx, a.domains, strings.TrimSuffix(name, ".plist"))
		if err == nil {
			err = a.read(name)
		}
		if err != nil {
			return a, err
		}
		j.disabled = off[j.label]
		a.jobs = append(a.jobs, j)
	}
	return a, nil
}

func (a agents) read(name string) error {
	data, err := atomicfile.Read(a.path(name), maxDefinition)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	info, serr := os.Stat(a.path(name))
	if err = errors.Join(err, serr); err == nil {
		a.files[name] = agentFile{data, info.Mode().Perm()}
	}
	return err
}

func (a agents) stored() stored {
	have := stored{}
	for name, f := range a.files {
		have[name] = f.data
	}
	return have
}

// mine reads a definition of ours, edited or not. nil means that there is none;
// what belongs to somebody else is an error of code Config.
func (a agents) mine(name string) (*definition.Stored, error) {
	old, err := ours(a.Platform(), a.stored(), name, a.service)
	if err == nil || errors.Is(err, errEdited) {
		return old, nil
	}
	return nil, exitcode.Errorf(exitcode.Config, "%q %w", a.path(name), err)
}

// isMine is mine for what is none of our business if it is not.
func (a agents) isMine(j job) bool {
	old, err := a.mine(j.label + ".plist")
	return old != nil && err == nil
}

// orphan reports whether launchd has a job of ours whose definition is gone.
func (a agents) orphan(j job) bool {
	_, there := a.files[j.label+".plist"]
	return !there && j.loaded && j.path == a.path(j.label+".plist")
}

// inside reports whether we run below the service: whoever unloads it then ends
// before he could load it again.
func (a agents) inside() bool { return process.IsAncestor(a.jobs[0].pid) }

// patience is how long a stop may take, in seconds. launchd kills what takes
// longer than its definition says; one that it read long ago may have said more.
func (a agents) patience(s ...definition.Service) int {
	longest := 30
	if old, err := a.mine(a.main()); err == nil && old != nil {
		s = append(s, old.Service)
	}
	for _, s := range s {
		longest = max(longest, s.StopSeconds+10)
	}
	return longest
}

// installed is agents for verbs that need a service of ours.
func (l *Launchd) installed(ctx context.Context) (agents, error) {
	a, err := l.agents(ctx)
	if err != nil {
		return a, err
	}
	old, err := a.mine(a.main())
	if err == nil && old == nil {
		err = notInstalled(l.service.Name)
	}
	return a, err
}

// Start loads what is not loaded, which also starts it.
func (l *Launchd) Start(ctx context.Context) error {
	a, err := l.installed(ctx)
	if err != nil {
		return err
	}
	for i, j := range a.jobs {
		if !a.isMine(j) || j.pid > 0 || j.loaded && i > 0 { // a timer runs now and then only
			continue
		}
		if err := l.must(ctx, "enable", j.target()); err != nil {
			return err
		}
		if j.loaded {
			err = l.must(ctx, "kickstart", j.target())
		} else {
			err = l.load(ctx, a.domains, j.label)
		}
		if err != nil {
			return err
		}
	}
	j, err := l.up(ctx, a.domains, a.jobs[0].label)
	if err == nil && j.failed() {
		err = exitcode.Errorf(exitcode.OSErr, "the service %q %v", l.service.Name, j.exit).WithHint("ductor-service logs --name %s", l.service.Name)
	}
	return err
}

// Stop unloads the service and its timer, until the next login.
func (l *Launchd) Stop(ctx context.Context) error {
	a, err := l.installed(ctx)
	if err != nil {
		return err
	}
	for _, j := range slices.Backward(a.jobs) {
		if err := l.unloadMine(ctx, a, j); err != nil {
			return err
		}
	}
	return nil
}

func (l *Launchd) unloadMine(ctx context.Context, a agents, j job) error {
	if !a.isMine(j) && !a.orphan(j) {
		return nil
	}
	return l.unload(ctx, a.domains, j.label, a.patience())
}

// Restart loads the definition again: kickstart -k would be one call, but does
// not read it, and whether launchd has read what is stored now cannot be known.
// From inside the service there is no other way.
func (l *Launchd) Restart(ctx context.Context) error {
	a, err := l.installed(ctx)
	if err != nil {
		return err
	}
	if a.inside() {
		return l.must(ctx, "kickstart", "-k", a.jobs[0].target())
	}
	if err := l.unloadMine(ctx, a, a.jobs[0]); err != nil {
		return err
	}
	return l.Start(ctx)
}

// Uninstall unloads the service and removes its definitions. What was edited is
// kept as a copy.
func (l *Launchd) Uninstall(ctx context.Context, _ bool) (Removed, error) {
	a, err := l.agents(ctx)
	if err != nil {
		return Removed{}, err
	}
	if _, err := a.mine(a.main()); err != nil {
		var e *exitcode.Error
		errors.As(err, &e)
		return Removed{}, e.WithHint("remove it yourself: launchctl bootout %s; rm %s", a.jobs[0].target(), ShellQuote(a.path(a.main())))
	}
	jobs := slices.DeleteFunc(slices.Clone(a.jobs), func(j job) bool { return !a.isMine(j) && !a.orphan(j) })
	if len(jobs) == 0 {
		return Removed{}, nil
	}
	if a.inside() {
		return Removed{}, errInside()
	}
	done := Removed{Definition: a.path(a.main())}
	slices.Reverse(jobs) // the timer first
	for _, j := range jobs {
		if err := l.remove(ctx, a, j, &done); err != nil {
			return Removed{}, err
		}
	}
	return done, nil
}

func errInside() error {
	return exitcode.Errorf(exitcode.NoPerm, "this runs inside the service, and would end with it half-way").
		WithHint("run it in a terminal of your own")
}

// remove takes one job and its file away. A mark that it is disabled would
// outlive it, and hold for the next one of that name.
func (l *Launchd) remove(ctx context.Context, a agents, j job, done *Removed) error {
	name := j.label + ".plist"
	if old, _ := a.mine(name); old != nil && old.Edited {
		kept, err := keepCopy(a.path(name), a.files[name].data) // launchd reads only what is called .plist
		if err != nil {
			return exitcode.File(exitcode.CantCreat, err)
		}
		done.Kept = append(done.Kept, Kept{kept, "it was edited by hand"})
	}
	if err := l.must(ctx, "enable", j.target()); err != nil {
		return err
	}
	if err := l.unload(ctx, a.domains, j.label, a.patience()); err != nil {
		return err
	}
	return removeFile(a.path(name))
}

func removeFile(path string) error {
	if err := atomicfile.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Logs are files: launchd keeps none.
func (l *Launchd) Logs(ctx context.Context, out, _ io.Writer, q Lines) error {
	return fileLogs(ctx, l.service, out, q)
}
