//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ductor/test/pyindex"
)

// TestUpgrade: the new version is there, the next start has word of it, and the
// marker comes last. While files change, the hold is there.
func TestUpgrade(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"}, pyindex.Release{Version: "1.2", Yanked: true}, pyindex.Release{Version: "1.3", Python: ">=3.99"}, pyindex.Release{Version: "2.0rc1"})
	ctl := filepath.Join(w.dir, "home/run/ductor/ctl")
	if err := os.MkdirAll(ctl, 0o700); err != nil {
		t.Fatal(err)
	}
	held := ""
	w.index.OnFile(func() { held = w.file("home/run/ductor/ctl/hold") })
	r := w.do(0, "upgraded", "upgrade", "--chat-id", "-42", "--restart")
	if r.Old != "1.0" || r.New != "1.1" || r.Target != "1.1" || r.Tries != 1 || r.Mode != "venv" || !strings.Contains(r.Tail, "Successfully installed ductor-1.1") {
		t.Errorf("%+v", r)
	}
	w.says("1.1")
	if got := w.file("home/upgrade-sentinel.json"); got != `{"chat_id":-42,"old_version":"1.0","new_version":"1.1"}`+"\n" {
		t.Errorf("%q", got)
	}
	if w.file("home/restart-requested") != "1\n" || held == "" || w.file("home/run/ductor/ctl/hold") != "" {
		t.Errorf("marker %q, hold %q, after that %q", w.file("home/restart-requested"), held, w.file("home/run/ductor/ctl/hold"))
	}
	w.clean("probation")
	if err := os.Remove(filepath.Join(w.dir, "home/restart-requested")); err != nil {
		t.Fatal(err)
	}
	r = w.do(0, "unchanged", "upgrade", "--restart")
	if r.Reason == "" || w.file("home/restart-requested") != "" {
		t.Errorf("%+v", r)
	}
	w.do(0, "upgraded", "upgrade", "--to", "v2.0-RC.1", "--no-smoke=false")
	w.says("2.0rc1")
	// The way back of an upgrade from what was on probation is the one before.
	if r := w.do(0, "rolled-back", "rollback"); r.Old != "2.0rc1" || r.New != "1.0" {
		t.Errorf("%+v", r)
	}
	w.says("1.0")
	w.clean("blocked")
	// The chat that was to hear of 1.1 hears the truth.
	if got := w.file("home/upgrade-sentinel.json"); got != `{"chat_id":-42,"old_version":"2.0rc1","new_version":"1.0","status":"rolled-back"}`+"\n" {
		t.Errorf("%q", got)
	}
}

// TestUpgradeOfAnotherName has a sentinel and a marker of its own.
func TestUpgradeOfAnotherName(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	r := w.do(0, "unverified", "upgrade", "--name", "second", "--no-smoke", "--chat-id", "7", "--restart")
	if r.New != "1.1" {
		t.Errorf("%+v", r)
	}
	for name, want := range map[string]string{"home/restart-requested": "", "home/upgrade-sentinel.json": "", "home/run/second/ctl/restart-requested": "1\n",
		"home/run/second/upgrade-sentinel.json": `{"chat_id":7,"old_version":"1.0","new_version":"1.1"}` + "\n"} {
		if got := w.file(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if code, out, _ := w.try("sentinel", "consume", "--name", "second"); code != 0 || !strings.Contains(out, `"chat_id":7`) {
		t.Errorf("%d: %s", code, out)
	}
}

// TestDryRun changes nothing, and makes nothing.
func TestDryRun(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	code, out, errs := w.try("upgrade", "--dry-run")
	if code != 0 || !strings.HasPrefix(out, `{"schema":1,"dry_run":true,"old":"1.0","target":"1.1","package":"ductor","mode":"venv","command":[`) {
		t.Errorf("%d: %s%s", code, out, errs)
	}
	w.says("1.0")
	if left, _ := os.ReadDir(filepath.Join(w.dir, "home")); len(left) > 0 {
		t.Errorf("made: %v", left)
	}
}

// TestRefused: a source tree, with what to type.
func TestRefused(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"})
	url := filepath.Join(w.venv, "lib")
	found, _ := filepath.Glob(filepath.Join(url, "python3*/site-packages/ductor-1.0.dist-info"))
	if len(found) != 1 {
		t.Fatal(found)
	}
	if err := os.WriteFile(found[0]+"/direct_url.json", []byte(`{"url":"file:///src","dir_info":{"editable":true}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	r := w.do(78, "refused", "upgrade")
	if r.Reason == "" || !strings.Contains(r.Fix, "git") {
		t.Errorf("%+v", r)
	}
	w.do(78, "refused", "upgrade", "--dry-run")
	w.do(78, "refused", "rollback", "--to", "0.9")
	w.do(64, "", "upgrade", "--timeout", "0s")
	w.do(64, "", "upgrade", "--to", "v!")
	w.do(64, "", "rollback", "--to", "1", "--if-pending")
}

// TestLaggingIndex: the index knows of a version, and the mirror that pip asks
// does not yet.
func TestLaggingIndex(t *testing.T) {
	defer func(d []time.Duration) { lagDelays = d }(lagDelays)
	lagDelays = []time.Duration{0, time.Millisecond, time.Millisecond}
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1", Hidden: 1})
	w.index.Publish(pyindex.Release{Version: "1.1", Hidden: 2})
	if r := w.do(0, "upgraded", "upgrade"); r.Tries != 3 {
		t.Errorf("%+v", r)
	}
	w.index.Publish(pyindex.Release{Version: "1.2", Hidden: 1000})
	if r := w.do(75, "not-visible-yet", "upgrade"); r.Tries != 3 || r.New != "1.1" || r.Target != "1.2" {
		t.Errorf("%+v", r)
	}
	if r := w.do(75, "not-visible-yet", "upgrade", "--to", "1.2"); r.Tries != 3 || r.New != "1.1" {
		t.Errorf("%+v", r)
	}
	w.says("1.1")
	w.clean("probation")
}

// TestBadRelease: what cannot be installed, and what can but does not work. The
// dependencies go back with it.
func TestBadRelease(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0", Deps: []string{"dep"}}, pyindex.Release{Pkg: "dep", Version: "1.0"})
	w.index.Publish(pyindex.Release{Pkg: "dep", Version: "2.0"}, pyindex.Release{Version: "1.1", Deps: []string{"dep>=2"}, Init: "raise RuntimeError('no luck')"}, pyindex.Release{Version: "1.2", Torn: true})
	r := w.do(71, "failed", "upgrade")
	if r.New != "1.0" || r.Tail == "" || !strings.Contains(r.Reason, "pip failed") {
		t.Errorf("%+v", r)
	}
	w.says("1.0")
	w.clean()
	r = w.do(71, "rolled-back", "upgrade", "--to", "1.1", "--chat-id", "1", "--restart")
	if r.New != "1.0" || !strings.Contains(r.Reason, "RuntimeError: no luck") || w.file("home/upgrade-sentinel.json")+w.file("home/restart-requested") != "" {
		t.Errorf("%+v", r)
	}
	w.says("1.0")
	if out := w.command(w.venv+"/bin/python", "-m", "pip", "list", "--disable-pip-version-check"); !strings.Contains(out, "dep        1.0") {
		t.Error(out)
	}
	w.clean("blocked")
	w.index.Withdraw("1.2")
	if r := w.do(0, "unchanged", "upgrade"); !strings.Contains(r.Reason, "1.1") {
		t.Errorf("a blocked version: %+v", r)
	}
	w.index.Publish(pyindex.Release{Version: "1.3"})
	w.do(0, "upgraded", "upgrade")
	w.says("1.3")
}

// TestDeafBot: a program that starts a bot whatever it is asked has no say in
// whether the next version works, and neither has a module that cannot be
// imported in the first place. What it starts finds nothing of the user's.
func TestDeafBot(t *testing.T) {
	deaf := `import os; open(os.path.join(os.environ["DUCTOR_HOME"] if os.path.isdir(os.environ["DUCTOR_HOME"]) else os.environ["HOME"], "started"), "w")`
	w := newVenvWorld(t, pyindex.Release{Version: "1.0", Main: deaf, Deaf: true}, pyindex.Release{Version: "1.1", Main: deaf, Deaf: true})
	if r := w.do(0, "unverified", "upgrade", "--module", "no_such_module"); r.New != "1.1" {
		t.Errorf("%+v", r)
	}
	for _, name := range []string{"started", "home/started"} {
		if _, err := os.Stat(filepath.Join(w.dir, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
}

// TestTwoUpgrades: the second one is told so.
func TestTwoUpgrades(t *testing.T) {
	bin := buildUpdate(t)
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	first, hold := make(chan struct{}), make(chan struct{})
	w.index.OnFile(func() { close(first); <-hold })
	done := make(chan int)
	go func() { code, _, _ := w.exec(bin, "upgrade"); done <- code }()
	<-first
	code, out, errs := w.exec(bin, "upgrade")
	if code != 75 || out != "" || !strings.Contains(errs, "being upgraded") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, _, _ := w.exec(bin, "rollback", "--if-pending"); code != 75 {
		t.Errorf("rollback: %d", code)
	}
	close(hold)
	if code := <-done; code != 0 {
		t.Errorf("the first: %d", code)
	}
	w.says("1.1")
}

// TestCutShort: by the time, and by a signal; what ran for it ends with it.
func TestCutShort(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	stay := make(chan struct{})
	defer close(stay)
	w.index.OnFile(func() { <-stay })
	r := w.do(124, "failed", "upgrade", "--timeout", "5s", "--no-smoke")
	if !strings.Contains(r.Reason, "took too long") {
		t.Errorf("%+v", r)
	}
	w.says("1.0")
	w.clean()
	w.index.OnFile(func() { _ = syscall.Kill(os.Getpid(), syscall.SIGTERM); <-stay })
	w.do(143, "failed", "upgrade")
	w.says("1.0")
	w.clean()
}

func TestPipx(t *testing.T) {
	w := newPipxWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	r := w.do(0, "upgraded", "upgrade")
	if r.Mode != "pipx" || r.New != "1.1" {
		t.Errorf("%+v", r)
	}
	w.says("1.1")
	r = w.do(0, "rolled-back", "rollback")
	if r.New != "1.0" || r.Old != "1.1" {
		t.Errorf("%+v", r)
	}
	w.says("1.0")
	w.clean("blocked")
	w.index.Publish(pyindex.Release{Version: "1.2", Init: "import nothing_that_is_there"})
	if r := w.do(71, "rolled-back", "upgrade"); r.New != "1.0" {
		t.Errorf("%+v", r)
	}
	w.says("1.0")
	meta := filepath.Join(w.venv, "pipx_metadata.json")
	data, err := os.ReadFile(meta)
	if err != nil || !strings.Contains(string(data), `"1.0"`) {
		t.Errorf("%v: %s", err, data)
	}
	w.command("pipx", "install", "--force", "ductor==1.0")
	if r := w.do(78, "pinned", "upgrade"); r.Fix != "pipx install --force ductor" {
		t.Errorf("%+v", r)
	}
}

// TestReaderWhoDoesNotRead must not hold up an upgrade: a bot that waits for us
// before it reads what we say.
func TestReaderWhoDoesNotRead(t *testing.T) {
	bin := buildUpdate(t)
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	pip := filepath.Join(w.dir, "noisy")
	if err := os.MkdirAll(filepath.Join(pip, "pip_noise"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Python starts this with every interpreter, and so with pip.
	if err := os.WriteFile(filepath.Join(pip, "sitecustomize.py"), []byte("import sys\nif 'pip' in sys.argv[0:1] or '-m' in sys.orig_argv:\n    print('x' * 2000000)\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PYTHONPATH", pip)
	cmd := exec.Command(bin, "upgrade", "--json")
	r, stuck, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stderr = stuck
	out, err := cmd.Output()
	stuck.Close()
	if err != nil || !strings.Contains(string(out), `"status":"upgraded"`) {
		t.Errorf("%v: %.300s", err, out)
	}
	w.says("1.1")
}

// TestBlockedIsNotInstalled, whatever a mirror still shows.
func TestBlockedIsNotInstalled(t *testing.T) {
	defer func(d []time.Duration) { lagDelays = d }(lagDelays)
	lagDelays = []time.Duration{0, time.Millisecond}
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	w.do(0, "upgraded", "upgrade")
	w.do(0, "rolled-back", "rollback")
	w.index.Publish(pyindex.Release{Version: "1.2", Hidden: 1000})
	if r := w.do(71, "rolled-back", "upgrade"); r.New != "1.0" || !strings.Contains(r.Reason, "1.1") {
		t.Errorf("%+v", r)
	}
	w.says("1.0")
	w.clean("blocked")
}

// TestHalfDoneComesFirst: what a killed run has left looks like an installation
// that cannot be upgraded, and is put right before anybody says so.
func TestHalfDoneComesFirst(t *testing.T) {
	bin := buildUpdate(t)
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	stay := make(chan struct{})
	defer close(stay)
	reached := make(chan struct{})
	w.index.OnFile(func() { close(reached); <-stay })
	cmd := exec.Command(bin, "upgrade")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for _, name := range []string{"bin/ductor", "lib/python3*/site-packages/ductor-1.0.dist-info", "lib/python3*/site-packages/ductor_bot"} {
		found, _ := filepath.Glob(filepath.Join(w.venv, name))
		for _, f := range found {
			os.RemoveAll(f)
		}
	}
	w.index.OnFile(func() {})
	if r := w.do(0, "upgraded", "upgrade"); r.Old != "1.0" || r.New != "1.1" {
		t.Errorf("%+v", r)
	}
	w.says("1.1")
	w.clean("probation")
}

// TestUvTool: a program called uv writes down how it is called, and lets pip do
// the work. No real one was to be had.
func TestUvTool(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	log := filepath.Join(w.dir, "uv.log")
	for name, text := range map[string]string{
		"venv/uv-receipt.toml": "[tool]\nrequirements = [{ name = \"ductor\" }]\nentrypoints = [{ name = \"ductor\", install-path = \"" + w.venv + "/bin/ductor\" }]\n",
		"bin/uv":               "#!/bin/sh\necho \"$UV_TOOL_DIR: $*\" >>'" + log + "'\nexec '" + w.venv + "/bin/python' -m pip install --upgrade --disable-pip-version-check ductor\n",
	} {
		path := filepath.Join(w.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", w.dir+"/bin:"+os.Getenv("PATH"))
	t.Setenv("UV_DEFAULT_INDEX", w.server.URL+"/simple/")
	if r := w.do(0, "upgraded", "upgrade"); r.Mode != "uv-tool" || r.New != "1.1" {
		t.Errorf("%+v", r)
	}
	if got := w.file("uv.log"); got != w.dir+": tool upgrade venv\n" {
		t.Errorf("%q", got)
	}
	w.says("1.1")
	if r := w.do(0, "rolled-back", "rollback"); r.New != "1.0" {
		t.Errorf("%+v", r)
	}
	w.says("1.0")
	w.clean("blocked")
}
