package main

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/clitest"
)

// chaosBots are what the killed supervisors run: bots that obey, that ignore
// TERM, that leave all sorts of descendants, that end all the time. All are
// the same bot to `alone`.
var chaosBots = [][]string{
	{"wait"},
	{"ignore", "TERM", "wait"},
	{"ignore", "TERM", "leave", "setsid,stubborn", "s", "leave", "group", "g", "wait"},
	{"leave", "daemon,stubborn", "d", "wait"},
	{"exit", "42"},
	{"exit", "1"},
	{"ignore", "TERM", "after", "5ms", "exit", "42"},
}

// TestKilledSupervisors kills the supervisor at random points. The next one,
// which is started at once, must never run a second bot.
func TestKilledSupervisors(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	s := newStage(t, clitest.PlainBin(t))
	for i := range rounds {
		args := []string{"--stop-timeout", "20ms", "--backoff", "1ms:4ms", "--restart-budget", "off"}
		if rnd.IntN(4) == 0 {
			args = append(args, "--kill-existing")
		}
		if rnd.IntN(4) == 0 {
			args = append(args, "--no-lock")
		}
		args = append(args, "--", "fakebot", "alone", "lone")
		sup := s.supervise(append(args, chaosBots[rnd.IntN(len(chaosBots))]...)...)
		// Not a wait for anything: the moment of the kill is what is random.
		// Half of them fall into the start, where most happens.
		life := time.Duration(rnd.IntN(15)) * time.Millisecond
		if i%2 == 0 {
			life = time.Duration(rnd.IntN(80)) * time.Millisecond
		}
		select {
		case <-time.After(life):
		case <-sup.done:
			t.Fatalf("round %d: the supervisor ended by itself: %v\n%s", i, sup.ProcessState, sup.words())
		}
		_ = sup.Process.Kill()
		sup.ends(128 + 9)
		checkJournal(t, s)
	}
	// The last one is stopped as it should be, and with it all that was left.
	last := s.supervise("--stop-timeout", "20ms", "--", "fakebot", "alone", "lone", "touch", "last", "wait")
	clitest.Wait(t, "the last bot", func() bool { _, err := os.Stat(s.path("last")); return err == nil })
	last.terminate()
	last.ends(0)
	s.noTwins("lone")
	checkJournal(t, s)
}

// checkJournal: whatever moment the supervisor was killed at, its files parse.
func checkJournal(t *testing.T, s *stage) {
	t.Helper()
	if _, err := journal.ReadStatus(s.run().Status()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.run().Events())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	last := int64(0)
	for line := range bytes.Lines(data) {
		e, err := journal.ParseEvent(line)
		if err != nil || !bytes.HasSuffix(line, []byte("\n")) {
			t.Fatalf("events: %q: %v", line, err)
		}
		if last != 0 && e.Seq != last+1 {
			t.Fatalf("event %d follows %d", e.Seq, last)
		}
		last = e.Seq
	}
}

// TestTakeoversAtOnce: of many supervisors with --kill-existing exactly one
// survives, and there are never two bots.
func TestTakeoversAtOnce(t *testing.T) {
	rounds, contenders := 25, 4
	if testing.Short() {
		rounds = 4
	}
	s := newStage(t, clitest.PlainBin(t))
	for range rounds {
		var sups []*proc
		for i := range contenders {
			args := []string{"--kill-existing", "--stop-timeout", "1s", "--", "fakebot", "alone", "lone", "wait"}
			if i == 0 { // who has it already
				args = args[1:]
			}
			sups = append(sups, s.supervise(args...))
			if i == 0 {
				s.up(0)
			}
		}
		var left []*proc
		clitest.Wait(t, "one supervisor alone", func() bool {
			left = nil
			for _, p := range sups {
				if !p.over() {
					left = append(left, p)
				}
			}
			return len(left) <= 1
		})
		if len(left) == 0 {
			for _, p := range sups {
				t.Logf("%v: %s", p.ProcessState, p.words())
			}
			t.Fatal("none survived")
		}
		s.status("the survivor's bot", func(st journal.Status) bool {
			return st.State == "up" && st.Supervisor.PID == left[0].Process.Pid
		})
		// Those that gave way say so: stopped, too late, or ended by TERM
		// before they could say anything.
		for _, p := range sups {
			if p == left[0] {
				continue
			}
			if code := clitest.CodeOf(p.ProcessState); code != 0 && code != 75 && code != 143 {
				t.Errorf("%q: %v\n%s", p.Args, p.ProcessState, p.words())
			}
		}
		left[0].terminate()
		left[0].ends(0)
		s.noTwins("lone")
	}
}
