package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/exitcode"
)

// mac is a user's account on a Mac of ours.
type mac struct {
	*fake
	s     definition.Service
	l     *Launchd
	slept time.Duration
}

func newMac(t *testing.T, name string) *mac {
	t.Helper()
	return newMacWith(t, newFake(t), name)
}

// quickMac is newMac without processes, for tests with very many calls.
func quickMac(t *testing.T, name string) *mac {
	t.Helper()
	return newMacWith(t, &fake{t: t, w: emptyWorld()}, name)
}

func newMacWith(t *testing.T, f *fake, name string) *mac {
	t.Helper()
	m := &mac{fake: f, s: servable(t, name)}
	m.l = NewLaunchd(LaunchdOptions{Name: name, Home: m.s.Home, UID: 501, UserHome: m.s.Dir, Sleep: func(ctx context.Context, d time.Duration) error {
		m.slept += d
		return sleep(ctx, 0)
	}})
	if f.w != nil {
		m.l.ask = f.ask
	}
	return m
}

func (m *mac) plan() Plan { return Plan{Service: m.s, Start: true} }

func (m *mac) install(p Plan) Installed {
	m.t.Helper()
	done, err := m.l.Install(m.t.Context(), p)
	if err != nil {
		m.t.Fatal(err)
	}
	return done
}

func (m *mac) status() Status {
	m.t.Helper()
	st, err := m.l.Status(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return st
}

func (m *mac) problems() string {
	m.t.Helper()
	var codes []string
	for _, p := range m.status().Problems {
		codes = append(codes, p.Code)
	}
	return strings.Join(codes, " ")
}

func (m *mac) plist(name string) string { return filepath.Join(m.l.folder, "dev."+name+".plist") }

// did compares what launchctl was told since the last time. G is the gui
// domain, P the folder of agents.
func (m *mac) did(want ...string) {
	m.t.Helper()
	got := strings.NewReplacer("gui/501", "G", m.l.folder+string(filepath.Separator), "P/").Replace(m.calls())
	if got != strings.Join(want, "\n") {
		m.t.Errorf("launchctl was told:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func (m *mac) refused(err error, code int) {
	m.t.Helper()
	var e *exitcode.Error
	if !errors.As(err, &e) || e.Code != code || e.Hint == "" {
		m.t.Errorf("%v (%d), want %d and a hint", err, exitcode.Of(err), code)
	}
}

func TestLaunchdInstall(t *testing.T) {
	m := newMac(t, "nas")
	done := m.install(m.plan())
	if want := (Installed{Action: Created, Definition: m.plist("nas")}); !reflect.DeepEqual(done, want) {
		t.Errorf("%+v", done)
	}
	m.did("enable G/dev.nas", "bootstrap G P/dev.nas.plist")
	for path, want := range map[string]os.FileMode{m.plist("nas"): 0o644, filepath.Join(m.s.Home, "logs"): 0o700} {
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	st := m.status()
	zero := 0
	want := Status{Manager: "launchd-agent", Installed: true, Enabled: true, State: Running, PID: 1_000_000_001, Restarts: &zero,
		Starts: StartsLogin, Definition: m.plist("nas"), Problems: []Problem{}, Stored: st.Stored}
	if !reflect.DeepEqual(st, want) || !reflect.DeepEqual(st.Stored.Service, m.s) {
		t.Errorf("%+v\nwant %+v", st, want)
	}
	m.calls()
	if done := m.install(m.plan()); done.Action != Unchanged {
		t.Errorf("again: %+v", done)
	}
	m.did()
	m.s.Env = []string{"TOKEN=x"}
	if done := m.install(m.plan()); done.Action != Updated {
		t.Errorf("changed: %+v", done)
	}
	m.did("enable G/dev.nas", "bootout G/dev.nas", "bootstrap G P/dev.nas.plist")
	if info, err := os.Stat(m.plist("nas")); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("with a secret: %v, %v", info.Mode(), err)
	}
}

func TestLaunchdInstallWithTimer(t *testing.T) {
	m := newMac(t, "nas")
	m.s.Updater = m.s.Runner
	m.install(m.plan())
	m.did("enable G/dev.nas", "enable G/dev.nas.update", "bootstrap G P/dev.nas.plist", "bootstrap G P/dev.nas.update.plist")
	if st := m.status(); !st.Timer {
		t.Errorf("%+v", st)
	}
	m.fake.set(func(w *world) { w.Jobs["gui/501/dev.nas.update"].PID = 0 }) // until the next hour
	m.install(m.plan())
	m.did()
	m.s.Updater = ""
	m.install(m.plan())
	m.did("enable G/dev.nas", "bootout G/dev.nas.update", "bootout G/dev.nas", "bootstrap G P/dev.nas.plist")
	if st := m.status(); st.Timer || len(m.world().Jobs) != 1 {
		t.Errorf("%+v", st)
	}
}

// TestLaunchdInstallWithoutStart: it starts at the next login, and not before.
func TestLaunchdInstallWithoutStart(t *testing.T) {
	m := quickMac(t, "nas")
	m.fake.set(func(w *world) { w.Disabled["dev.nas"] = true })
	p := m.plan()
	p.Start = false
	m.install(p)
	m.did("enable G/dev.nas")
	if st := m.status(); !st.Enabled || st.State != Stopped || st.Starts != StartsLogin {
		t.Errorf("%+v", st)
	}
	if done := m.install(p); done.Action != Unchanged {
		t.Errorf("%+v", done)
	}
	m.did()
	if done := m.install(m.plan()); done.Action != Unchanged {
		t.Errorf("%+v", done)
	}
	m.did("enable G/dev.nas", "bootstrap G P/dev.nas.plist")
	m.fake.set(func(w *world) { w.Disabled["dev.nas"] = true })
	m.install(m.plan())
	m.did("enable G/dev.nas") // it runs
	// Like every other manager, this one lets no old definition run on.
	p.Service.StopSeconds++
	m.install(p)
	m.did("enable G/dev.nas", "bootout G/dev.nas", "bootstrap G P/dev.nas.plist")
}

// TestBootstrapIOError is what a label answers that still drains (S24).
func TestBootstrapIOError(t *testing.T) {
	m := quickMac(t, "nas")
	m.install(m.plan())
	m.s.StopSeconds = 100
	m.fake.set(func(w *world) {
		w.Drain = 105 // looks, one a second; more than the usual 30
		w.Refuse["bootstrap"] = []int{5, 37, 5}
	})
	m.calls()
	m.slept = 0
	m.install(m.plan())
	m.did("enable G/dev.nas", "bootout G/dev.nas",
		"bootstrap G P/dev.nas.plist", "bootstrap G P/dev.nas.plist", "bootstrap G P/dev.nas.plist", "bootstrap G P/dev.nas.plist")
	if want := (104 + 1 + 2 + 4) * time.Second; m.slept < want || m.slept > want+2*time.Second {
		t.Errorf("waited %v, want %v", m.slept, want)
	}
}

func TestServiceThatDoesNotEnd(t *testing.T) {
	m := quickMac(t, "nas")
	m.install(m.plan())
	before := m.all()
	m.fake.set(func(w *world) { w.Drain = 60 })
	m.s.StopSeconds++
	_, err := m.l.Install(t.Context(), m.plan())
	if exitcode.Of(err) != exitcode.Timeout || !strings.Contains(err.Error(), "dev.nas") {
		t.Errorf("%v", err)
	}
	m.same(before)
}

// TestNoGuiDomain: over ssh, with nobody at the screen (S27).
func TestNoGuiDomain(t *testing.T) {
	m := quickMac(t, "nas")
	m.fake.set(func(w *world) { w.Domains = []string{"user/501"} })
	m.install(m.plan())
	m.did("enable user/501/dev.nas", "bootstrap user/501 P/dev.nas.plist")
	if got := m.problems(); got != "headless-login-only" {
		t.Errorf("problems: %s", got)
	}
	// Somebody logs in, and the service is moved there.
	m.fake.set(func(w *world) { w.Domains = []string{"gui/501", "user/501"} })
	if st := m.status(); st.State != Running {
		t.Errorf("%+v", st)
	}
	m.s.StopSeconds++
	m.calls()
	m.install(m.plan())
	m.did("enable user/501/dev.nas", "bootout user/501/dev.nas", "bootstrap G P/dev.nas.plist")
	if got := m.problems(); got != "" || len(m.world().Jobs) != 1 {
		t.Errorf("problems: %s", got)
	}
}

// TestDomainThatTakesNoAgents is there, but not for us.
func TestDomainThatTakesNoAgents(t *testing.T) {
	m := quickMac(t, "nas")
	m.fake.set(func(w *world) { w.Refuse["bootstrap"] = []int{125} })
	m.install(m.plan())
	m.did("enable G/dev.nas", "bootstrap G P/dev.nas.plist", "bootstrap user/501 P/dev.nas.plist")
	if got := m.problems(); got != "headless-login-only" {
		t.Errorf("problems: %s", got)
	}
}

func TestWithoutLaunchctl(t *testing.T) {
	m := newMac(t, "nas")
	t.Setenv("PATH", t.TempDir())
	_, err1 := m.l.Install(t.Context(), m.plan())
	_, err2 := m.l.Status(t.Context())
	_, err3 := m.l.Uninstall(t.Context(), false)
	for _, err := range []error{err1, err2, err3, m.l.Start(t.Context())} {
		if exitcode.Of(err) != exitcode.Unavailable || !strings.Contains(err.Error(), "launchctl") {
			t.Errorf("%v", err)
		}
	}
	if _, err := os.Stat(m.l.folder); err == nil {
		t.Error("there are agents without launchd")
	}
}

// everything is what an installation can change.
type everything struct {
	files map[string]string // and modes
	jobs  map[string]string // their definitions, and whether they run
	off   map[string]bool
}

func (m *mac) all() everything {
	m.t.Helper()
	w := m.world()
	e := everything{map[string]string{}, map[string]string{}, maps.Clone(w.Disabled)}
	maps.DeleteFunc(e.off, func(_ string, off bool) bool { return !off })
	entries, _ := os.ReadDir(m.l.folder)
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(m.l.folder, entry.Name()))
		info, ierr := entry.Info()
		if err != nil || ierr != nil {
			m.t.Fatal(err, ierr)
		}
		e.files[entry.Name()] = fmt.Sprint(info.Mode(), string(data))
	}
	for target, j := range w.Jobs {
		e.jobs[target] = fmt.Sprint(j.PID > 0, j.Leaving, j.Definition)
	}
	return e
}

func (m *mac) same(want everything) {
	m.t.Helper()
	if got := m.all(); !reflect.DeepEqual(got, want) {
		m.t.Errorf("it is\n%v\nand was\n%v", got, want)
	}
}

// failures are installations, each over what was before.
var failures = map[string]func(m *mac) Plan{
	"fresh": func(m *mac) Plan {
		m.s.Updater = m.s.Runner
		return m.plan()
	},
	"fresh and disabled": func(m *mac) Plan {
		m.fake.set(func(w *world) { w.Disabled["dev.nas"] = true })
		return m.plan()
	},
	"update": func(m *mac) Plan {
		m.install(m.plan())
		m.s.Env = []string{"A=b"}
		return m.plan()
	},
	"update of a service that is loaded elsewhere": func(m *mac) Plan {
		m.fake.set(func(w *world) { w.Domains = []string{"user/501"} })
		m.install(m.plan())
		m.fake.set(func(w *world) { w.Domains = []string{"gui/501", "user/501"} })
		m.s.StopSeconds++
		return m.plan()
	},
	"a timer comes": func(m *mac) Plan {
		m.install(m.plan())
		m.s.Updater = m.s.Runner
		return m.plan()
	},
	"a timer goes": func(m *mac) Plan {
		m.s.Updater = m.s.Runner
		m.install(m.plan())
		m.s.Updater = ""
		return m.plan()
	},
	"by force": func(m *mac) Plan {
		m.install(m.plan())
		put(m.t, m.plist("nas"), strings.Replace(read(m.t, m.plist("nas")), "<integer>45", "<integer>46", 1))
		if err := m.l.Restart(m.t.Context()); err != nil {
			m.t.Fatal(err)
		}
		put(m.t, m.plist("nas")+".bak", "an older one")
		p := m.plan()
		p.Force = true
		return p
	},
	"what was stopped": func(m *mac) Plan {
		m.install(m.plan())
		if err := m.l.Stop(m.t.Context()); err != nil {
			m.t.Fatal(err)
		}
		return m.plan()
	},
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestLaunchdInstallFailsAtEachStep lets each call of an installation fail in
// turn: either everything is done all the same, or everything is as it was.
func TestLaunchdInstallFailsAtEachStep(t *testing.T) {
	for name, prepare := range failures {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, late %t", name, late), func(t *testing.T) {
				good := quickMac(t, "nas")
				p := prepare(good)
				good.calls()
				good.install(p)
				steps := len(good.world().Calls)
				if steps < 8 {
					t.Fatalf("only %d calls", steps)
				}
				done := good.all()
				for k := 1; k <= steps; k++ {
					m := quickMac(t, "nas")
					failsAt(t, m, prepare(m), k, late, done)
				}
			})
		}
	}
}

func failsAt(t *testing.T, m *mac, p Plan, k int, late bool, done everything) {
	t.Helper()
	m.calls()
	m.fake.set(func(w *world) { w.Fail, w.With, w.Late = k, 1, late })
	before := m.all()
	_, err := m.l.Install(t.Context(), p)
	if call := m.world().Calls[k-1]; err != nil && !strings.Contains(err.Error(), "launchctl "+call) {
		t.Errorf("%s failed, and we say %v", call, err)
	}
	if err != nil {
		m.same(before)
		return
	}
	got := m.all()
	if len(got.files) != len(done.files) || len(got.jobs) != len(done.jobs) || !reflect.DeepEqual(got.off, done.off) {
		t.Errorf("call %d failed: half is done: %v", k, got)
	}
}

// TestLaunchdInstallInterrupted: what was begun is undone, though the time of
// the caller is over.
func TestLaunchdInstallInterrupted(t *testing.T) {
	m := newMac(t, "nas")
	m.install(m.plan())
	before := m.all()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.fake.set(func(w *world) { w.Drain = 3 })
	m.l.sleep = func(its context.Context, _ time.Duration) error {
		cancel()
		return sleep(its, 0)
	}
	m.s.StopSeconds++
	if _, err := m.l.Install(ctx, m.plan()); exitcode.Of(err) != exitcode.Timeout {
		t.Errorf("%v", err)
	}
	m.same(before)
}

// TestLaunchdUndoThatFails says so.
func TestLaunchdUndoThatFails(t *testing.T) {
	m := quickMac(t, "nas")
	m.install(m.plan())
	m.fake.set(func(w *world) { w.Refuse["bootstrap"] = []int{1, 78} })
	m.s.StopSeconds++
	_, err := m.l.Install(t.Context(), m.plan())
	m.refused(err, exitcode.OSErr)
	if text := err.Error(); !strings.Contains(text, "exit code 1:") || !strings.Contains(text, "could not be put back") || !strings.Contains(text, "exit code 78:") {
		t.Error(text)
	}
}

func TestLaunchdFoldersThatCannotBe(t *testing.T) {
	for _, blocked := range []string{"home", "Library"} {
		m := quickMac(t, "nas")
		put(t, filepath.Join(m.s.Dir, blocked), "a file")
		if _, err := m.l.Install(t.Context(), m.plan()); err == nil {
			t.Errorf("%s is a file, and it is installed", blocked)
		}
		m.did()
	}
}

// TestLaunchdForeign has the agent of the Python package in our place.
func TestLaunchdForeign(t *testing.T) {
	m := quickMac(t, "ductor")
	const foreign = `<plist version="1.0"><dict><key>Label</key><string>dev.ductor</string></dict></plist>`
	if err := os.MkdirAll(m.l.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, m.plist("ductor"), foreign)
	m.fake.set(func(w *world) {
		w.Jobs["gui/501/dev.ductor"] = &fakeJob{Path: m.plist("ductor"), PID: 1_000_000_000, Runs: 1}
	})
	before := m.all()
	_, err1 := m.l.Install(t.Context(), m.plan())
	_, err2 := m.l.Uninstall(t.Context(), false)
	for _, err := range []error{err1, err2} {
		m.refused(err, exitcode.Config)
	}
	for _, verb := range []func(context.Context) error{m.l.Start, m.l.Stop, m.l.Restart} {
		if err := verb(t.Context()); exitcode.Of(err) != exitcode.Config {
			t.Errorf("%v", err)
		}
	}
	m.did()
	m.same(before)
	if got := m.problems(); got != "old-definition" {
		t.Errorf("problems: %q", got)
	}
	p := m.plan()
	p.Force = true
	if done := m.install(p); done.Action != Updated || len(done.Backups) != 1 || read(t, done.Backups[0]) != foreign || strings.HasSuffix(done.Backups[0], ".plist") {
		t.Errorf("%+v", done)
	}
	if got := m.problems(); got != "" {
		t.Errorf("problems: %q", got)
	}
}

// TestOldAgentBesideOurs: two agents are two bots (S38).
func TestOldAgentBesideOurs(t *testing.T) {
	m := quickMac(t, "nas")
	m.install(m.plan())
	put(t, m.plist("ductor"), "<plist/>")
	if got := m.problems(); got != "" {
		t.Errorf("it is not loaded, but there are problems: %q", got)
	}
	m.fake.set(func(w *world) {
		w.Jobs["gui/501/dev.ductor"] = &fakeJob{Path: m.plist("ductor"), PID: 1_000_000_000, Runs: 1}
	})
	st := m.status()
	if len(st.Problems) != 1 || st.Problems[0].Code != "old-definition" || !strings.HasPrefix(st.Problems[0].Fix, "launchctl bootout gui/501/dev.ductor; rm ") {
		t.Errorf("%+v", st.Problems)
	}
	other := m.s // but a bot of that name that we installed is none of them
	other.Name = "ductor"
	put(t, m.plist("ductor"), string(rendered(t, definition.LaunchdAgent, other)))
	if got := m.problems(); got != "" {
		t.Errorf("problems: %q", got)
	}
}

func TestLaunchdOfAnotherHome(t *testing.T) {
	m := quickMac(t, "nas")
	m.install(m.plan())
	other := NewLaunchd(LaunchdOptions{Name: "nas", Home: filepath.Join(m.s.Dir, "other"), UID: 501, UserHome: m.s.Dir})
	other.ask = m.ask
	m.calls()
	p := m.plan()
	p.Service.Home, p.Force = filepath.Join(m.s.Dir, "other"), true
	_, err1 := other.Install(t.Context(), p)
	_, err2 := other.Uninstall(t.Context(), false)
	for _, err := range []error{err1, err2} {
		m.refused(err, exitcode.Config)
	}
	if err := other.Stop(t.Context()); exitcode.Of(err) != exitcode.Config {
		t.Errorf("%v", err)
	}
	m.did()
}

// TestInsideTheService: to unload it would end us before we could load it.
func TestInsideTheService(t *testing.T) {
	m := newMac(t, "nas")
	m.fake.set(func(w *world) { w.PID = os.Getppid() })
	m.install(m.plan())
	m.install(m.plan()) // nothing is to be done
	m.calls()
	if err := m.l.Restart(t.Context()); err != nil {
		t.Error(err)
	}
	m.did("kickstart -k G/dev.nas")
	m.fake.set(func(w *world) { w.Jobs["gui/501/dev.nas"].PID = os.Getppid() })
	before := m.all()
	m.s.StopSeconds++
	_, err1 := m.l.Install(t.Context(), m.plan())
	_, err2 := m.l.Uninstall(t.Context(), false)
	for _, err := range []error{err1, err2} {
		m.refused(err, exitcode.NoPerm)
	}
	m.did()
	m.same(before)
}

func TestLaunchdStartStopRestart(t *testing.T) {
	m := newMac(t, "nas")
	ctx := t.Context()
	for _, verb := range []func(context.Context) error{m.l.Start, m.l.Stop, m.l.Restart} {
		m.refused(verb(ctx), exitcode.No)
	}
	m.s.Updater = m.s.Runner
	m.install(m.plan())
	m.calls()
	check := func(what string, err error, state State, told ...string) {
		t.Helper()
		if st := m.status(); err != nil || st.State != state {
			t.Errorf("%s: %v, %s", what, err, st.State)
		}
		m.did(told...)
	}
	check("start of what runs", m.l.Start(ctx), Running)
	m.fake.set(func(w *world) { w.Drain = 3 })
	check("stop", m.l.Stop(ctx), Stopped, "bootout G/dev.nas.update", "bootout G/dev.nas")
	if st := m.status(); !st.Installed || !st.Enabled || st.Starts != StartsLogin {
		t.Errorf("it does not come back at login: %+v", st)
	}
	m.calls()
	check("stop again", m.l.Stop(ctx), Stopped)
	check("start", m.l.Start(ctx), Running, "enable G/dev.nas", "bootstrap G P/dev.nas.plist",
		"enable G/dev.nas.update", "bootstrap G P/dev.nas.update.plist")
	check("restart", m.l.Restart(ctx), Running, "bootout G/dev.nas", "enable G/dev.nas", "bootstrap G P/dev.nas.plist")
	m.fake.set(func(w *world) { w.Jobs["gui/501/dev.nas"].PID, w.Jobs["gui/501/dev.nas"].Exit = 0, 0 })
	check("start of what ended", m.l.Start(ctx), Running, "enable G/dev.nas", "kickstart G/dev.nas")
}

// TestLaunchdStartThatFails: launchctl is content with what cannot run (S22).
func TestLaunchdStartThatFails(t *testing.T) {
	m := quickMac(t, "nas")
	p := m.plan()
	p.Start = false
	m.install(p)
	m.fake.set(func(w *world) { w.Broken = true })
	m.refused(m.l.Start(t.Context()), exitcode.OSErr)
	if st := m.status(); st.State != Restarting || *st.LastExit.Code != 78 {
		t.Errorf("%+v", st)
	}
}

func TestLaunchdThatIsSlowToStart(t *testing.T) {
	m := quickMac(t, "nas")
	m.fake.set(func(w *world) { w.Slow = 5 })
	m.install(m.plan())
	if st := m.status(); st.State != Running || m.slept < 3*time.Second {
		t.Errorf("%+v after %v", st, m.slept)
	}
}

// TestLaunchdThatNeverStarts: that it is loaded is not enough.
func TestLaunchdThatNeverStarts(t *testing.T) {
	m := quickMac(t, "nas")
	m.fake.set(func(w *world) { w.Slow = 1000 })
	before := m.all()
	if _, err := m.l.Install(t.Context(), m.plan()); exitcode.Of(err) != exitcode.OSErr {
		t.Errorf("%v", err)
	}
	m.same(before)
}

// TestServiceThatEndsWellAtOnce was started, and is not to be kept running.
func TestServiceThatEndsWellAtOnce(t *testing.T) {
	m := quickMac(t, "nas")
	m.fake.set(func(w *world) { w.Ends = true })
	m.install(m.plan())
	if st := m.status(); st.State != Stopped || *st.LastExit.Code != 0 {
		t.Errorf("%+v", st)
	}
}

func TestLaunchdUninstall(t *testing.T) {
	m := newMac(t, "nas")
	if done, err := m.l.Uninstall(t.Context(), false); err != nil || done.Definition != "" {
		t.Errorf("of nothing: %+v, %v", done, err)
	}
	m.s.Updater = m.s.Runner
	m.install(m.plan())
	m.fake.set(func(w *world) { w.Drain, w.Disabled["dev.nas"] = 3, true })
	if st := m.status(); st.Enabled || st.Starts != StartsManual {
		t.Errorf("disabled: %+v", st)
	}
	m.calls()
	done, err := m.l.Uninstall(t.Context(), false)
	if err != nil || done.Definition != m.plist("nas") || done.Kept != nil {
		t.Errorf("%+v, %v", done, err)
	}
	m.did("enable G/dev.nas.update", "bootout G/dev.nas.update", "enable G/dev.nas", "bootout G/dev.nas")
	m.same(everything{map[string]string{}, map[string]string{}, map[string]bool{}})
	if st := m.status(); st.Installed || st.State != NotInstalled {
		t.Errorf("%+v", st)
	}
}

func TestLaunchdUninstallKeepsWhatWasEdited(t *testing.T) {
	m := quickMac(t, "nas")
	m.install(m.plan())
	edited := strings.Replace(read(t, m.plist("nas")), "Interactive", "Background", 1)
	put(t, m.plist("nas"), edited)
	if got := m.problems(); got != "definition-edited" {
		t.Errorf("problems: %q", got)
	}
	_, err := m.l.Install(t.Context(), m.plan())
	m.refused(err, exitcode.Config)
	done, err := m.l.Uninstall(t.Context(), false)
	if err != nil || len(done.Kept) != 1 || read(t, done.Kept[0].What) != edited || len(m.world().Jobs) != 0 {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestLaunchdOrphan: somebody removed the file, and launchd has the job still.
func TestLaunchdOrphan(t *testing.T) {
	m := quickMac(t, "nas")
	m.install(m.plan())
	if err := os.Remove(m.plist("nas")); err != nil {
		t.Fatal(err)
	}
	if got := m.problems(); got != "orphan" {
		t.Errorf("problems: %q", got)
	}
	if done, err := m.l.Uninstall(t.Context(), false); err != nil || done.Definition == "" || len(m.world().Jobs) != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	m.fake.set(func(w *world) {
		w.Jobs["gui/501/dev.nas"] = &fakeJob{Path: "/Library/LaunchAgents/dev.nas.plist", PID: 1_000_000_000}
	})
	if done, err := m.l.Uninstall(t.Context(), false); err != nil || done.Definition != "" || len(m.world().Jobs) != 1 {
		t.Errorf("it is an administrator's: %+v, %v", done, err)
	}
}

func TestParseJob(t *testing.T) {
	code := func(n int, text string) *Exit { return &Exit{Code: &n, Result: text} }
	head := "gui/501/dev.x = {\n\tactive count = 1\n"
	for text, want := range map[string]struct {
		j  job
		is State
	}{
		head + "\tstate = running\n\tpid = 42\n\truns = 3\n\tlast exit code = (never exited)\n}":                                           {job{state: "running", pid: 42, runs: 3}, Running},
		head + "\tstate = not running\n\tlast exit code = 0\n}":                                                                            {job{state: "not running", exit: code(0, "0")}, Stopped},
		head + "\tstate = not running\n\tlast exit code = 1\n}":                                                                            {job{state: "not running", exit: code(1, "1")}, Failed},
		head + "\tstate = spawn scheduled\n\tlast exit code = 78: EX_CONFIG\n}":                                                            {job{state: "spawn scheduled", exit: code(78, "78: EX_CONFIG")}, Restarting},
		head + "\tstate = waiting\n\tlast exit code = (never exited)\n}":                                                                   {job{state: "waiting"}, Starting},
		head + "\tstate = xpcproxy\n\tpid = 7\n}":                                                                                          {job{state: "xpcproxy", pid: 7}, Starting},
		head + "\tstate = SIGTERMed\n\tpid = 7\n}":                                                                                         {job{state: "SIGTERMed", pid: 7}, Stopping},
		head + "\tstate = a new word\n\tpid = 7\n}":                                                                                        {job{state: "a new word", pid: 7}, Running},
		head + "\tstate = a new word\n}":                                                                                                   {job{state: "a new word"}, Unknown},
		head + "\targuments = {\n\t\tstate = evil\n\t\tpid = 9\n\t}\n\tstate = running\n\tpid = 7\n\tenvironment = {\n\t\tpid = 8\n\t}\n}": {job{state: "running", pid: 7}, Running},
		strings.ReplaceAll(head+"\tstate = running\n\tpid = 42\n\t\tpid = 1\n}", "\t", "    "):                                             {job{state: "running", pid: 42}, Running},
		head + "\tpid = -5\n\truns = many\n\tlast exit code = \n\tlast terminating signal = ?\n}":                                          {job{}, Unknown},
		"": {job{}, Unknown}, "x": {job{}, Unknown}, "\n\n": {job{}, Unknown},
	} {
		got := parseJob(text)
		if !reflect.DeepEqual(got, want.j) {
			t.Errorf("%q: %+v", text, got)
		}
		if got.loaded = true; got.is() != want.is {
			t.Errorf("%q is %s, want %s", text, got.is(), want.is)
		}
	}
	got := parseJob(head + "\tstate = not running\n\tlast terminating signal = Killed: 9\n}")
	if got.exit == nil || got.exit.Code != nil || got.exit.Signal != signalName(9) || got.exit.Result != "Killed: 9" {
		t.Errorf("killed: %+v", got.exit)
	}
}

func FuzzParseJob(f *testing.F) {
	f.Add("gui/501/x = {\n\tstate = running\n\tpid = 42\n\tlast exit code = 78: EX_CONFIG\n\tlast terminating signal = Killed: 9\n}")
	f.Add("a = {\n")
	f.Fuzz(func(t *testing.T, text string) {
		if j := parseJob(text); j.pid < 0 || j.is() == "" {
			t.Errorf("%+v", j)
		}
	})
}
