//go:build unix

package backend

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/holder"
	"ductor/internal/common/home"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
)

// windows is a system of fakes: a powershell.exe that plays the script of ours,
// a schtasks.exe, a supervisor.
type windows struct {
	*testing.T
	dir     string // FAKE
	tasks   *TaskScheduler
	service definition.Service
}

func newWindows(t *testing.T) *windows {
	w := &windows{T: t, dir: t.TempDir()}
	source, err := filepath.Abs("testdata/tasks")
	if err != nil {
		t.Fatal(err)
	}
	bin, tools := filepath.Join(w.dir, "bin"), filepath.Join(w.dir, "tools")
	for _, dir := range []string{bin, tools, filepath.Join(w.dir, "win", "System32", "Tasks")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"powershell.exe": bin, "schtasks.exe": bin, "ductor-supervise": tools} {
		if err := os.Symlink(filepath.Join(source, from), filepath.Join(to, from)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FAKE", w.dir)
	t.Setenv("SystemRoot", filepath.Join(w.dir, "win"))
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	w.service = definition.Service{
		Name: "nas", Home: filepath.Join(w.dir, "home"), Command: []string{filepath.Join(tools, "ductor-supervisew.exe"), "--name", "nas", "--", "böt"},
		Runner: filepath.Join(tools, "ductor-servicew.exe"), Dir: w.dir, User: "S-1-5-21-1-2-3-1001", StopSeconds: 45,
	}
	for _, p := range []string{w.service.Command[0], w.service.Runner} {
		if err := os.WriteFile(p, nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.tasks = NewTaskScheduler(TaskOptions{Name: "nas", Home: w.service.Home})
	w.tasks.grace = time.Hour // what waits for something that does not come is to be seen
	return w
}

func (w *windows) plan() Plan { return Plan{Service: w.service, Start: true} }

// put writes a file of the fakes; set is of a task.
func (w *windows) put(name, text string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *windows) set(name, text string) { w.Helper(); w.put("win/System32/Tasks/"+name, text) }

func (w *windows) unput(name string) {
	w.Helper()
	if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
		w.Fatal(err)
	}
}

// task is what is registered, nil if nothing is.
func (w *windows) task(name string) []byte {
	data, _ := os.ReadFile(filepath.Join(w.dir, "win", "System32", "Tasks", name))
	return data
}

// calls are what was done since the last time that was asked for, without the
// questions.
func (w *windows) calls() string {
	w.Helper()
	data, _ := os.ReadFile(filepath.Join(w.dir, "calls"))
	_ = os.Remove(filepath.Join(w.dir, "calls"))
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "read ") }), "; ")
}

func (w *windows) did(want string) {
	w.Helper()
	if got := w.calls(); got != want {
		w.Errorf("did  %q\nwant %q", got, want)
	}
}

func (w *windows) install(p Plan) Installed {
	w.Helper()
	done, err := w.tasks.Install(context.Background(), p)
	if err != nil {
		w.Fatal(err)
	}
	return done
}

func (w *windows) status() Status {
	w.Helper()
	st, err := w.tasks.Status(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	return st
}

// ends fails the test if the error has not this code.
func (w *windows) ends(err error, code int, words ...string) {
	w.Helper()
	if exitcode.Of(err) != code {
		w.Fatalf("exit code %d, not %d: %v", exitcode.Of(err), code, err)
	}
	text := fmt.Sprint(err)
	var e *exitcode.Error
	if errors.As(err, &e) {
		text += "\n" + e.Hint
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			w.Errorf("no %q in %q", word, text)
		}
	}
}

const askedToStop = "supervise stop --name nas --wait --timeout 45s home="

func TestTaskLife(t *testing.T) {
	w, ctx := newWindows(t), context.Background()
	if st := w.status(); st.Installed || st.State != NotInstalled || st.Manager != "task" {
		t.Errorf("%+v", st)
	}
	if done := w.install(w.plan()); done.Action != Created || done.Definition != `\nas` || done.Backups != nil {
		t.Errorf("%+v", done)
	}
	w.did("register nas; run nas")
	if files, _ := w.service.Render(definition.Task); !bytes.Equal(w.task("nas"), files[0].Data) {
		t.Error("another task is registered")
	}
	if st := w.status(); st.State != Running || !st.Enabled || st.Starts != StartsLogin || st.Since == nil || st.LastExit != nil ||
		len(st.Problems) != 0 || st.Stale || st.Stored == nil || st.Timer || st.Definition != `\nas` {
		t.Errorf("%+v", st)
	}
	if done := w.install(w.plan()); done.Action != Unchanged {
		t.Errorf("%+v", done)
	}
	w.ends(w.tasks.Start(ctx), exitcode.OK)
	w.did("")
	w.ends(w.tasks.Restart(ctx), exitcode.OK)
	w.did(askedToStop + w.service.Home + "; run nas")
	w.ends(w.tasks.Stop(ctx), exitcode.OK)
	w.ends(w.tasks.Stop(ctx), exitcode.OK)
	w.did(askedToStop + w.service.Home)
	if st := w.status(); st.State != Stopped || st.LastExit == nil || *st.LastExit.Code != 0 || st.Since != nil {
		t.Errorf("%+v", st)
	}
	w.ends(w.tasks.Restart(ctx), exitcode.OK)
	w.did("run nas")
	gone, err := w.tasks.Uninstall(ctx, false)
	if err != nil || gone.Definition != `\nas` || len(gone.Kept) != 0 {
		t.Errorf("%+v, %v", gone, err)
	}
	w.did(askedToStop + w.service.Home + "; delete nas")
	if gone, err = w.tasks.Uninstall(ctx, false); err != nil || gone.Definition != "" {
		t.Errorf("%+v, %v", gone, err)
	}
	for _, do := range []func(context.Context) error{w.tasks.Start, w.tasks.Stop, w.tasks.Restart} {
		w.ends(do(ctx), exitcode.No, "install")
	}
	w.did("")
}

// TestTaskScript: the script that runs is ours, whatever the names are.
func TestTaskScript(t *testing.T) {
	w := newWindows(t)
	w.status()
	argv, err := os.ReadFile(filepath.Join(w.dir, "argv"))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(argv))
	if want := []string{"-NoLogo", "-NoProfile", "-NonInteractive", "-EncodedCommand"}; !slices.Equal(words[:4], want) {
		t.Errorf("%q", words)
	}
	units, err := base64.StdEncoding.DecodeString(words[4])
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := definition.FromUTF16(append([]byte{0xff, 0xfe}, units...)); text != script {
		t.Errorf("another script:\n%s", text)
	}
	// A command line has 32,767 characters at most.
	if len(words[4]) > 8000 {
		t.Errorf("%d characters", len(words[4]))
	}
}

func TestTaskTimerComesAndGoes(t *testing.T) {
	w := newWindows(t)
	w.install(w.plan())
	w.calls()
	p := w.plan()
	p.Service.Updater = filepath.Join(w.dir, "ductor-update")
	if done := w.install(p); done.Action != Updated {
		t.Errorf("%+v", done)
	}
	w.did("register nas; register nas-update; " + askedToStop + w.service.Home + "; run nas")
	if !w.status().Timer {
		t.Error("there is no timer")
	}
	w.install(w.plan())
	w.did("register nas; delete nas-update; " + askedToStop + w.service.Home + "; run nas")
	if w.task("nas-update") != nil {
		t.Error("the timer is still there")
	}
	w.install(p)
	w.calls()
	if _, err := w.tasks.Uninstall(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	w.did(askedToStop + w.service.Home + "; delete nas-update; delete nas")
}

func TestTaskInstallWithoutStart(t *testing.T) {
	w := newWindows(t)
	p := w.plan()
	p.Start = false
	w.install(p)
	w.did("register nas")
	if st := w.status(); st.State != Stopped || st.LastExit != nil {
		t.Errorf("%+v", st)
	}
	if done := w.install(w.plan()); done.Action != Unchanged { // and starts it
		t.Errorf("%+v", done)
	}
	w.did("run nas")
}

// TestTaskUndone: what fails at any step leaves everything as it was.
func TestTaskUndone(t *testing.T) {
	for _, step := range []string{"register-nas", "register-nas-update", "run-nas", "delete-nas-update"} {
		for _, before := range []string{"nothing", "another", "running"} {
			if before == "nothing" && step == "delete-nas-update" {
				continue
			}
			t.Run(step+" over "+before, func(t *testing.T) {
				w := newWindows(t)
				p := w.plan()
				p.Service.Updater = filepath.Join(w.dir, "ductor-update")
				if before != "nothing" {
					old := p
					old.Start = before == "running"
					if step == "register-nas-update" {
						old.Service.Updater = ""
					}
					if step == "delete-nas-update" {
						p.Service.Updater = ""
					}
					w.install(old)
					p.Service.Env = []string{"A=1"}
				}
				main, timer := w.task("nas"), w.task("nas-update")
				w.put("fail-"+step, "-2147023829") // ERROR_SERVICE_DOES_NOT_EXIST or the like
				_, err := w.tasks.Install(context.Background(), p)
				w.ends(err, exitcode.OSErr, "0x8007042B", "Zugriff verweigert")
				if !bytes.Equal(w.task("nas"), main) || !bytes.Equal(w.task("nas-update"), timer) {
					t.Error("another task than before is there")
				}
				w.unput("fail-" + step)
				st := w.status()
				if want := map[string]State{"nothing": NotInstalled, "another": Stopped, "running": Running}[before]; st.State != want && step != "run-nas" {
					t.Errorf("it is %s, not %s", st.State, want)
				}
			})
		}
	}
}

// TestTaskDenied: S3. By code, in whatever language, with what to do.
func TestTaskDenied(t *testing.T) {
	w, ctx := newWindows(t), context.Background()
	w.put("fail-register-nas", "-2147024891")
	_, err := w.tasks.Install(ctx, w.plan())
	w.ends(err, exitcode.NoPerm, "denies access", "Run as administrator", "ductor-service install --name nas")
	w.unput("fail-register-nas")
	w.install(w.plan())
	w.put("fail-delete-nas", "-2147024891")
	_, err = w.tasks.Uninstall(ctx, false)
	w.ends(err, exitcode.NoPerm, "ductor-service uninstall --name nas")
	w.put("fail-read-nas", "-2147024891")
	st := w.status()
	if !st.Installed || st.State != Unknown || len(st.Problems) != 1 || st.Problems[0].Code != "not-elevated" || st.Problems[0].Fix == "" {
		t.Errorf("%+v", st)
	}
}

func TestTaskNotOurs(t *testing.T) {
	w, ctx := newWindows(t), context.Background()
	foreign := definition.UTF16(`<?xml version="1.0" encoding="UTF-16"?><Task xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task"/>`)
	w.set("nas", string(foreign))
	w.set("nas.state", "3")
	_, err := w.tasks.Install(ctx, w.plan())
	w.ends(err, exitcode.Config, "was not written by", "--force")
	_, err = w.tasks.Uninstall(ctx, false)
	w.ends(err, exitcode.Config, "was not written by", "schtasks /Delete")
	w.ends(w.tasks.Stop(ctx), exitcode.Config)
	if st := w.status(); !st.Installed || st.State != Stopped || st.Stored != nil {
		t.Errorf("%+v", st)
	}
	w.did("")
	p := w.plan()
	p.Force = true
	done := w.install(p)
	if data, err := os.ReadFile(done.Backups[0]); done.Action != Updated || filepath.Base(done.Backups[0]) != "nas.task.xml.bak" || !bytes.Equal(data, foreign) {
		t.Errorf("%+v, %v", done, err)
	}
	other := w.plan()
	other.Service.Home += "2"
	second := NewTaskScheduler(TaskOptions{Name: "nas", Home: other.Service.Home})
	other.Force = true
	_, err = second.Install(ctx, other)
	w.ends(err, exitcode.Config, "another home")
	_, err = second.Uninstall(ctx, false)
	w.ends(err, exitcode.Config, "another home")
}

// TestTaskForceUndone: a copy that was made for a replacement goes with it.
func TestTaskForceUndone(t *testing.T) {
	w := newWindows(t)
	w.set("nas", "foreign")
	w.set("nas.state", "3")
	w.put("fail-register-nas", "-2147024891")
	p := w.plan()
	p.Force = true
	_, err := w.tasks.Install(context.Background(), p)
	w.ends(err, exitcode.NoPerm)
	if left, _ := filepath.Glob(w.service.Home + "/*.bak"); len(left) != 0 || string(w.task("nas")) != "foreign" {
		t.Errorf("%q is left", left)
	}
}

func TestTaskEditedIsKept(t *testing.T) {
	w, ctx := newWindows(t), context.Background()
	p := w.plan()
	p.Service.Updater = filepath.Join(w.dir, "ductor-update")
	w.install(p)
	text, _ := definition.FromUTF16(w.task("nas"))
	edited := definition.UTF16(strings.Replace(text, "PT10S", "PT5M", 1))
	w.set("nas", string(edited))
	w.set("nas-update", string(definition.UTF16("<Task/>")))
	_, err := w.tasks.Install(ctx, p)
	w.ends(err, exitcode.Config, "edited")
	if st := w.status(); len(st.Problems) == 0 || st.Problems[len(st.Problems)-1].Code != "definition-edited" {
		t.Errorf("%+v", st.Problems)
	}
	done, err := w.tasks.Uninstall(ctx, false)
	if err != nil || len(done.Kept) != 1 || done.Kept[0].What != filepath.Join(w.service.Home, "nas.task.xml.bak") {
		t.Fatalf("%+v, %v", done, err)
	}
	if data, _ := os.ReadFile(done.Kept[0].What); !bytes.Equal(data, edited) {
		t.Error("another task was kept")
	}
	if w.task("nas") != nil || w.task("nas-update") == nil {
		t.Error("what is ours is there, or what is not is gone")
	}
}

// TestTaskDisabledByHand: install turns it on again; start says why it does not.
func TestTaskDisabledByHand(t *testing.T) {
	w, ctx := newWindows(t), context.Background()
	w.install(w.plan())
	w.ends(w.tasks.Stop(ctx), exitcode.OK)
	text, _ := definition.FromUTF16(w.task("nas"))
	w.set("nas", string(definition.UTF16(strings.Replace(text, "<Enabled>true</Enabled>\r\n    <Hidden>", "<Enabled>false</Enabled>\r\n    <Hidden>", 1))))
	w.set("nas.state", "1")
	if st := w.status(); st.Enabled || st.Starts != StartsManual || st.State != Stopped {
		t.Errorf("%+v", st)
	}
	w.ends(w.tasks.Start(ctx), exitcode.Config, "disabled", "install")
	w.calls()
	if done := w.install(w.plan()); done.Action != Updated {
		t.Errorf("%+v", done)
	}
	w.did("register nas; run nas")
	if st := w.status(); !st.Enabled {
		t.Errorf("%+v", st)
	}
}

func TestTaskStates(t *testing.T) {
	w := newWindows(t)
	w.install(w.plan())
	for _, c := range []struct {
		state, result string
		want          State
		exit          string
	}{
		{"4", "267009", Running, ""},
		{"2", "267045", Starting, ""},
		{"3", "267011", Stopped, ""}, // never ran
		{"3", "0", Stopped, "ended with exit code 0"},
		{"3", "78", Failed, "ended with exit code 78"},
		{"3", "267014", Stopped, "ended: terminated"},
		{"3", "-2147024894", Failed, "ended with exit code 2147942402"}, // not found
		{"3", "-1073741510", Failed, "ended with exit code 3221225786"}, // Ctrl-C
		{"1", "267010", Stopped, ""},
		{"0", "0", Unknown, ""},
	} {
		w.set("nas.state", c.state)
		w.set("nas.result", c.result)
		st, said := w.status(), ""
		if st.LastExit != nil {
			said = st.LastExit.String()
		}
		if st.State != c.want || said != c.exit {
			t.Errorf("state %s, result %s: %s, %q", c.state, c.result, st.State, said)
		}
	}
	w.set("nas.state", "3")
	w.set("nas.result", "-1073741510")
	if got := w.status().LastExit.Result; got != "0xC000013A" {
		t.Errorf("%q", got)
	}
}

// TestTaskEndsAtOnce: the answer of run is only that it was asked for.
func TestTaskEndsAtOnce(t *testing.T) {
	w, ctx := newWindows(t), context.Background()
	p := w.plan()
	p.Start = false
	w.install(p)
	w.put("ends-at-once", "64")
	w.ends(w.tasks.Start(ctx), exitcode.OSErr, "ended with exit code 64", "ductor-service logs")
	if w.status().State != Failed {
		t.Error("it has not failed")
	}
}

// TestTaskStopsHard: as the last resort, when the supervisor does not end, is
// not there, or cannot be asked.
func TestTaskStopsHard(t *testing.T) {
	for _, code := range []string{"124", "1", "none"} {
		w, ctx := newWindows(t), context.Background()
		w.install(w.plan())
		w.calls()
		want := askedToStop + w.service.Home + "; stop nas"
		if code == "none" {
			w.unput("tools/ductor-supervise")
			want = "stop nas"
		} else {
			w.put("supervise", code)
		}
		w.ends(w.tasks.Stop(ctx), exitcode.OK)
		w.did(want)
		if st := w.status(); st.State != Stopped || st.LastExit.Result != "terminated" {
			t.Errorf("%+v", st)
		}
	}
}

// TestTaskDoesNotEnd: a supervisor that says it did is not believed, and then
// Task Scheduler is not either.
func TestTaskDoesNotEnd(t *testing.T) {
	w := newWindows(t)
	w.install(w.plan())
	w.calls()
	w.put("immortal", "")
	w.tasks.grace = time.Millisecond
	w.ends(w.tasks.Stop(context.Background()), exitcode.Timeout, "has not ended")
	w.did(askedToStop + w.service.Home + "; stop nas")
}

// TestTaskRunsOn: a service that was stopped for a new task, which then does not
// run, runs from the old one.
func TestTaskRunsOn(t *testing.T) {
	w := newWindows(t)
	w.install(w.plan())
	w.calls()
	p := w.plan()
	p.Service.Env = []string{"A=1"}
	w.put("once-run-nas", "-2147023829")
	_, err := w.tasks.Install(context.Background(), p)
	w.ends(err, exitcode.OSErr)
	w.did("register nas; " + askedToStop + w.service.Home + "; run nas; register nas; run nas")
	if st := w.status(); st.State != Running || st.Stored.Env != nil {
		t.Errorf("%+v", st)
	}
}

// TestTaskSupervisorFromPath: where it does not lie beside the command.
func TestTaskSupervisorFromPath(t *testing.T) {
	w := newWindows(t)
	w.install(w.plan())
	w.calls()
	if err := os.Rename(filepath.Join(w.dir, "tools", "ductor-supervise"), filepath.Join(w.dir, "bin", "ductor-supervise")); err != nil {
		t.Fatal(err)
	}
	w.ends(w.tasks.Stop(context.Background()), exitcode.OK)
	w.did(askedToStop + w.service.Home)
}

func TestTaskTimeIsOver(t *testing.T) {
	w := newWindows(t)
	w.install(w.plan())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, do := range []func(context.Context) error{w.tasks.Start, w.tasks.Stop, w.tasks.Restart} {
		w.ends(do(ctx), exitcode.Timeout)
	}
	_, err := w.tasks.Install(ctx, w.plan())
	w.ends(err, exitcode.Timeout)
	if w.tasks.tasks.blunt {
		t.Error("it has given PowerShell up")
	}
}

// TestTaskBySchtasks: a powershell.exe that does nothing, says something else,
// or has no COM is none.
func TestTaskBySchtasks(t *testing.T) {
	for _, words := range []string{"", "hello\n", "{}\n", `{"ductor_task":1,"com":false,"code":-1}` + "\n", "none"} {
		w, ctx := newWindows(t), context.Background()
		if words == "none" {
			w.unput("bin/powershell.exe")
		} else {
			w.put("mute", words)
		}
		if done := w.install(w.plan()); done.Action != Created {
			t.Errorf("%+v", done)
		}
		calls := w.calls()
		if !strings.HasPrefix(calls, "/Create /TN nas /XML ") || !strings.HasSuffix(calls, "nas.xml /F; /Run /TN nas") {
			t.Errorf("%q", calls)
		}
		if done := w.install(w.plan()); done.Action != Unchanged {
			t.Errorf("%+v", done)
		}
		w.calls()
		st := w.status()
		if !st.Installed || st.State != Unknown || st.Starts != StartsLogin || st.LastExit != nil || st.Stored == nil || st.Stale {
			t.Errorf("%+v", st)
		}
		if p := w.tasks.Examine(ctx); len(p) != 1 || p[0].Code != "no-powershell" {
			t.Errorf("%+v", p)
		}
		w.ends(w.tasks.Start(ctx), exitcode.OK)
		w.did("/Run /TN nas")
		if _, err := w.tasks.Uninstall(ctx, false); err != nil {
			t.Fatal(err)
		}
		w.did("/Delete /TN nas /F")
		if w.status().Installed {
			t.Error("it is still there")
		}
	}
}

// TestTaskOfSchtasksWords: what it prints is read where its folder cannot be.
func TestTaskOfSchtasksWords(t *testing.T) {
	w := newWindows(t)
	w.put("mute", "")
	t.Setenv("SystemRoot", "")
	files, err := w.service.Render(definition.Task)
	if err != nil {
		t.Fatal(err)
	}
	if w.status().Installed {
		t.Error("there is none")
	}
	text, _ := definition.FromUTF16(files[0].Data)
	w.put("query", text)
	if st := w.status(); !st.Installed || st.Stored == nil || st.Stored.Edited {
		t.Errorf("%+v", st)
	}
	w.put("query", strings.ReplaceAll(text, "ö", "\x94")) // of code page 850
	if st := w.status(); !st.Installed || st.Stored == nil {
		t.Errorf("%+v", st)
	}
}

func TestTaskSchtasksFails(t *testing.T) {
	w, ctx := newWindows(t), context.Background()
	w.put("mute", "")
	w.put("denied", "")
	_, err := w.tasks.Install(ctx, w.plan())
	w.ends(err, exitcode.NoPerm, "FEHLER: Zugriff verweigert", "may take an administrator", "ductor-service install --name nas")
}

// TestTaskPutsBackUTF16: schtasks refuses what some Task Schedulers store.
func TestTaskPutsBackUTF16(t *testing.T) {
	w := newWindows(t)
	if err := w.tasks.tasks.register(context.Background(), "nas", []byte("\ufeff<Task>ö</Task>")); err != nil {
		t.Fatal(err)
	}
	if got := w.task("nas"); !bytes.Equal(got, definition.UTF16("<Task>ö</Task>")) {
		t.Errorf("%q", got)
	}
}

func TestTaskNoWindows(t *testing.T) {
	w, ctx := newWindows(t), context.Background()
	w.unput("bin/powershell.exe")
	w.unput("bin/schtasks.exe")
	t.Setenv("SystemRoot", "")
	_, err := w.tasks.Install(ctx, w.plan())
	w.ends(err, exitcode.Unavailable, "powershell.exe", "schtasks.exe", "render")
	_, err = w.tasks.Status(ctx)
	w.ends(err, exitcode.Unavailable)
	w.ends(w.tasks.Start(ctx), exitcode.Unavailable)
}

// TestTaskVariables: there is no way to write %NAME% for who would replace it.
func TestTaskVariables(t *testing.T) {
	w := newWindows(t)
	t.Setenv("OneDrive", "x")
	p := w.plan()
	p.Service.Command = append(p.Service.Command, "100%", "%20a%20", "%NoSuchVariable%")
	w.install(p)
	p.Service.Command = append(p.Service.Command, "50% of %OneDrive%")
	_, err := w.tasks.Install(context.Background(), p)
	w.ends(err, exitcode.Usage, "OneDrive")
}

// supervised is the PID file of the service's supervisor.
func (w *windows) supervised() string {
	run := home.Home(w.service.Home).Run("nas")
	if err := run.Make(); err != nil {
		w.Fatal(err)
	}
	return run.SupervisePID()
}

// hold takes the supervisor's lock.
func hold(t *testing.T, pidfile string) *lockfile.Lock {
	l, err := lockfile.Try(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	id, err := process.Self()
	if err == nil {
		err = holder.Write(l, holder.Record{Identity: id, Command: []string{"supervise"}, Since: time.Now()})
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// again runs one test of this program in another process, with words for it.
func again(ctx context.Context, test string, words ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), words...)
	return cmd
}

// TestTaskPID: the process to tell of is the supervisor, whom its lock names.
func TestTaskPID(t *testing.T) {
	if pidfile := os.Getenv("HOLD"); pidfile != "" {
		l := hold(t, pidfile)
		fmt.Println("held")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the other closes it
		l.Close()
		return
	}
	w := newWindows(t)
	w.service.Sandbox = filepath.Join(w.dir, "tools", "ductor-supervisew.exe")
	w.install(w.plan())
	if st := w.status(); st.State != Starting || st.PID != 0 { // the sandbox comes first
		t.Errorf("%+v", st)
	}
	cmd := again(t.Context(), "TestTaskPID", "HOLD="+w.supervised())
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); _ = cmd.Wait() }()
	line, read := make([]byte, 4096), 0
	for !bytes.Contains(line[:read], []byte("held")) {
		n, err := out.Read(line[read:])
		if read += n; err != nil {
			t.Fatalf("%v: %s", err, line[:read])
		}
	}
	if st := w.status(); st.State != Running || st.PID != cmd.Process.Pid {
		t.Errorf("%+v", st)
	}
	w.put("mute", "")
	blunt := NewTaskScheduler(TaskOptions{Name: "nas", Home: w.service.Home})
	if st, err := blunt.Status(context.Background()); err != nil || st.State != Running || st.PID != cmd.Process.Pid {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestTaskFromInside: a bot that restarts its own service by it would end
// before the second half.
func TestTaskFromInside(t *testing.T) {
	if dir := os.Getenv("INSIDE"); dir != "" {
		tasks := NewTaskScheduler(TaskOptions{Name: "nas", Home: dir})
		w, ctx := &windows{T: t}, context.Background()
		w.ends(tasks.Restart(ctx), exitcode.NoPerm, "inside", "ductor-supervise restart --name nas")
		_, err := tasks.Uninstall(ctx, false)
		w.ends(err, exitcode.NoPerm, "inside", "of its own")
		main, err := tasks.installed(ctx)
		if err != nil {
			t.Fatal(err)
		}
		old, err := definition.Read(definition.Task, main.xml)
		if err != nil {
			t.Fatal(err)
		}
		old.Env = []string{"A=1"}
		_, err = tasks.Install(ctx, Plan{Service: old.Service, Start: true})
		w.ends(err, exitcode.NoPerm, "inside", "of its own")
		return
	}
	w := newWindows(t)
	w.install(w.plan())
	w.calls()
	l := hold(t, w.supervised())
	defer l.Close()
	if out, err := again(t.Context(), "TestTaskFromInside", "INSIDE="+w.service.Home).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	w.did("")
}

func TestTaskLogs(t *testing.T) {
	w := newWindows(t)
	w.ends(w.tasks.Logs(context.Background(), nil, nil, Lines{Last: -1}), exitcode.No)
	w.install(w.plan())
	file := w.service.LogFile("err")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("one\ntwo\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w.ends(w.tasks.Logs(context.Background(), &out, nil, Lines{Last: 1}), exitcode.OK)
	if out.String() != "two\n" {
		t.Errorf("%q", out.String())
	}
}
