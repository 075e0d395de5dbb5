//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/lockfile"
)

// TestSandbox is a day of a sandbox: made, used, looked at, removed.
func TestSandbox(t *testing.T) { both(t, testSandbox) }

func testSandbox(t *testing.T, w *world) {
	if out, _ := w.do(1, "status"); !strings.Contains(out, "absent") {
		t.Error(out)
	}
	if entries, _ := os.ReadDir(w.home); len(entries) != 1 {
		t.Errorf("status made something: %v", entries)
	}
	v := w.up()
	if !v.Ready || v.Changed != "created" || v.Container.State != "running" || v.Drift.Action != "none" || v.Engine.API == "" {
		t.Errorf("%+v", v)
	}
	if v := w.up(); v.Changed != "reused" || v.Drift.Drifted {
		t.Errorf("%+v", v)
	}
	for _, code := range []int{0, 3, 42, 125, 126, 127, 255} {
		w.exec(code, "exit", strconv.Itoa(code))
	}
	if out, errs := w.exec(0, "both"); out == "" || errs == "" || out == errs {
		t.Errorf("%q %q", out, errs)
	}
	words := []string{"", "a b", "'\"", "$HOME", "--help", "é\n"}
	out, _ := w.exec(0, append([]string{"args"}, words...)...)
	var got []string
	if err := json.Unmarshal([]byte(out), &got); err != nil || strings.Join(got, "|") != strings.Join(words, "|") {
		t.Errorf("%q: %v", out, err)
	}
	if out, _ := w.do(0, "exec", "-e", "A=b c", "-e", "HOME", "--", "fakecli", "env", "A"); strings.TrimSpace(out) != "b c" {
		t.Errorf("%q", out)
	}
	if out, _ := w.do(0, "status"); !strings.Contains(out, "running") {
		t.Error(out)
	}
	if out, _ := w.do(0, "doctor"); !strings.Contains(out, "runs commands") {
		t.Error(out)
	}
	w.do(0, "down")
	w.do(1, "status")
	w.do(0, "down")
}

// TestStreams: 10 MiB go in and come back as they were.
func TestStreams(t *testing.T) { both(t, testStreams) }

func testStreams(t *testing.T, w *world) {
	data := make([]byte, 10<<20)
	rand.New(rand.NewSource(1)).Read(data)
	out, _ := w.feed(0, bytes.NewReader(data), "exec", "--", "fakecli", "cat")
	if sha256.Sum256([]byte(out)) != sha256.Sum256(data) {
		t.Errorf("%d bytes came back, and %d went in, or others", len(out), len(data))
	}
	if out, _ := w.exec(0, "flood", "3000000"); len(out) != 3000000 {
		t.Errorf("%d bytes", len(out))
	}
	long := strings.Repeat("x", 129<<10)
	if out, _ := w.feed(0, strings.NewReader(long), "exec", "--", "fakecli", "cat"); out != long {
		t.Errorf("%d bytes", len(out))
	}
	x := &execution{execCmd: &execCmd{Command: []string{"fakecli", long}}}
	if _, err := x.env(); exitcode.Of(err) != exitcode.Usage || !strings.Contains(err.Error(), "132096") {
		t.Errorf("an argument that is too long: %v", err)
	}
}

// TestDirectories: the workspace has two names inside, and here is inside, too.
func TestDirectories(t *testing.T) { both(t, testDirectories) }

func testDirectories(t *testing.T, w *world) {
	w.up()
	pwd := func(dir string, args ...string) string {
		cmd := w.command(append(append([]string{"exec"}, args...), "--", "fakecli", "pwd")...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	sub := w.workspace("sub dir")
	if err := os.MkdirAll(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	w.give(w.home)
	for _, tt := range []struct{ dir, flag, want string }{
		{sub, "", sub}, {w.workspace(""), "", strings.TrimSuffix(w.workspace(""), "/")}, {"/", "", filepath.Join(w.home, "workspace")}, {"/", sub, sub}, {"/", "/tmp", "/tmp"}, {"/", "/ductor/workspace", "/ductor/workspace"},
	} {
		var args []string
		if tt.flag != "" {
			args = []string{"-w", tt.flag}
		}
		if got := pwd(tt.dir, args...); got != tt.want {
			t.Errorf("in %q with %q: %q, not %q", tt.dir, tt.flag, got, tt.want)
		}
	}
	code, o, errs := w.status("-w", "/no/such/dir", "--", "fakecli", "pwd")
	if code != 126 || o.Reason != "not_started" || !strings.Contains(errs, "/no/such/dir") {
		t.Errorf("%d %+v %s", code, o, errs)
	}
}

// TestMounts: what the agent may write, and what it may not even read.
func TestMounts(t *testing.T) { both(t, testMounts) }

func testMounts(t *testing.T, w *world) {
	w.config(strings.Replace(readFile(t, filepath.Join(w.home, "config/config.json")), `{"docker"`, `{"telegram_token":"SECRET","docker"`, 1))
	for _, name := range []string{"run/ductor/ctl", "logs"} {
		if err := os.MkdirAll(filepath.Join(w.home, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(w.home, "cron_jobs.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(filepath.Dir(w.home), ".claude"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.give(filepath.Dir(w.home))
	w.up()
	for _, name := range []string{"/home/node/.claude/settings.json", "/home/node/.claude/commands/x", "/ductor/workspace/.mcp.json", "/ductor/workspace/.claude/hooks/x", w.workspace(".claude/settings.json")} {
		if out, err := w.command("exec", "--", "fakecli", "write", name, "bad").CombinedOutput(); err == nil {
			t.Errorf("%s can be written: %s", name, out)
		}
	}
	w.exec(0, "write", "/home/node/.claude/.credentials.json", "a new token")
	for _, name := range []string{"/ductor/workspace/a", w.workspace("b"), "/tmp/c", "/home/node/d"} {
		w.exec(0, "write", name, "text")
	}
	if w.read("a") != "text" || w.read("b") != "text" {
		t.Errorf("%q %q", w.read("a"), w.read("b"))
	}
	for _, name := range []string{"/ductor/cron_jobs.json", "/ductor/restart-requested", "/ductor/run/ductor/ctl/stop-requested", "/ductor/config/config.json", "/ductor/upgrade-sentinel.json", "/ductor/sandbox/x"} {
		cmd := w.command("exec", "--", "fakecli", "write", name, "bad")
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("%s can be written: %s", name, out)
		}
	}
	if out, err := w.command("exec", "--", "fakecli", "read", "/ductor/config/config.json").CombinedOutput(); err == nil || bytes.Contains(out, []byte("SECRET")) {
		t.Errorf("the token can be read: %s", out)
	}
	w.exec(0, "read", "/ductor/cron_jobs.json")
	v := w.up("--rw", "logs")
	if v.Drift.Action != "recreated" {
		t.Errorf("%+v", v.Drift)
	}
	w.do(0, "exec", "--rw", "logs", "--", "fakecli", "write", "/ductor/logs/x", "text")
	for _, bad := range [][]string{{"--rw", "config"}, {"--rw", "../x"}, {"--rw", "nothing"}, {"--mount", "/"}, {"--mount", "/var/run/docker.sock"}, {"--mount", "/no/such"}, {"--memory", "lots"}, {"--memory", "1k"}, {"--network", "host"}, {"--image", "A:::"}, {"--container", "a b"}, {"--cpus", "-1"}} {
		cmd := w.command(append([]string{"up"}, bad...)...)
		out, _ := cmd.CombinedOutput()
		if code := clitest.CodeOf(cmd.ProcessState); code != 64 && code != 77 && code != 69 || !bytes.Contains(out, []byte("error")) {
			t.Errorf("%q: %d %s", bad, code, out)
		}
	}
	if _, err := os.Lstat("/no/such"); err == nil {
		t.Error("what was to be mounted and is not there was made")
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestForeignContainer is never touched.
func TestForeignContainer(t *testing.T) { both(t, testForeignContainer) }

func testForeignContainer(t *testing.T, w *world) {
	id := docker(t, "create", "--name", w.container, "--label", "dev.ductor.test=1", w.image, "idle")
	_, errs := w.do(78, "up")
	if !strings.Contains(errs, "not of ductor-sandbox") {
		t.Error(errs)
	}
	w.do(78, "down", "--force")
	code, o, _ := w.status("--", "fakecli", "exit", "0")
	if code != 69 || o.Reason != "name_conflict" || o.RanOn != "none" {
		t.Errorf("%d %+v", code, o)
	}
	if got := docker(t, "inspect", "--format", "{{.Id}} {{.State.Status}}", w.container); got != id+" created" {
		t.Errorf("%s", got)
	}
}

// TestTwoUps make one container.
func TestTwoUps(t *testing.T) { both(t, testTwoUps) }

func testTwoUps(t *testing.T, w *world) {
	var all sync.WaitGroup
	ids := make([]string, 4)
	for i := range ids {
		all.Go(func() {
			out, err := w.command("up", "--json").Output()
			var v view
			if err == nil && json.Unmarshal(out, &v) == nil {
				ids[i] = v.Container.ID
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Errorf("%q", ids)
		}
	}
}

// TestStates: whatever is found leads to one that runs.
func TestStates(t *testing.T) { both(t, testStates) }

func testStates(t *testing.T, w *world) {
	first := w.up().Container.ID
	docker(t, "pause", w.container)
	w.exec(0, "exit", "0")
	docker(t, "stop", "-t", "0", w.container)
	w.do(1, "status")
	w.exec(0, "exit", "0")
	docker(t, "kill", w.container)
	if v := w.up(); v.Container.ID != first || v.Changed != "started" {
		t.Errorf("%+v", v)
	}
	docker(t, "rm", "-f", w.container)
	w.exec(0, "exit", "0")
	if id := w.up().Container.ID; id == first {
		t.Error("it is not a new one")
	}
	if v := w.up("--recreate"); v.Changed != "recreated" {
		t.Errorf("%+v", v)
	}
	// One that could not be started: it stays in the state created.
	owner := docker(t, "inspect", "--format", `{{index .Config.Labels "dev.ductor.sandbox"}}`, w.container)
	docker(t, "rm", "-f", w.container)
	docker(t, "create", "--name", w.container, "--label", "dev.ductor.sandbox="+owner, w.image, "/no/such/program")
	if out, err := exec.Command("docker", "start", w.container).CombinedOutput(); err == nil {
		t.Fatalf("it starts: %s", out)
	}
	if v := w.up(); v.Changed != "created" || !v.Ready {
		t.Errorf("%+v", v)
	}
}

// TestDrift: limits change in place, the rest waits for the last run.
func TestDrift(t *testing.T) { both(t, testDrift) }

func testDrift(t *testing.T, w *world) {
	id := w.up().Container.ID
	if v := w.up("--memory", "256m", "--pids", "99"); v.Container.ID != id || v.Drift.Action != "updated" {
		t.Errorf("%+v", v)
	}
	if got := docker(t, "inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} {{.HostConfig.Init}}", id); got != "268435456 99 [ALL] [no-new-privileges] true" {
		t.Error(got)
	}
	run := w.start("--memory", "256m", "--pids", "99", "--", "fakecli", "tick")
	out, _ := w.do(75, "up", "--json", "--network", "none")
	var v view
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Container.ID != id || v.Drift.Action != "pending" || !v.Drift.Drifted || v.Ready || v.Reason != "drift" {
		t.Errorf("%v, %+v", err, v)
	}
	w.do(75, "down")
	run.stop()
	if v := w.up("--network", "none"); v.Container.ID == id || v.Drift.Action != "recreated" {
		t.Errorf("%+v", v)
	}
	if _, errs := w.do(0, "exec", "--network", "none", "--", "fakecli", "exit", "0"); errs != "" {
		t.Error(errs)
	}
	// Flags hold for one call: what protects less is said to.
	if _, errs := w.do(0, "exec", "--", "fakecli", "exit", "0"); !strings.Contains(errs, "made anew") {
		t.Errorf("nothing is said of another network: %q", errs)
	}
	if out, err := w.command("exec", "--network", "none", "--", "fakecli", "dial", "1.1.1.1:53").CombinedOutput(); err == nil {
		t.Errorf("%s", out)
	}
}

// running is an exec in progress.
type running struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bytes.Buffer
}

// start returns when the command runs in the container.
func (w *world) start(args ...string) *running {
	w.t.Helper()
	before, _ := w.do(0, "ps", "--json")
	r := &running{t: w.t, cmd: w.command(append([]string{"exec"}, args...)...), out: &bytes.Buffer{}}
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	if err := r.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
	wait(w.t, "the run", func() bool {
		out, _ := w.do(0, "ps", "--json")
		return strings.Count(out, "\n") > strings.Count(before, "\n")
	})
	return r
}

func (r *running) stop() int {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	return r.code()
}

func (r *running) code() int {
	_ = r.cmd.Wait()
	return clitest.CodeOf(r.cmd.ProcessState)
}

// inside lists the processes of the container, without its first ones.
func (w *world) inside() []string {
	w.t.Helper()
	out, err := exec.Command("docker", "top", w.container, "-eo", "pid,args").Output()
	if err != nil {
		return nil
	}
	var all []string
	for _, line := range strings.Split(string(out), "\n")[1:] {
		if strings.Contains(line, "fakecli") && !strings.Contains(line, "idle") {
			all = append(all, line)
		}
	}
	return all
}

// TestAbort: a signal, a time that is up, a kill and a caller that is gone end
// the whole tree, and no other.
func TestAbort(t *testing.T) { both(t, testAbort) }

func testAbort(t *testing.T, w *world) {
	w.up()
	neighbour := w.start("--tag", "chat=1", "--", "fakecli", "tick")
	wait(t, "the neighbour", func() bool { return len(w.inside()) > 0 })
	alone := len(w.inside())
	tree := func(name string, args ...string) *running {
		file := w.workspace(name)
		r := w.start(append([]string{"--grace", "300ms"}, append(args, "--", "fakecli", "tree", file)...)...)
		wait(t, "the tree", func() bool { return w.read(name) != "" })
		return r
	}
	for name, end := range map[string]func(r *running) int{
		"term": func(r *running) int { return r.stop() - 143 },
		"int":  func(r *running) int { _ = r.cmd.Process.Signal(os.Interrupt); return r.code() - 130 },
		"kill": func(r *running) int { w.do(0, "kill", "--tag", "name=kill", "--grace", "300ms"); return r.code() - 143 },
	} {
		r := tree(name, "--tag", "name="+name)
		if code := end(r); code != 0 {
			t.Errorf("%s: code off by %d\n%s", name, code, r.out)
		}
		if left := w.inside(); len(left) != alone {
			t.Errorf("%s: left %q", name, left)
		}
	}
	stubborn := tree("twice", "--grace", "60s") // but not after the second signal
	began := time.Now()
	_ = stubborn.cmd.Process.Signal(syscall.SIGTERM)
	time.Sleep(100 * time.Millisecond)
	if code := stubborn.stop(); code != 143 || time.Since(began) > 30*time.Second || len(w.inside()) != alone {
		t.Errorf("the second signal: %d after %s, %q", code, time.Since(began), w.inside())
	}
	code, o, _ := w.status("--timeout", "1s", "--grace", "300ms", "--", "fakecli", "tree", w.workspace("timeout"))
	if code != 124 || o.Reason != "timeout" || o.Killed == 0 || len(w.inside()) != alone {
		t.Errorf("%d %+v %q", code, o, w.inside())
	}
	r := tree("gone")
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	if len(w.inside()) == alone {
		t.Error("the tree of a killed caller has ended by itself: that tests nothing")
	}
	w.exec(0, "exit", "0")
	wait(t, "the next call to reap", func() bool { return len(w.inside()) == alone })
	if out, _ := w.do(0, "ps"); strings.Count(out, "\n") != 1 || !strings.Contains(out, "chat=1") {
		t.Errorf("%s", out)
	}
	w.do(1, "kill", "--tag", "chat=2")
	if code := neighbour.stop(); code != 143 {
		t.Errorf("the neighbour: %d %s", code, neighbour.out)
	}
}

// TestReaderIsGone: who asked for the output does not want it any more.
func TestReaderIsGone(t *testing.T) { both(t, testReaderIsGone) }

func testReaderIsGone(t *testing.T, w *world) {
	w.up()
	cmd := w.command("exec", "--", "fakecli", "tick")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	out.Close()
	_ = cmd.Wait()
	if code := clitest.CodeOf(cmd.ProcessState); code != 141 || len(w.inside()) > 0 {
		t.Errorf("%d %q", code, w.inside())
	}
	// One that says nothing would never find out by writing.
	silent := w.command("exec", "--", "fakecli", "sleep")
	if out, err = silent.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := silent.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, "it to run", func() bool { return len(w.inside()) > 0 })
	out.Close()
	_ = silent.Wait()
	if code := clitest.CodeOf(silent.ProcessState); code != 141 || len(w.inside()) > 0 {
		t.Errorf("silent: %d %q", code, w.inside())
	}
}

// TestLimits: a fork bomb stays inside, and so does what would be written to the
// image; the container goes on.
func TestLimits(t *testing.T) { both(t, testLimits) }

func testLimits(t *testing.T, w *world) {
	id := w.up("--pids", "64", "--read-only").Container.ID
	code, o, _ := w.status("--pids", "64", "--read-only", "--", "fakecli", "forkbomb", "500")
	if code == 0 || o.Reason != "exit" || len(w.inside()) > 0 {
		t.Errorf("%d %+v %q", code, o, w.inside())
	}
	for name, want := range map[string]int{"/bin/x": 1, "/x": 1, "/tmp/x": 0, "/ductor/workspace/x": 0} {
		w.do(want, "exec", "--pids", "64", "--read-only", "--", "fakecli", "write", name, "text")
	}
	if v := w.up("--pids", "64", "--read-only"); v.Container.ID != id {
		t.Errorf("%+v", v)
	}
}

// TestEnds: of an orphan, for want of memory, of the container, of what cannot
// be started.
func TestEnds(t *testing.T) { both(t, testEnds) }

func testEnds(t *testing.T, w *world) {
	w.up("--memory", "64m")
	began := time.Now()
	code, o, _ := w.status("--memory", "64m", "--", "fakecli", "orphan", "60")
	if code != 7 || o.Reason != "exit" || len(w.inside()) > 0 || time.Since(began) > 30*time.Second {
		t.Errorf("orphan: %d %+v %q after %s", code, o, w.inside(), time.Since(began))
	}
	code, o, errs := w.status("--memory", "64m", "--", "fakecli", "eat", "200000000")
	if code != 137 || o.Reason != "oom" || o.Signal != "SIGKILL" || !strings.Contains(errs, "memory") {
		t.Errorf("memory: %d %+v %s", code, o, errs)
	}
	for name, want := range map[string]int{"no-such-program": 127, "/ductor": 126} {
		code, o, errs := w.status("--memory", "64m", "--", name)
		if code != want || o.Code != want || o.Reason != "not_started" || !strings.Contains(errs, name) || strings.ContainsRune(errs, 0) {
			t.Errorf("%s: %d %+v %s", name, code, o, errs)
		}
	}
	for n, name := range map[string]string{"15": "SIGTERM", "9": "SIGKILL"} {
		code, o, errs := w.status("--memory", "64m", "--", "fakecli", "die", n)
		if want := map[string]int{"15": 143, "9": 137}[n]; code != want || o.Code != want || o.Reason != "exit" || o.Signal != name || errs != "" {
			t.Errorf("%s: %d %+v %q", name, code, o, errs)
		}
	}
	if code, o, _ := w.status("--memory", "64m", "--", "fakecli", "exit", "143"); code != 143 || o.Signal != "" {
		t.Errorf("that it chose to exit with: %d %+v", code, o)
	}
	r := w.start("--memory", "64m", "--", "fakecli", "tick")
	wait(t, "it to run", func() bool { return len(w.inside()) > 0 })
	docker(t, "rm", "-f", w.container)
	if code := r.code(); code != 71 || !strings.Contains(r.out.String(), "unknown") {
		t.Errorf("lost: %d %s", code, r.out)
	}
	w.do(0, "exec", "--memory", "64m", "--", "fakecli", "exit", "0")
}

// TestUnavailable: why, and nothing is run; on the host only for who says so.
func TestUnavailable(t *testing.T) {
	w := newWorld(t)
	marker := filepath.Join(w.home, "ran")
	argv := []string{"--", "touch", marker}
	ran := func() bool { _, err := os.Stat(marker); return err == nil }
	for name, tt := range map[string]struct {
		reason string
		flags  []string
		config string
	}{
		"no daemon":    {"daemon_unreachable", []string{"--host", "unix:///no/such.sock"}, ""},
		"no image":     {"image_missing", []string{"--image", "ductor-test-no-such-image"}, ""},
		"switched off": {"disabled", nil, `{"docker":{"enabled":false}}`},
	} {
		if tt.config != "" {
			w.config(tt.config)
		}
		code, o, errs := w.status(append(tt.flags, argv...)...)
		if code != 69 || o.Reason != tt.reason || o.RanOn != "none" || o.Code != 69 || ran() {
			t.Errorf("%s: %d %+v %s", name, code, o, errs)
		}
		code, o, errs = w.status(append(append(tt.flags, "--on-unavailable", "host"), argv...)...)
		if code != 0 || o.Reason != tt.reason || o.RanOn != "host" || !ran() || !strings.Contains(errs, "NOT in a sandbox") {
			t.Errorf("%s, on the host: %d %+v %s", name, code, o, errs)
		}
		_ = os.Remove(marker)
		if tt.config != "" {
			break
		}
	}
	// A command could have moved away what is to be mounted.
	w.config(`{"docker":{"image_name":"` + w.image + `","container_name":"` + w.container + `","writable":["workspace/gone"]}}`)
	if code, o, errs := w.status(append([]string{"--on-unavailable", "host"}, argv...)...); code != 69 || o.Reason != "mount_missing" || o.RanOn != "none" || ran() {
		t.Errorf("%d %+v %s", code, o, errs)
	}
	w.config(`{"docker":{"image_name":3}}`)
	code, o, errs := w.status(append([]string{"--on-unavailable", "host"}, argv...)...)
	if code != 65 || o.RanOn != "none" || ran() || !strings.Contains(errs, "image_name") {
		t.Errorf("%d %+v %s", code, o, errs)
	}
}

// TestWrapper is the script of the page: first on PATH, and on the host the next
// one is meant.
func TestWrapper(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"a/claude": "#!/bin/sh\nexec ductor-sandbox exec --on-unavailable host -- claude \"$@\"\n", "b/claude": "#!/bin/sh\necho \"the real one: $*\"\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.config(`{"docker":{"enabled":false}}`)
	cmd := exec.Command(dir+"/a/claude", "-p", "hello world")
	cmd.Env = append(w.env, "PATH="+dir+"/a:"+dir+"/b:"+filepath.Dir(w.program)+":/usr/bin:/bin")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "the real one: -p hello world\n") || strings.Count(string(out), "NOT in a sandbox") != 1 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestNoHostForTheImpatient: a caller that goes away, a time that is up, before
// anything was started, is no reason to run it elsewhere.
func TestNoHostForTheImpatient(t *testing.T) {
	w := newWorld(t)
	marker := filepath.Join(w.home, "ran")
	argv := []string{"--on-unavailable", "host", "--", "touch", marker}
	ran := func() bool { _, err := os.Stat(marker); return err == nil }

	r, closed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd := w.command(append([]string{"exec"}, argv...)...)
	cmd.Stdout = closed
	_ = cmd.Run()
	closed.Close()
	if code := clitest.CodeOf(cmd.ProcessState); code != 141 || ran() {
		t.Errorf("a reader that is gone: %d, on the host: %v", code, ran())
	}

	w.up()
	docker(t, "stop", "-t", "0", w.container)
	guard := home.Home(w.home).Run(home.DefaultName).SandboxGuard()
	lock, err := lockfile.Try(guard)
	if err != nil {
		t.Fatal(err)
	}
	code, o, _ := w.status(append([]string{"--timeout", "300ms"}, argv...)...)
	if code != 124 || o.Reason != "timeout" || o.RanOn != "none" || ran() {
		t.Errorf("the time is up: %d %+v, on the host: %v", code, o, ran())
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	w.exec(0, "exit", "0")
}

// TestWeaker: a command does not run in a container that protects less than is
// wanted, though it cannot be made anew just now.
func TestWeaker(t *testing.T) {
	w := newWorld(t)
	w.up()
	run := w.start("--", "fakecli", "tick")
	for _, flag := range [][]string{{"--network", "none"}, {"--read-only"}, {"--rw", "logs"}} {
		if err := os.MkdirAll(filepath.Join(w.home, "logs"), 0o700); err != nil {
			t.Fatal(err)
		}
		code, o, errs := w.status(append(append(flag, "--on-unavailable", "host"), "--", "fakecli", "exit", "0")...)
		if code != 75 || o.Reason != "busy" || o.RanOn != "none" {
			t.Errorf("%q: %d %+v %s", flag, code, o, errs)
		}
	}
	run.stop()
	w.do(0, "exec", "--network", "none", "--", "fakecli", "exit", "0")
}

// TestSomebodyElsesHome: root makes nothing in it.
func TestSomebodyElsesHome(t *testing.T) {
	w := newWorld(t)
	w.uid = 61235
	w.give(w.home)
	if _, errs := w.do(77, "up"); !strings.Contains(errs, "another user") {
		t.Error(errs)
	}
	if entries, _ := os.ReadDir(w.home); len(entries) != 1 {
		t.Errorf("%v", entries)
	}
}

// TestNeighbourInAnotherNamespace lives, though nobody can look at its caller.
func TestNeighbourInAnotherNamespace(t *testing.T) {
	clitest.Need(t, "namespaces")
	w := newWorld(t)
	w.up()
	w.as = []string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"}
	far := w.start("--", "fakecli", "tick")
	w.as = nil
	w.exec(0, "exit", "0")
	w.do(75, "down")
	if len(w.inside()) == 0 {
		t.Error("it was ended")
	}
	_ = far.cmd.Process.Kill()
}

// TestTwoContainersOfAHome: what is left in one is not looked for in the other.
func TestTwoContainersOfAHome(t *testing.T) {
	w := newWorld(t)
	other := w.container + "b"
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", other).Run() })
	w.up()
	r := w.start("--container", other, "--", "fakecli", "tick")
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	w.exec(0, "exit", "0")
	w.do(0, "exec", "--container", other, "--", "fakecli", "exit", "0")
	if out := docker(t, "top", other, "-eo", "pid,args"); strings.Contains(out, "tick") {
		t.Error(out)
	}
	r = w.start("--container", other, "--", "fakecli", "tick")
	w.do(0, "kill", "--all")
	if code := r.code(); code != 143 {
		t.Errorf("kill: %d %s", code, r.out)
	}
	w.do(0, "down", "--container", other)
}
