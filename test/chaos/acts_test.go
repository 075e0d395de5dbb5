//go:build linux

package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"ductor/internal/common/clitest"
)

// acts are what can happen, and how often in comparison.
var acts = []struct {
	name   string
	weight int
	do     func(w *world)
}{
	{"nothing", 6, func(w *world) { w.pause(200) }},
	{"marker", 4, func(w *world) { w.write("home/run/ductor/ctl/restart-requested", "1") }},
	{"the home's marker", 2, func(w *world) { w.write("home/restart-requested", "") }},
	{"USR1", 3, func(w *world) { w.ask(syscall.SIGUSR1) }},
	{"HUP", 2, func(w *world) { w.ask(syscall.SIGHUP) }},
	{"edit", 5, (*world).edit},
	{"broken edit", 2, func(w *world) {
		w.write("broken", "")
		w.edit()
		w.pause(200)
		_ = os.Remove(w.path("broken"))
	}},
	{"edit under a hold", 2, func(w *world) {
		w.write("home/run/ductor/ctl/hold", "")
		w.edit()
		w.pause(300)
		_ = os.Remove(w.run("ctl/hold"))
	}},
	{"KILL the bot", 3, func(w *world) { w.toSome(syscall.SIGKILL, true) }},
	{"KILL somebody", 3, func(w *world) { w.toSome(syscall.SIGKILL, false) }},
	{"stop and continue the bot", 2, func(w *world) {
		if p := w.toSome(syscall.SIGSTOP, true); p != 0 {
			w.pause(500)
			_ = syscall.Kill(p, syscall.SIGCONT)
		}
	}},
	{"stop the bot", 1, func(w *world) { w.toSome(syscall.SIGSTOP, true) }},
	{"stop and continue the supervisor", 3, func(w *world) {
		_ = w.sup.cmd.Process.Signal(syscall.SIGSTOP)
		w.pause(100)
		w.edit()
		w.write("home/run/ductor/ctl/restart-requested", "1")
		w.pause(400)
		_ = w.sup.cmd.Process.Signal(syscall.SIGCONT)
	}},
	{"full disk", 2, (*world).fillDisk},
	{"few descriptors", 2, (*world).fewDescriptors},
	{"few processes", 2, (*world).fewProcesses},
	{"rival for the lock", 2, (*world).rival},
	{"ask", 4, (*world).askAll},
}

// act does one of them.
func (w *world) act() {
	sum := 0
	for _, a := range acts {
		sum += a.weight
	}
	n := w.rnd.IntN(sum)
	for _, a := range acts {
		if n -= a.weight; n < 0 {
			w.note(a.name)
			if w.counts == nil {
				w.counts = map[string]int{}
			}
			w.counts[a.name]++
			a.do(w)
			return
		}
	}
}

func (w *world) ask(sig syscall.Signal) {
	w.sup.signals++
	_ = w.sup.cmd.Process.Signal(sig)
}

// edit writes a burst of files, in place or by way of others, perhaps in a new
// folder.
func (w *world) edit() {
	w.sup.edits++
	dir := "src"
	switch w.rnd.IntN(4) {
	case 0:
		dir = fmt.Sprintf("src/d%d", w.rnd.IntN(5))
		_ = os.RemoveAll(w.path(dir))
		fallthrough
	case 1:
		_ = os.MkdirAll(w.path(dir), 0o755)
	}
	for i := range 1 + w.rnd.IntN(50) {
		name := fmt.Sprintf("%s/f%d.py", dir, i)
		w.write(name+".new", w.sup.events)
		if w.rnd.IntN(2) == 0 {
			_ = os.Rename(w.path(name+".new"), w.path(name))
		}
	}
}

// toSome signals the leader of the bot's tree, or anybody but the supervisor,
// and returns whom. All are in this namespace, and so nobody's but ours.
func (w *world) toSome(sig syscall.Signal, leader bool) int {
	var who []int
	for _, p := range processes() {
		if p.pid != w.sup.cmd.Process.Pid && (!leader || p.parent == w.sup.cmd.Process.Pid) {
			who = append(who, p.pid)
		}
	}
	if len(who) == 0 {
		return 0
	}
	pid := who[w.rnd.IntN(len(who))]
	_ = syscall.Kill(pid, sig)
	return pid
}

func (w *world) fillDisk() {
	w.sup.limited = true
	filler := w.path("home/filler")
	f, err := os.Create(filler)
	for err == nil {
		_, err = f.Write(make([]byte, 1<<12))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		w.t.Fatal(err)
	}
	f.Close()
	w.pause(50)
	w.write("home/run/ductor/ctl/restart-requested", "")
	w.look()
	w.pause(400)
	_ = os.Remove(filler)
}

// limit holds the supervisor, and what it starts meanwhile, to a few more than
// it has.
func (w *world) limit(resource int, limit uint64) {
	w.sup.limited = true
	pid := w.sup.cmd.Process.Pid
	var old unix.Rlimit
	if unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: limit}, &old) != nil {
		return // it has ended
	}
	w.ask(syscall.SIGUSR1)
	w.pause(200)
	w.edit()
	w.pause(300)
	_ = unix.Prlimit(pid, resource, &old, nil)
}

func (w *world) fewDescriptors() {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.sup.cmd.Process.Pid))
	if err == nil {
		w.limit(unix.RLIMIT_NOFILE, uint64(len(fds)+w.rnd.IntN(4)))
	}
}

func (w *world) fewProcesses() {
	threads := 0
	for _, p := range processes() {
		threads += p.threads
	}
	w.limit(unix.RLIMIT_NPROC, uint64(threads+w.rnd.IntN(8)))
}

// rival takes the bot's lock if it is free, as somebody else's script may.
func (w *world) rival() {
	if slices.Contains(w.sup.cmd.Args, "--no-lock") {
		return // then nothing keeps it from running beside the bot
	}
	cmd := w.command("plain", "ductor-lock", "run", w.run("bot.pid"), "--", "fakebot", "alone", w.path("lone"), "after", "150ms")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.sup.rivalled = true
	if w.rnd.IntN(2) == 0 {
		w.pause(100)
		_ = cmd.Process.Kill()
	}
	_ = cmd.Wait()
	switch code := clitest.CodeOf(cmd.ProcessState); code {
	case 0, 75, 137, 143:
	default:
		if !w.sup.limited { // a full disk
			w.fail("ductor-lock: exit code %d: %s", code, &out)
		}
	}
}

// askAll: whatever happens, who asks gets an answer that can be read.
func (w *world) askAll() {
	w.t.Helper()
	for _, args := range [][]string{{"status", "--json"}, {"list", "--json"}, {"events", "--json"}, {"status"}, {"logs", "-n", "5"}} {
		var errs bytes.Buffer
		cmd := w.command("plain", "ductor-supervise", args...)
		cmd.Stderr = &errs
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
			w.fail("%v: %v: %s", args, err, &errs)
		}
		for line := range strings.Lines(string(out)) {
			if args[len(args)-1] == "--json" && !json.Valid([]byte(line)) {
				w.fail("%v: %q", args, line)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(w.home(), "run")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.fail("%v", err)
	}
}
