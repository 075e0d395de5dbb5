package backend

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/holder"
	"ductor/internal/common/home"
	"ductor/internal/common/process"
)

// TaskScheduler is that of Windows, for one user's service.
type TaskScheduler struct {
	name, home string
	tasks      scheduler
	grace      time.Duration // how long a task may seem to run after its end
}

// TaskOptions says whose service it is.
type TaskOptions struct{ Name, Home string }

// NewTaskScheduler returns the Task Scheduler for the service of one name.
func NewTaskScheduler(o TaskOptions) *TaskScheduler {
	return &TaskScheduler{name: o.Name, home: o.Home, grace: 10 * time.Second}
}

// Platform is task.
func (t *TaskScheduler) Platform() definition.Platform { return definition.Task }

func (t *TaskScheduler) want() definition.Service {
	return definition.Service{Name: t.name, Home: t.home}
}

// path is how Task Scheduler names the task.
func (t *TaskScheduler) path() string { return `\` + t.name }

// stored reads the tasks of the service.
func (t *TaskScheduler) stored(ctx context.Context) (stored, found, error) {
	have, main := stored{}, found{}
	for _, name := range t.want().Names(definition.Task) {
		f, err := t.tasks.read(ctx, name)
		if errors.Is(err, errNoTask) {
			continue
		}
		if err != nil {
			return nil, main, err
		}
		have[name] = f.xml
		if name == t.name {
			main = f
		}
	}
	return have, main, nil
}

// Install registers the tasks.
func (t *TaskScheduler) Install(ctx context.Context, p Plan) (Installed, error) {
	done, err := t.install(ctx, p)
	return done, t.guide("install", err)
}

// guide says what an administrator's rights are good for.
func (t *TaskScheduler) guide(verb string, err error) error {
	var e *exitcode.Error
	if errors.As(err, &e) && e.Code == exitcode.NoPerm && e.Hint == "" {
		return e.WithHint("in a terminal opened by \"Run as administrator\": ductor-service %s --name %s", verb, t.name)
	}
	return err
}

func (t *TaskScheduler) install(ctx context.Context, p Plan) (Installed, error) {
	if err := replaced(p.Service); err != nil {
		return Installed{}, err
	}
	have, before, err := t.stored(ctx)
	if err != nil {
		return Installed{}, err
	}
	v, err := judge(definition.Task, have, p)
	if err == nil && v.action == Unchanged && !definition.TaskEnabled(before.xml) {
		v.action = Updated // by what is stored but for that
		v.write, err = enabledAgain(before.xml)
	}
	done := Installed{Action: v.action, Definition: t.path()}
	if err != nil {
		return done, err
	}
	if v.action != Unchanged && t.runs(before) && t.inside() {
		return done, t.insideError("install")
	}
	if err := t.place(ctx, v, have, &done); err != nil {
		t.restore(v, have, done.Backups)
		return done, err
	}
	if err := t.begin(ctx, p, before, v.action); err != nil {
		t.restore(v, have, done.Backups)
		if t.runs(before) {
			t.again()
		}
		return done, err
	}
	return done, nil
}

// enabledAgain is a task of ours that somebody disabled, as it was written.
func enabledAgain(xml []byte) ([]definition.File, error) {
	old, err := definition.Read(definition.Task, xml)
	if err != nil {
		return nil, err
	}
	files, err := old.Render(definition.Task)
	return files[:1], err
}

// place registers what differs, and deletes what is not wanted any more.
func (t *TaskScheduler) place(ctx context.Context, v verdict, have stored, done *Installed) (err error) {
	for _, name := range v.backup {
		kept, err := t.keep(name, have[name])
		if err != nil {
			return err
		}
		done.Backups = append(done.Backups, kept)
	}
	for _, f := range v.write {
		if err := t.tasks.register(ctx, f.Name, f.Data); err != nil {
			return err
		}
	}
	for _, name := range v.remove {
		if err := t.tasks.do(ctx, "delete", name, ""); err != nil && !errors.Is(err, errNoTask) {
			return err
		}
	}
	return nil
}

// keep copies a task that is not as we wrote it.
func (t *TaskScheduler) keep(name string, xml []byte) (string, error) {
	err := os.MkdirAll(t.home, 0o700)
	if err != nil {
		return "", exitcode.File(exitcode.CantCreat, err)
	}
	path, err := keepCopy(filepath.Join(t.home, name+".task.xml"), xml)
	if err != nil {
		return "", exitcode.File(exitcode.CantCreat, err)
	}
	return path, nil
}

// undoing is how long an undoing may take, which has a time of its own.
const undoing = 30 * time.Second

// restore puts back what was there. It goes on where it can: there is already
// an error to tell of.
func (t *TaskScheduler) restore(v verdict, have stored, backups []string) {
	ctx, cancel := context.WithTimeout(context.Background(), undoing)
	defer cancel()
	names := slices.Clone(v.remove)
	for _, f := range v.write {
		names = append(names, f.Name)
	}
	for _, name := range names {
		if old, there := have[name]; there {
			_ = t.tasks.register(ctx, name, old)
		} else {
			_ = t.tasks.do(ctx, "delete", name, "")
		}
	}
	removeCopies(backups)
}

func (t *TaskScheduler) again() {
	ctx, cancel := context.WithTimeout(context.Background(), undoing)
	defer cancel()
	_ = t.tasks.do(ctx, "run", t.name, "")
}

// begin runs what does not run, and what runs from an older task once more.
func (t *TaskScheduler) begin(ctx context.Context, p Plan, before found, a Action) error {
	running := t.runs(before)
	if running && a != Unchanged {
		if err := t.stop(ctx, before); err != nil {
			return err
		}
	} else if running || !p.Start {
		return nil
	}
	_, err := t.run(ctx, before)
	return err
}

// Uninstall stops the service and deletes its tasks.
func (t *TaskScheduler) Uninstall(ctx context.Context, _ bool) (Removed, error) {
	done, err := t.uninstall(ctx)
	return done, t.guide("uninstall", err)
}

func (t *TaskScheduler) uninstall(ctx context.Context) (done Removed, err error) {
	have, main, err := t.stored(ctx)
	if err != nil {
		return done, err
	}
	names, err := t.removable(have, &done)
	if err != nil || len(names) == 0 {
		return done, err
	}
	if t.inside() {
		return done, t.insideError("uninstall")
	}
	done.Definition = t.path()
	if err := t.stop(ctx, main); err != nil {
		return done, err
	}
	slices.Reverse(names) // the timer first, the one that we know the service by last
	for _, name := range names {
		if err := t.tasks.do(ctx, "delete", name, ""); err != nil && !errors.Is(err, errNoTask) {
			return done, err
		}
	}
	return done, nil
}

// removable are the tasks that are ours, of which it keeps what was edited.
func (t *TaskScheduler) removable(have stored, done *Removed) (names []string, err error) {
	for _, name := range t.want().Names(definition.Task) {
		old, err := ours(definition.Task, have, name, t.want())
		switch {
		case old == nil && err == nil:
			continue
		case errors.Is(err, errEdited):
			kept, err := t.keep(name, have[name])
			if err != nil {
				return nil, err
			}
			done.Kept = append(done.Kept, Kept{kept, "it was edited by hand"})
		case err != nil && name == t.name:
			return nil, exitcode.Errorf(exitcode.Config, "the task %q %w", t.path(), err).WithHint(`schtasks /Delete /TN "%s"`, t.path())
		case err != nil:
			continue
		}
		names = append(names, name)
	}
	return names, nil
}

// Start runs the task if it does not run.
func (t *TaskScheduler) Start(ctx context.Context) error {
	main, err := t.installed(ctx)
	if err == nil && !t.runs(main) {
		err = t.start(ctx, main)
	}
	return t.guide("start", err)
}

// start says why the task does not run, if it ended at once.
func (t *TaskScheduler) start(ctx context.Context, main found) error {
	if !definition.TaskEnabled(main.xml) {
		return exitcode.Errorf(exitcode.Config, "the task %q is disabled", t.path()).WithHint("ductor-service install --name %s", t.name)
	}
	now, err := t.run(ctx, main)
	if err == nil && !t.runs(now) && now.failed() {
		return exitcode.Errorf(exitcode.OSErr, "the task %q %s", t.path(), lastResult(now)).WithHint("ductor-service logs --name %s", t.name)
	}
	return err
}

// run waits until it can be seen, because Task Scheduler is asked to run a task
// and not more.
func (t *TaskScheduler) run(ctx context.Context, before found) (now found, err error) {
	if err = t.tasks.do(ctx, "run", t.name, ""); err != nil || t.tasks.blunt {
		return before, err
	}
	for deadline := time.Now().Add(t.grace); ctx.Err() == nil && time.Now().Before(deadline); {
		now, err = t.tasks.read(ctx, t.name)
		if err != nil || t.runs(now) || !now.ran.Equal(before.ran) {
			return now, err
		}
		time.Sleep(pollEvery)
	}
	return now, ctx.Err()
}

// pollEvery is not the time of a look, which starts a PowerShell.
const pollEvery = 50 * time.Millisecond

// Stop lasts until the next logon.
func (t *TaskScheduler) Stop(ctx context.Context) error {
	main, err := t.installed(ctx)
	if err == nil {
		err = t.stop(ctx, main)
	}
	return t.guide("stop", err)
}

// Restart starts the service if it does not run.
func (t *TaskScheduler) Restart(ctx context.Context) error {
	main, err := t.installed(ctx)
	if err == nil && t.inside() {
		return t.insideError("restart")
	}
	if err == nil && t.runs(main) {
		err = t.stop(ctx, main)
	}
	if err == nil {
		err = t.start(ctx, main)
	}
	return t.guide("restart", err)
}

// installed is the task, if it is there, and ours.
func (t *TaskScheduler) installed(ctx context.Context) (found, error) {
	main, err := t.tasks.read(ctx, t.name)
	if errors.Is(err, errNoTask) {
		return main, notInstalled(t.name)
	}
	if err != nil {
		return main, err
	}
	_, err = ours(definition.Task, stored{t.name: main.xml}, t.name, t.want())
	if err != nil && !errors.Is(err, errEdited) {
		return main, refusal(err, t.path())
	}
	return main, nil
}

// stop asks the supervisor first: Task Scheduler knows no way to stop but
// TerminateProcess, which leaves a bot no time.
func (t *TaskScheduler) stop(ctx context.Context, main found) error {
	if !t.runs(main) || t.ask(ctx, main) && t.ended(ctx) {
		return nil
	}
	if err := t.tasks.do(ctx, "stop", t.name, ""); err != nil && !errors.Is(err, errNoTask) {
		return err
	}
	if !t.ended(ctx) {
		return exitcode.Errorf(exitcode.Timeout, "the task %q has not ended", t.path())
	}
	return nil
}

// ask reports whether the supervisor stopped when it was asked. Without one it
// did not: the task is then busy with what comes before.
func (t *TaskScheduler) ask(ctx context.Context, main found) bool {
	old, err := definition.Read(definition.Task, main.xml)
	if err != nil {
		return false
	}
	const name = "ductor-supervise"
	path, err := exec.LookPath(filepath.Join(filepath.Dir(old.Command[0]), name))
	if err != nil {
		path = name
	}
	limit := strconv.Itoa(max(old.StopSeconds, 1)) + "s"
	p := program{env: []string{"DUCTOR_HOME=" + t.home}}
	o, err := p.ask(ctx, path, "stop", "--name", t.name, "--wait", "--timeout", limit)
	return err == nil && o.code == exitcode.OK
}

// ended waits until the task does not run any more, and gives up after a while.
func (t *TaskScheduler) ended(ctx context.Context) bool {
	for deadline := time.Now().Add(t.grace); ; {
		main, err := t.tasks.read(ctx, t.name)
		if errors.Is(err, errNoTask) || err == nil && !t.runs(main) {
			return true
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return false
		}
		time.Sleep(pollEvery)
	}
}

// Runs reports whether a task runs or is about to. Where that is unknown, the
// supervisor's lock tells.
func (t *TaskScheduler) runs(main found) bool {
	switch main.state {
	case taskRunning, taskQueued:
		return true
	case 0:
		return main.xml != nil && t.supervisor() != 0
	}
	return false
}

// supervisor is the process that holds the supervisor's lock of this name, or 0.
func (t *TaskScheduler) supervisor() int {
	s, err := holder.Inspect(home.Home(t.home).Run(home.Name(t.name)).SupervisePID(), false)
	if err != nil || !s.Held() {
		return 0
	}
	return s.PID
}

// inside reports whether we are a part of the service. What stops it then
// stops us, before we have done the rest.
func (t *TaskScheduler) inside() bool { return process.IsAncestor(t.supervisor()) }

func (t *TaskScheduler) insideError(verb string) error {
	e := exitcode.Errorf(exitcode.NoPerm, "this runs inside the service that it would stop")
	if verb == "restart" {
		return e.WithHint("ductor-supervise restart --name %s", t.name)
	}
	return e.WithHint("in a terminal of its own: ductor-service %s --name %s", verb, t.name)
}

// replaced refuses what Task Scheduler would replace by the value of a
// variable: there is no way to write a percent sign that it leaves alone.
func replaced(s definition.Service) error {
	words := append([]string{s.Home, s.Runner, s.Dir, s.Sandbox, s.Updater}, s.Command...)
	for _, w := range append(words, s.Env...) {
		parts := strings.Split(w, "%")
		for i := 1; i < len(parts)-1; i++ {
			if _, set := os.LookupEnv(parts[i]); set {
				return exitcode.Errorf(exitcode.Usage, "%q: the Task Scheduler would put the value of the variable %s there", w, parts[i])
			}
		}
	}
	return nil
}
