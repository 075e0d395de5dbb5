//go:build linux

package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

// user is the bot's: limits of processes do not bind root.
const user = 61234

// world is what happens, and to whom.
type world struct {
	t    *testing.T
	rnd  *rand.Rand
	dir  string
	sup  *supervisor
	heir bool     // the supervisor before this one was killed
	acts []string // the last ones, for the report of a failure

	lives, lost, runs int
	counts            map[string]int
}

// supervisor is one, alive or not.
type supervisor struct {
	cmd      *exec.Cmd
	done     chan struct{}
	events   string // all of its events; what the small disk does not take is missing in the home
	log      string
	plain    bool // built without the race detector
	killed   bool
	limited  bool // something was short in its time
	rivalled bool // somebody else had its bot's lock
	signals  int  // that ask for a restart
	edits    int
	samples  []usage
}

func (s *supervisor) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }
func (w *world) home() string            { return w.path("home") }
func (w *world) run(name string) string  { return w.path("home/run/ductor/" + name) }

func (w *world) note(act string) {
	w.acts = append(w.acts, time.Now().Format("15:04:05.000 ")+act)
	w.acts = w.acts[max(0, len(w.acts)-60):]
}

// fail tells what was done last, and what the supervisor says.
func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	words, _ := os.ReadFile(w.sup.log)
	events, _ := os.ReadFile(w.sup.events)
	w.t.Fatalf("seed %d, supervisor %d: %s\nacts:\n%s\nlog:\n%s\nevents:\n%s", *seed, w.lives, fmt.Sprintf(format, args...),
		strings.Join(w.acts, "\n"), words[max(0, len(words)-5000):], events[max(0, len(events)-3000):])
}

func (w *world) wait(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(clitest.Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.fail("waited in vain for %s", what)
		}
	}
}

// pause is a random time, in milliseconds at most: not a wait for anything.
func (w *world) pause(most int) { time.Sleep(time.Duration(w.rnd.IntN(most)) * time.Millisecond) }

// write is for files that the bot's user may replace.
func (w *world) write(name, text string) {
	w.t.Helper()
	path := w.path(name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	_ = os.Chown(path, user, user)
}

func (w *world) command(bin, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(w.dir, bin, name), args...)
	cmd.Dir = w.dir
	cmd.Env = []string{"PATH=" + w.path("plain") + ":/usr/bin:/bin", "HOME=" + w.dir, "DUCTOR_HOME=" + w.home(), "TMPDIR=" + w.dir, "GORACE=atexit_sleep_ms=0"}
	return cmd
}

// tool runs a verb as root, which no limit binds, and returns its code.
func (w *world) tool(args ...string) (int, string) {
	w.t.Helper()
	cmd := w.command("plain", "ductor-supervise", args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		w.fail("%v: %v", args, err)
	}
	return clitest.CodeOf(cmd.ProcessState), string(out)
}

// start begins a life with a command line that is partly random.
func (w *world) start() {
	w.t.Helper()
	w.lives++
	s := &supervisor{done: make(chan struct{}), plain: w.rnd.IntN(2) == 0}
	s.events, s.log = w.path(fmt.Sprint("events.", w.lives)), w.path(fmt.Sprint("log.", w.lives))
	args := []string{"--stop-timeout", fmt.Sprintf("%dms", 50+w.rnd.IntN(200)), "--backoff", "20ms:500ms", "--reset-after", shortRun.String(),
		"--restart-budget", fmt.Sprintf("%d/%s", budget, budgetTime), "--watch", w.path("src"), "--hold-max", "2s",
		"--heartbeat", w.path("pulse"), "--heartbeat-timeout", "300ms", "--events", s.events,
		"--log", w.path("home/logs/bot.log"), "--log-size", "64kB", "--log-keep", "2"}
	for _, option := range [][]string{{"--no-lock"}, {"--kill-existing"}, {"--notify"}, {"--log-time"},
		{"--watch-mode", "poll:100ms"}, {"--preflight", "test ! -e broken"}, {"--on-crash", "sleep 0.0$$"}, {"--on-event", "cat >/dev/null"}} {
		if w.rnd.IntN(4) == 0 {
			args = append(args, option...)
		}
	}
	bin := "raced"
	if s.plain {
		bin = "plain"
	}
	s.cmd = w.command(bin, "ductor-supervise", append(args, "--", "fakebot", "alone", w.path("lone"), "pick", w.path("lines"))...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: user, Gid: user}}
	log, err := os.Create(s.log)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	w.write(filepath.Base(s.events), "")
	w.note("start " + strings.Join(s.cmd.Args, " "))
	if err := s.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.heir = w.sup != nil && w.sup.killed
	w.sup = s
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	// Before that, a signal ends it as it ends any program.
	w.wait("the first event", func() bool {
		info, err := os.Stat(s.events)
		return s.over() || err == nil && info.Size() > 0
	})
}

// state is what status.json says, which is a whole file or none at all times.
func (w *world) state() string {
	w.t.Helper()
	data, err := os.ReadFile(w.run("status.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	var st struct {
		Schema int
		State  string
	}
	if err != nil || json.Unmarshal(data, &st) != nil || st.Schema != 1 || st.State == "" {
		w.fail("status.json: %v: %q", err, data)
	}
	return st.State
}

// look checks what must hold at any moment.
func (w *world) look() {
	w.t.Helper()
	if twins, err := os.ReadFile(w.path("lone.twins")); err == nil {
		w.fail("two bots: %s", twins)
	}
	w.state()
	data, err := os.ReadFile(w.run("events.jsonl"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.fail("events.jsonl: %v", err)
	}
	for line := range bytes.Lines(data) {
		// The last one may be on its way, or be taken back from a full disk.
		if _, err := parseEvent(line); err != nil && line[len(line)-1] == '\n' {
			w.fail("events.jsonl: %v: %q", err, line)
		}
	}
	w.sample()
}

// nobody: whatever the bot's user has is the supervisor's, and that has ended.
func (w *world) nobody() {
	w.t.Helper()
	if left := slices.DeleteFunc(processes(), w.unknown); len(left) > 0 {
		var text []string
		for _, p := range left {
			cmdline, _ := os.ReadFile(p.path("cmdline"))
			text = append(text, fmt.Sprintf("%d (parent %d, %d threads): %s", p.pid, p.parent, p.threads, bytes.ReplaceAll(cmdline, []byte{0}, []byte(" "))))
		}
		w.fail("the supervisor has ended, and left\n%s", strings.Join(text, "\n"))
	}
}

// unknown: what left its group and wiped its environment is found by the
// supervisor that has it as a child, but by no successor of one that was killed.
func (w *world) unknown(p process) bool {
	env, err := os.ReadFile(p.path("environ"))
	if err != nil || !w.heir || bytes.Contains(env, []byte("DUCTOR_INSTANCE=")) {
		return false
	}
	_ = syscall.Kill(p.pid, syscall.SIGKILL)
	return true
}

// process is one of the bot's user that is not a zombie.
type process struct{ pid, parent, threads int }

func (p process) path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(p.pid), name)
}

func processes() (all []process) {
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, f := range files {
		data, _ := os.ReadFile(f)
		field := map[string]string{}
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(line, ":")
			field[key], _, _ = strings.Cut(strings.TrimSpace(value), "\t")
		}
		if field["Uid"] != strconv.Itoa(user) || strings.HasPrefix(field["State"], "Z") || strings.HasPrefix(field["State"], "X") {
			continue
		}
		pid, _ := strconv.Atoi(field["Pid"])
		parent, _ := strconv.Atoi(field["PPid"])
		threads, _ := strconv.Atoi(field["Threads"])
		all = append(all, process{pid, parent, threads})
	}
	return all
}

// usage is what a supervisor takes.
type usage struct{ fds, rssKiB int }

func (w *world) sample() {
	pid := w.sup.cmd.Process.Pid
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(data))
	if err != nil || len(f) < 2 || w.sup.over() {
		return
	}
	pages, _ := strconv.Atoi(f[1])
	w.sup.samples = append(w.sup.samples, usage{len(fds), pages * os.Getpagesize() / 1024})
}

// checkGrowth compares the least of the beginning with the least of the end: at
// most moments a supervisor is in the middle of something. The race detector's
// memory says nothing.
func (w *world) checkGrowth() {
	w.t.Helper()
	n := len(w.sup.samples)
	if n < 30 {
		return
	}
	least := func(part []usage) usage {
		m := part[0]
		for _, u := range part {
			m = usage{min(m.fds, u.fds), min(m.rssKiB, u.rssKiB)}
		}
		return m
	}
	early, late := least(w.sup.samples[:n/3]), least(w.sup.samples[2*n/3:])
	// A hook that hangs has four.
	if late.fds > early.fds+8 {
		w.fail("descriptors grew from %d to %d", early.fds, late.fds)
	}
	if w.sup.plain && late.rssKiB > early.rssKiB+16<<10 {
		w.fail("memory grew from %d to %d KiB", early.rssKiB, late.rssKiB)
	}
}
