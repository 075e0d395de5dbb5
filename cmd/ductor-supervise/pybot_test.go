//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/clitest"
)

// pyStage is a stage with the Python bot, which polls quickly, and the command
// that runs it.
func pyStage(t *testing.T) (*stage, []string) {
	t.Helper()
	clitest.Need(t, "python3")
	// The interpreter itself, not a script that finds it.
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Fatal(err)
	}
	bot, err := filepath.Abs(filepath.Join("testdata", "pybot.py"))
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, clitest.Bin(t))
	s.env = append(s.env, "PYBOT_POLL=0.002")
	return s, []string{strings.TrimSpace(string(out)), bot}
}

// starts returns the PIDs of the bots that started.
func (s *stage) starts() (pids []int) {
	for _, line := range s.lines("pybot.log") {
		if f := strings.Fields(line); f[0] == "start" {
			pid, _ := strconv.Atoi(f[1])
			pids = append(pids, pid)
		}
	}
	return pids
}

// waitStarts waits for the nth start, and fails if there were more.
func (s *stage) waitStarts(n int) (last int) {
	s.t.Helper()
	clitest.Wait(s.t, strconv.Itoa(n)+" starts of the bot", func() bool { return len(s.starts()) >= n })
	pids := s.starts()
	if len(pids) > n {
		s.t.Fatalf("%d starts, not %d: %q", len(pids), n, s.lines("pybot.log"))
	}
	return pids[n-1]
}

// victims returns whom the bot killed.
func (s *stage) victims() (pids []string) {
	for _, line := range s.lines("pybot.log") {
		if pid, ok := strings.CutPrefix(line, "kill "); ok {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s *stage) tool(args ...string) {
	s.t.Helper()
	p := s.command("ductor-supervise", args...).start()
	p.ends(0)
}

// TestBotWithItsOwnPIDFile: a bot that replaces its own bot.pid, and kills whom
// it finds there, lives under the supervisor and harms nobody.
func TestBotWithItsOwnPIDFile(t *testing.T) {
	s, bot := pyStage(t)
	args := append([]string{"--restart-budget", "off", "--backoff", "1ms:1ms", "--"}, bot...)
	sup := s.supervise(args...)
	s.waitStarts(1)
	if own, err := os.ReadFile(filepath.Join(string(s.home), "bot.pid")); err != nil || string(own) != strconv.Itoa(s.starts()[0]) {
		t.Fatalf("the bot's own bot.pid: %q, %v", own, err)
	}

	// Marker and sentinel: whether the bot or the supervisor takes the marker,
	// it is one restart, and the sentinel reaches the next run.
	n := 1
	for range 10 {
		s.up(n - 1)
		text := "round " + strconv.Itoa(n)
		s.tool("sentinel", "write", "--chat-id", "7", "--message", text)
		s.tool("marker", "write")
		n++
		s.waitStarts(n)
		if said := s.lines("pybot.log"); said[len(said)-2] != "says "+text {
			t.Fatalf("the bot said %q", said)
		}
	}

	// Killed, it leaves its bot.pid behind, which the next run finds stale.
	s.up(n - 1)
	kill(t, s.waitStarts(n), syscall.SIGKILL)
	n++
	s.waitStarts(n)

	// Another supervisor takes over.
	s.up(n - 1)
	next := s.supervise(append([]string{"--kill-existing"}, args...)...)
	sup.ends(0)
	n++
	s.waitStarts(n)
	s.status("the new supervisor", func(st journal.Status) bool { return st.State == "up" && st.Supervisor.PID == next.Process.Pid })
	s.tool("restart", "--wait")
	n++
	s.waitStarts(n)

	s.tool("stop", "--wait")
	next.ends(0)
	if killed := s.victims(); killed != nil {
		t.Errorf("the bot killed %q", killed)
	}
	if _, err := os.Stat(filepath.Join(string(s.home), "bot.pid")); !os.IsNotExist(err) {
		t.Errorf("the bot's own bot.pid: %v", err)
	}
	s.waitStarts(n)
	s.noTwins("pybot.alone")
}

// TestBotStartedByHandBesideASupervisedOne: the bots replace each other by
// their own file; the supervisor is never hit, and never runs a second one.
func TestBotStartedByHandBesideASupervisedOne(t *testing.T) {
	s, bot := pyStage(t)
	byHand := func() *proc { return s.command(bot[0], bot[1:]...).start() }

	// A bot that runs already gives way to the supervised one.
	old := byHand()
	s.waitStarts(1)
	sup := s.supervise(append([]string{"--"}, bot...)...)
	old.ends(0)
	s.waitStarts(2)
	s.up(0)

	// One that is started by hand later ends the supervised one, which exits
	// with 0: a stop that nobody asked for, so the supervisor leaves the field.
	late := byHand()
	sup.ends(0)
	s.waitStarts(3)
	s.waitEvent("an exit that nobody asked for", func(e journal.Event) bool { return e.Type == journal.UnrequestedExit })
	want := []string{strconv.Itoa(old.Process.Pid), strconv.Itoa(s.starts()[1])}
	if got := s.victims(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("the bots killed %q, not %q", got, want)
	}
	late.terminate()
	late.ends(0)
	s.noTwins("pybot.alone")
}

// waitEvent waits for an event that fits.
func (s *stage) waitEvent(what string, ok func(journal.Event) bool) (found journal.Event) {
	s.t.Helper()
	clitest.Wait(s.t, what, func() bool {
		seen := false
		_ = journal.Each(s.run().Events(), func(_ []byte, e journal.Event) {
			if !seen && ok(e) {
				found, seen = e, true
			}
		})
		return seen
	})
	return found
}

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}
