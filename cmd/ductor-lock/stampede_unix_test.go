//go:build unix

package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ductor/internal/common/clitest"
	"ductor/internal/common/process"
)

// arena is a folder in which contenders for one lock become bots, each of
// which proves with a lock of another kind that it is the only one.
type arena struct {
	t        *testing.T
	bin, dir string
	env      []string
}

func newArena(t *testing.T) *arena {
	bin, dir := clitest.PlainBin(t), t.TempDir()
	return &arena{t, bin, dir, []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "DUCTOR_HOME=" + filepath.Join(dir, "home")}}
}

func (a *arena) path(name string) string { return filepath.Join(a.dir, name) }

func (a *arena) write(name, content string) {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), []byte(content), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// contender is a started ductor-lock, which may become a bot.
type contender struct {
	cmd  *exec.Cmd
	done chan struct{}
	errs strings.Builder
}

// start runs a program of the toolkit; it is killed at the end of the test.
func (a *arena) start(args ...string) *contender {
	a.t.Helper()
	c := &contender{cmd: exec.Command(filepath.Join(a.bin, args[0]), args[1:]...), done: make(chan struct{})}
	c.cmd.Dir, c.cmd.Env, c.cmd.Stderr = a.dir, a.env, &c.errs
	if err := c.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.done)
	}()
	a.t.Cleanup(func() { c.kill(); <-c.done })
	return c
}

func (c *contender) pid() int { return c.cmd.Process.Pid }

func (c *contender) kill() { _ = c.cmd.Process.Kill() }

func (c *contender) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// code waits for the end and returns 128+n for a signal.
func (c *contender) code() int {
	<-c.done
	return codeOf(c.cmd.ProcessState)
}

func living(cs []*contender) (alive []*contender) {
	for _, c := range cs {
		if !c.ended() {
			alive = append(alive, c)
		}
	}
	return alive
}

// settle waits until at most one contender lives and, if one does, until it is
// the bot that wrote its PID to ready.
func (a *arena) settle(cs []*contender) *contender {
	a.t.Helper()
	var last *contender
	clitest.Wait(a.t, "one contender is left, and is the bot", func() bool {
		alive := living(cs)
		if len(alive) > 1 {
			return false
		}
		if last = nil; len(alive) == 0 {
			return true
		}
		last = alive[0]
		data, _ := os.ReadFile(a.path("ready"))
		return string(data) == strconv.Itoa(last.pid())+"\n"
	})
	return last
}

// noTwins fails if a bot ever met another.
func (a *arena) noTwins() {
	a.t.Helper()
	if data, err := os.ReadFile(a.path("alone.twins")); err == nil {
		a.t.Fatalf("two holders at once:\n%s", data)
	}
}

func (a *arena) label() string {
	data, _ := os.ReadFile(a.path("x.pid"))
	return strings.TrimSpace(string(data))
}

// TestStampede: 50 processes want one lock whose label is stale, and some are
// killed in the middle of it, the winner among them. A PID file that is
// checked and then written let two in, in 191 of 200 such rounds.
func TestStampede(t *testing.T) {
	contenders, rounds := 50, 200
	if testing.Short() {
		rounds = 10
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	a := newArena(t)
	beheaded := 0 // rounds in which a bot was killed before its time
	for range rounds {
		a.staleLabel(rnd)
		_ = os.Remove(a.path("ready"))
		_ = os.Remove(a.path("starts"))
		cs, killed := a.rush(rnd, contenders)
		winner := a.settle(cs)
		for _, c := range cs {
			if c == winner {
				continue
			}
			if code := c.code(); code != 75 && (code != 137 || !killed[c]) {
				t.Fatalf("a loser ended with %d: %s", code, &c.errs)
			}
		}
		a.noTwins()
		if winner == nil {
			if len(killed) == 0 {
				t.Fatal("nobody was killed, and nobody won")
			}
			// The winner was killed. The lock is free: whoever asks next has it.
			next := a.contend()
			if winner = a.settle([]*contender{next}); winner == nil {
				t.Fatalf("the lock of a dead holder was refused: code %d: %s", next.code(), &next.errs)
			}
		}
		for c := range killed {
			if c != winner && strings.Contains(a.starts(), " "+strconv.Itoa(c.pid())+" ") {
				beheaded++
				break
			}
		}
		if got := a.label(); got != strconv.Itoa(winner.pid()) {
			t.Fatalf("the label names %s, the holder is %d", got, winner.pid())
		}
		winner.kill()
		<-winner.done
	}
	t.Logf("in %d of %d rounds a holder was killed in the middle", beheaded, rounds)
	if beheaded == 0 && !testing.Short() {
		t.Fatal("no holder was ever killed: this has shown too little")
	}
}

// starts is the log of the bots, one line "start PID …" each.
func (a *arena) starts() string {
	data, _ := os.ReadFile(a.path("starts"))
	return string(data)
}

func (a *arena) contend() *contender {
	return a.start("ductor-lock", "run", "x.pid", "fakebot", "alone", "alone", "log", "starts", "pid", "ready", "wait")
}

// rush starts the contenders and kills some of them while they run: any, or
// the one that the label names just now.
func (a *arena) rush(rnd *rand.Rand, n int) (cs []*contender, killed map[*contender]bool) {
	killed = map[*contender]bool{}
	for range n {
		cs = append(cs, a.contend())
		if rnd.IntN(n) > 1 {
			continue
		}
		victim := cs[rnd.IntN(len(cs))]
		if holder := a.label(); rnd.IntN(2) == 0 {
			for _, c := range cs {
				if strconv.Itoa(c.pid()) == holder {
					victim = c
				}
			}
		}
		victim.kill()
		killed[victim] = true
	}
	return cs, killed
}

// staleLabel leaves what a dead holder may leave: its own true label, a PID
// that was used again, a torn file, nothing.
func (a *arena) staleLabel(rnd *rand.Rand) {
	switch rnd.IntN(4) {
	case 0: // as the last round left it
		return
	case 1: // the PID of this test, from long before its start
		a.write("x.pid", strconv.Itoa(os.Getpid())+"\n")
		old := time.Now().Add(-10000 * time.Hour)
		if err := os.Chtimes(a.path("x.pid"), old, old); err != nil {
			a.t.Fatal(err)
		}
	case 2:
		a.write("x.pid", "")
		a.write("x.pid.json", `{"schema":1,"pid":`)
	case 3:
		_ = os.Remove(a.path("x.pid"))
		_ = os.Remove(a.path("x.pid.json"))
	}
}

// TestKillExistingCrowd: everybody wants to replace everybody. One survives,
// and two bystanders, whose PIDs are in a label and in a record that are not
// about them, hear nothing of it.
func TestKillExistingCrowd(t *testing.T) {
	a := newArena(t)
	inLabel := a.bystander("label")
	inRecord := a.bystander("record")
	a.write("x.pid", strconv.Itoa(inLabel.pid())+"\n")
	old := time.Now().Add(-10000 * time.Hour)
	if err := os.Chtimes(a.path("x.pid"), old, old); err != nil {
		t.Fatal(err)
	}
	a.write("x.pid.json", `{"schema":1,`+predecessor(t, inRecord.pid())+`,"command":["gone"],"since":"2001-01-01T00:00:00Z"}`)
	var cs []*contender
	for range 20 {
		cs = append(cs, a.start("ductor-lock", "run", "--kill-existing", "x.pid", "fakebot", "alone", "alone", "pid", "ready", "wait"))
	}
	winner := a.settle(cs)
	if winner == nil {
		t.Fatal("nobody survived")
	}
	a.noTwins()
	for _, c := range cs {
		if c != winner && c.code() != 128+int(syscall.SIGTERM) {
			t.Errorf("a contender ended with %d: %s", c.code(), &c.errs)
		}
	}
	if got := a.label(); got != strconv.Itoa(winner.pid()) {
		t.Errorf("the label names %s, the holder is %d", got, winner.pid())
	}
	a.unharmed(inLabel, inRecord)
}

// bystander is a process that must not be signalled: it would end.
func (a *arena) bystander(name string) *contender {
	a.t.Helper()
	c := a.start("fakebot", "on", "TERM", "7", "on", "USR1", "8", "pid", name, "wait")
	clitest.Wait(a.t, "the bystander is ready", func() bool { _, err := os.Stat(a.path(name)); return err == nil })
	return c
}

// predecessor is the identity, without its braces, of a process that had the
// PID before the one that has it now.
func predecessor(t *testing.T, pid int) string {
	t.Helper()
	id, err := process.Of(pid)
	if err != nil {
		t.Fatal(err)
	}
	id.Start = "1"
	data, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(data), "{}")
}

// unharmed proves that nobody sent TERM: each must obey a USR1 of ours, and a
// TERM before that would have ended it with 7.
func (a *arena) unharmed(cs ...*contender) {
	a.t.Helper()
	for _, c := range cs {
		_ = c.cmd.Process.Signal(syscall.SIGUSR1)
		if code := c.code(); code != 8 {
			a.t.Errorf("a bystander ended with %d, not by our own signal", code)
		}
	}
}

// TestStaleSupervisorIsNoTarget: the record of a live holder names a
// supervisor that is dead, and whose PID now belongs to somebody else.
func TestStaleSupervisorIsNoTarget(t *testing.T) {
	a := newArena(t)
	innocent := a.bystander("innocent")
	bot := a.start("ductor-lock", "run", "x.pid", "fakebot", "on", "TERM", "7", "on", "USR1", "8", "pid", "ready", "wait")
	a.settle([]*contender{bot})
	rec, err := os.ReadFile(a.path("x.pid.json"))
	if err != nil {
		t.Fatal(err)
	}
	stale := `,"supervisor":{` + predecessor(t, innocent.pid()) + `}}`
	a.write("x.pid.json", strings.TrimSuffix(strings.TrimSpace(string(rec)), "}")+stale)
	killer := a.start("ductor-lock", "kill", "x.pid")
	if killer.code() != 0 || bot.code() != 7 {
		t.Errorf("kill ended with %d, the holder with %d: %s", killer.code(), bot.code(), &killer.errs)
	}
	a.unharmed(innocent)
}

// TestForgedRecordIsNoTarget: the kernel names the holder, and the record
// describes another live process perfectly: neither is signalled.
func TestForgedRecordIsNoTarget(t *testing.T) {
	a := newArena(t)
	other := a.start("ductor-lock", "run", "y.pid", "fakebot", "on", "TERM", "7", "on", "USR1", "8", "pid", "ready", "wait")
	a.settle([]*contender{other})
	_ = os.Remove(a.path("ready"))
	bot := a.start("ductor-lock", "run", "x.pid", "fakebot", "on", "TERM", "7", "on", "USR1", "8", "pid", "ready", "wait")
	a.settle([]*contender{bot})
	rec, err := os.ReadFile(a.path("y.pid.json"))
	if err != nil {
		t.Fatal(err)
	}
	a.write("x.pid.json", string(rec))
	a.write("x.pid", strconv.Itoa(other.pid())+"\n")
	killer := a.start("ductor-lock", "kill", "x.pid")
	if killer.code() != 71 {
		t.Errorf("kill ended with %d: %s", killer.code(), &killer.errs)
	}
	a.unharmed(bot, other)
}
