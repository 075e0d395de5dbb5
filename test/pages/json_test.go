//go:build unix

package pages_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

// seen collects the keys of real output, a set for each kind, with dots where
// objects lie in objects. The keys of an identity (an object with pid and
// start) are a set of their own.
type seen map[string]map[string]bool

func (s seen) add(kind, key string) {
	if s[kind] == nil {
		s[kind] = map[string]bool{}
	}
	s[kind][key] = true
}

func (s seen) line(t *testing.T, kind string, data []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v: %q", kind, err, data)
	}
	if v["schema"] != 1.0 {
		t.Errorf("%s: schema is %v", kind, v["schema"])
	}
	s.object(kind, "", v)
	return v
}

var identityKeys = []string{"pid", "start", "boot", "pidns", "host"}

func (s seen) object(kind, prefix string, v map[string]any) {
	_, hasPID := v["pid"]
	_, hasStart := v["start"]
	for key, value := range v {
		if hasPID && hasStart && slices.Contains(identityKeys, key) {
			s.add("identity", key)
			continue
		}
		s.add(kind, prefix+key)
		if inner, ok := value.(map[string]any); ok {
			s.object(kind, prefix+key+".", inner)
		}
	}
}

// TestJSON runs the tools through everything that can happen to a bot, and
// compares what they write with the pages.
func TestJSON(t *testing.T) {
	s := seen{}
	t.Run("lives", func(t *testing.T) { lives(t, s) })
	t.Run("requests", func(t *testing.T) { requests(t, s) })
	t.Run("edits", func(t *testing.T) { edits(t, s) })
	t.Run("slept", func(t *testing.T) { slept(t, s) })
	t.Run("leftovers", func(t *testing.T) { leftovers(t, s) })
	t.Run("locks", func(t *testing.T) { locks(t, s) })
	t.Run("sentinels", func(t *testing.T) { sentinels(t, s) })
	if t.Failed() {
		return
	}
	files := readPage(t, "ductor-files.5")
	lock, supervise := readPage(t, "ductor-lock.1"), readPage(t, "ductor-supervise.1")
	status := fields(files.subsection(t, "run/NAME/status.json"))
	for kind, documented := range map[string][]string{
		"identity":               fields(files.subsection(t, "Identity")),
		"record":                 fields(files.subsection(t, "run/NAME/bot.pid.json")),
		"status.json":            status,
		"status --json":          append(status, fields(supervise.subsection(t, "status"))...),
		"restart --json":         append(fields(supervise.subsection(t, "restart")), "schema"),
		"stop --json":            append(supervise.subsection(t, "stop").find(`^\.Va (\w+)`), "schema"),
		"restart-sentinel.json":  fields(files.subsection(t, "restart-sentinel.json")),
		"sentinel consume":       append(fields(files.subsection(t, "restart-sentinel.json")), "schema"),
		"ductor-lock status":     fields(lock.subsection(t, "status")),
		"--status-fd":            fields(files.subsection(t, "The line of --status-fd")),
		"failure":                fields(files.subsection(t, "The line of --status-fd")),
		"--status-fd, in lock.1": fields(lock.subsection(t, "Telling exit codes apart")),
	} {
		switch kind {
		case "failure": // only some of the keys that there can be
			for _, key := range missing(keys(s[kind]), documented) {
				t.Errorf("%s: %q is not in the page", kind, key)
			}
		case "--status-fd, in lock.1": // which refers to status for what is in holder
			top := slices.DeleteFunc(keys(s["--status-fd"]), func(k string) bool { return strings.Contains(k, ".") })
			same(t, kind, "the output", top, "the page", documented)
		default:
			same(t, kind, "the output", keys(s[kind]), "the page", documented)
		}
	}
	events := files.subsection(t, "run/NAME/events.jsonl")
	common := fields(events)
	for _, typ := range eventTypes(events) {
		described := append(events.item(t, ".It Cm "+typ).find(`^\.Va (\w+)`), common...)
		same(t, "event "+typ, "the output", keys(s["event "+typ]), "ductor-files.5", described)
	}
}

// world is a sandbox in which supervisors run.
type world struct {
	*sandbox
	t *testing.T
	s seen
}

// supervise starts a supervisor and ends it with the test, if it has not ended.
func (w world) supervise(name string, args ...string) *process {
	w.t.Helper()
	return w.start("ductor-supervise", append([]string{"--name", name}, args...)...)
}

type process struct {
	cmd  *exec.Cmd
	once sync.Once
}

func (w world) start(name string, args ...string) *process {
	w.t.Helper()
	p := &process{cmd: w.command(context.Background(), filepath.Join(w.bin, name), args...)}
	// In a group of its own: it is waited for, and so its number stays its own.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log := tempFile(w.t)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		p.wait()
		if w.t.Failed() {
			w.t.Logf("%s %q:\n%s", name, args, content(w.t, log))
		}
	})
	return p
}

func (p *process) wait() int {
	p.once.Do(func() { _ = p.cmd.Wait() })
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) ends(t *testing.T, code int) {
	t.Helper()
	if got := p.wait(); got != code {
		t.Errorf("%q: exit code %d, not %d", p.cmd.Args, got, code)
	}
}

func (w world) file(name, base string) string { return filepath.Join(w.home(), "run", name, base) }

// await waits until status.json has the state, collects its keys, and returns
// the PID of the bot.
func (w world) await(name, state string, restarts int) int {
	w.t.Helper()
	var st struct {
		State         string
		PID, Restarts int
	}
	var data []byte
	clitest.Wait(w.t, fmt.Sprintf("%s: state %s, %d restarts", name, state, restarts), func() bool {
		var err error
		data, err = os.ReadFile(w.file(name, "status.json"))
		return err == nil && json.Unmarshal(data, &st) == nil && st.State == state && st.Restarts == restarts
	})
	w.s.line(w.t, "status.json", data)
	return st.PID
}

// run runs a tool to its end and returns its standard output.
func (w world) run(code int, tool string, args ...string) []byte {
	w.t.Helper()
	out, got := w.sh(w.t, tool+" "+strings.Join(args, " "))
	if got != code {
		w.t.Fatalf("%s %q: exit code %d, not %d\n%s", tool, args, got, code, out)
	}
	return []byte(out)
}

func (w world) events(name string) {
	w.t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(string(w.run(0, "ductor-supervise", "events", "--json", "--name", name))), "\n") {
		var e struct{ Type string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatal(err)
		}
		w.s.line(w.t, "event "+e.Type, []byte(line))
	}
}

func (w world) record(path string) {
	w.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.s.line(w.t, "record", data)
}

func (w world) path(name string) string { return filepath.Join(w.dir, name) }

func (w world) bot() string { return filepath.Join(w.bin, "fakebot") }

// lives: bots that end in every way.
func lives(t *testing.T, s seen) {
	w := world{newSandbox(t), t, s}
	w.supervise("missing", "--", "./no-such-command").ends(t, 127)
	w.supervise("broken", "--max-crashes", "2/1m", "--backoff", "1ms:1ms", "--", w.bot(), "exit", "3").ends(t, 3)
	w.supervise("storm", "--restart-budget", "1/1m", "--max-crashes", "1/1m", "--", w.bot(), "exit", "42").ends(t, 42)
	w.supervise("quits", "--", w.bot(), "exit", "0").ends(t, 0)

	hanged := w.supervise("hanged", "--stop-timeout", "50ms", "--", w.bot(), "ignore", "TERM", "touch", w.path("deaf"), "wait")
	w.await("hanged", "up", 0)
	clitest.Wait(t, "the bot ignores TERM", func() bool { _, err := os.Stat(w.path("deaf")); return err == nil })
	must(t, hanged.cmd.Process.Signal(syscall.SIGTERM))
	hanged.ends(t, 0)

	log := w.path("bot.log")
	w.supervise("talks", "--log", log, "--", w.bot(), "cry", "help", "exit", "78").ends(t, 78)
	s.line(t, "status --json", w.run(1, "ductor-supervise", "status", "--json", "--name", "talks"))
	data, err := os.ReadFile(w.file("talks", "status.json"))
	must(t, err)
	s.line(t, "status.json", data)
	w.events("talks")

	must(t, os.Mkdir(w.path("work"), 0o700))
	hooked := w.supervise("hooked", "--watch", "work", "--hold", w.path("HOLD"), "--on-crash", "sleep 600", "--", w.bot(), "exit", "1")
	w.await("hooked", "backoff", 0)
	s.line(t, "status --json", w.run(0, "ductor-supervise", "status", "--json", "--name", "hooked"))
	data, err = os.ReadFile(w.file("hooked", "status.json"))
	must(t, err)
	s.line(t, "status.json", data)
	must(t, hooked.cmd.Process.Signal(syscall.SIGTERM))
	hooked.ends(t, 0)

	down := w.supervise("down", "--backoff", "1h:1h", "--", w.bot(), "exit", "1")
	w.await("down", "backoff", 0)
	s.line(t, "status --json", w.run(0, "ductor-supervise", "status", "--json", "--name", "down"))
	must(t, os.WriteFile(w.file("down", "status.json"), []byte("garbage"), 0o600))
	s.line(t, "status --json", w.run(0, "ductor-supervise", "status", "--json", "--name", "down"))
	must(t, down.cmd.Process.Signal(syscall.SIGTERM))
	down.ends(t, 0)

	for _, name := range []string{"missing", "broken", "storm", "quits", "hanged", "down"} {
		w.events(name)
	}
}

// requests: restarts of every kind, and a stop.
func requests(t *testing.T, s seen) {
	w := world{newSandbox(t), t, s}
	must(t, os.Mkdir(w.path("src"), 0o700))
	must(t, os.MkdirAll(w.path("marks/not-a-file"), 0o700)) // a warning
	p := w.supervise("asked", "--watch", "src", "--marker", "marks/not-a-file", "--", w.bot(), "wait")
	pid := w.await("asked", "up", 0)
	w.record(w.file("asked", "bot.pid.json"))
	w.record(w.file("asked", "supervise.pid.json"))
	w.s.line(t, "status --json", w.run(0, "ductor-supervise", "status", "--json", "--name", "asked"))
	w.s.line(t, "ductor-lock status", w.run(0, "ductor-lock", "status", "--json", w.file("asked", "bot.pid")))

	must(t, syscall.Kill(pid, syscall.SIGKILL)) // our descendant's child, not reaped before its supervisor knows
	w.await("asked", "up", 1)
	must(t, p.cmd.Process.Signal(syscall.SIGUSR1))
	w.await("asked", "up", 2)
	w.s.line(t, "restart --json", w.run(0, "ductor-supervise", "restart", "--wait", "--json", "--name", "asked"))
	w.await("asked", "up", 3)
	must(t, os.WriteFile(w.path("src/a.py"), []byte("x = 1\n"), 0o600))
	clitest.Wait(t, "a restart for a change", func() bool {
		return strings.Contains(string(w.run(0, "ductor-supervise", "events", "--json", "--name", "asked")), `"type":"change"`)
	})
	w.s.line(t, "stop --json", w.run(0, "ductor-supervise", "stop", "--wait", "--json", "--name", "asked"))
	p.ends(t, 0)
	w.s.line(t, "status --json", w.run(1, "ductor-supervise", "status", "--json", "--name", "asked"))
	w.events("asked")

	signalled := w.supervise("signalled", "--", w.bot(), "wait")
	w.await("signalled", "up", 0)
	must(t, signalled.cmd.Process.Signal(syscall.SIGINT))
	signalled.ends(t, 0)
	w.events("signalled")
}

// edits: changes that wait, that do not pass, and that come in a loop; bots that
// say how they are.
func edits(t *testing.T, s seen) {
	w := world{newSandbox(t), t, s}
	must(t, os.Mkdir(w.path("src"), 0o700))
	p := w.supervise("edited", "--watch", "src", "--preflight", "echo no >&2; kill -9 $$", "--", w.bot(), "wait")
	w.await("edited", "up", 0)
	must(t, os.WriteFile(w.file("edited", "ctl/hold"), nil, 0o600))
	must(t, os.WriteFile(w.path("src/a.py"), []byte("x = 1\n"), 0o600))
	w.awaitEvent("edited", "held")
	w.s.line(t, "status --json", w.run(0, "ductor-supervise", "status", "--json", "--name", "edited"))
	must(t, os.Remove(w.file("edited", "ctl/hold")))
	w.awaitEvent("edited", "preflight_failed")
	w.s.line(t, "status --json", w.run(0, "ductor-supervise", "status", "--json", "--name", "edited"))
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.ends(t, 0)
	w.events("edited")

	p = w.supervise("loop", "--watch", "src", "--", w.bot(), "touch", "src/log", "wait")
	w.awaitEvent("loop", "watch_suspended")
	w.s.line(t, "status --json", w.run(0, "ductor-supervise", "status", "--json", "--name", "loop"))
	w.awaitEvent("loop", "watching")
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.ends(t, 0)
	w.events("loop")

	must(t, os.WriteFile(w.path("codes"), []byte("42 run"), 0o600))
	p = w.supervise("code", "--", w.bot(), "exits", w.path("codes"), "wait")
	w.await("code", "up", 1)
	w.s.line(t, "status --json", w.run(0, "ductor-supervise", "status", "--json", "--name", "code"))
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.ends(t, 0)

	p = w.supervise("speaks", "--notify", "--heartbeat-timeout", "300ms", "--backoff", "1h:1h", "--on-crash", "echo sorry; kill -9 $$", "--",
		w.bot(), "notify", `STATUS=hello\nREADY=1\nWATCHDOG=1`, "wait")
	w.await("speaks", "ready", 0)
	w.s.line(t, "status --json", w.run(0, "ductor-supervise", "status", "--json", "--name", "speaks"))
	w.awaitEvent("speaks", "hook_end")
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.ends(t, 0)
	w.events("speaks")
}

// slept: a supervisor that was stopped takes it for a sleep of the machine.
func slept(t *testing.T, s seen) {
	w := world{newSandbox(t), t, s}
	p := w.supervise("slept", "--stop-timeout", "1s", "--", w.bot(), "ignore", "TERM", "touch", w.path("deaf"), "wait")
	w.await("slept", "up", 0)
	clitest.Wait(t, "the bot ignores TERM", func() bool { _, err := os.Stat(w.path("deaf")); return err == nil })
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	w.awaitEvent("slept", "stop_request")
	must(t, p.cmd.Process.Signal(syscall.SIGSTOP))
	time.Sleep(7 * time.Second) // not a wait: this is the sleep
	must(t, p.cmd.Process.Signal(syscall.SIGCONT))
	w.awaitEvent("slept", "resume")
	p.ends(t, 0)
	w.events("slept")
}

func (w world) awaitEvent(name, typ string) {
	w.t.Helper()
	clitest.Wait(w.t, name+": event "+typ, func() bool {
		data, _ := os.ReadFile(w.file(name, "events.jsonl"))
		return strings.Contains(string(data), `"type":"`+typ+`"`)
	})
}

// leftovers: a supervisor that was killed, and the next one.
func leftovers(t *testing.T, s seen) {
	w := world{newSandbox(t), t, s}
	bot := []string{"--stop-timeout", "50ms", "--", w.bot(), "ignore", "TERM", "touch", w.path("deaf"), "wait"}
	p := w.supervise("left", bot...)
	w.await("left", "up", 0)
	clitest.Wait(t, "the bot ignores TERM", func() bool { _, err := os.Stat(w.path("deaf")); return err == nil })
	must(t, p.cmd.Process.Kill())
	p.wait()
	w.s.line(t, "status --json", w.run(1, "ductor-supervise", "status", "--json", "--name", "left"))
	next := w.supervise("left", "--stop-timeout", "50ms", "--", w.bot(), "exit", "0")
	next.ends(t, 0)
	w.events("left")
}

// locks: a holder that stays, and who meets it.
func locks(t *testing.T, s seen) {
	w := world{newSandbox(t), t, s}
	pidfile := w.path("x.pid")
	holder := w.start("ductor-lock", "run", "--stay", pidfile, "--", w.bot(), "wait")
	clitest.Wait(t, "the record names the command", func() bool {
		data, _ := os.ReadFile(pidfile + ".json")
		return strings.Contains(string(data), `"child"`)
	})
	w.record(pidfile + ".json")
	w.s.line(t, "ductor-lock status", w.run(0, "ductor-lock", "status", "--json", pidfile))
	w.s.line(t, "--status-fd", w.run(75, "ductor-lock", "run", "--status-fd", "3", pidfile, "true", "3>&1", "2>/dev/null"))
	must(t, holder.cmd.Process.Signal(syscall.SIGTERM))
	holder.ends(t, 128+int(syscall.SIGTERM))

	sup := w.supervise("locked", "--", w.bot(), "wait")
	w.await("locked", "up", 0)
	w.s.line(t, "--status-fd", w.run(75, "ductor-lock", "run", "--status-fd", "3", w.file("locked", "bot.pid"), "true", "3>&1", "2>/dev/null"))
	must(t, sup.cmd.Process.Signal(syscall.SIGTERM))
	sup.ends(t, 0)

	w.s.line(t, "failure", w.run(73, "ductor-lock", "status", "--json", w.dir, "2>&1 >/dev/null"))
}

// sentinels: what is written is what is told.
func sentinels(t *testing.T, s seen) {
	w := world{newSandbox(t), t, s}
	w.run(0, "ductor-supervise", "sentinel", "write", "--chat-id", "7", "--message", "hello")
	data, err := os.ReadFile(filepath.Join(w.home(), "restart-sentinel.json"))
	must(t, err)
	var v map[string]any
	must(t, json.Unmarshal(data, &v))
	s.object("restart-sentinel.json", "", v)
	s.line(t, "sentinel consume", w.run(0, "ductor-supervise", "sentinel", "consume"))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestStopRequestIsAddressed: the format of ctl/stop-requested, which lives for
// a moment only: a supervisor that is stopped (by a job-control signal) leaves
// it to be seen.
func TestStopRequestIsAddressed(t *testing.T) {
	w := world{newSandbox(t), t, seen{}}
	p := w.supervise("frozen", "--", w.bot(), "wait")
	w.await("frozen", "up", 0)
	must(t, p.cmd.Process.Signal(syscall.SIGSTOP))
	// On a busy machine another thread may run on until the one that was told does.
	clitest.Wait(t, "the supervisor to stand still", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		return err != nil || strings.Contains(string(stat), ") T ")
	})
	w.run(0, "ductor-supervise", "stop", "--name", "frozen")
	text, err := os.ReadFile(w.file("frozen", "ctl/stop-requested"))
	must(t, err)
	data, err := os.ReadFile(w.file("frozen", "supervise.pid.json"))
	must(t, err)
	var id struct {
		PID   int
		Start string
	}
	must(t, json.Unmarshal(data, &id))
	if want := strconv.Itoa(id.PID) + " " + id.Start + "\n"; string(text) != want {
		t.Errorf("stop-requested holds %q, not %q", text, want)
	}
	must(t, p.cmd.Process.Signal(syscall.SIGCONT))
	p.ends(t, 0)
}

// TestHomeHoldsWhatThePageSays: no file is left in a home that the page does
// not describe, and none with other permissions.
func TestHomeHoldsWhatThePageSays(t *testing.T) {
	w := world{newSandbox(t), t, seen{}}
	p := w.supervise("NAME", "--", w.bot(), "wait")
	w.await("NAME", "up", 0)
	w.run(0, "ductor-supervise", "sentinel", "write", "--chat-id", "7")
	text := strings.Join(readPage(t, "ductor-files.5").lines, "\n")
	count := 0
	must(t, filepath.WalkDir(w.home(), func(path string, d os.DirEntry, err error) error {
		if err != nil || path == w.home() {
			return err
		}
		count++
		info, err := d.Info()
		if err != nil {
			return err
		}
		if want := map[bool]os.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode().Perm())
		}
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(d.Name()) + `\b`).MatchString(text) {
			t.Errorf("%s is not in ductor-files(5)", path)
		}
		return nil
	}))
	if count < 10 {
		t.Errorf("only %d files were met", count)
	}
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.ends(t, 0)
}
