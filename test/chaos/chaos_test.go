//go:build linux

// Package chaos has one test: a supervisor in a bad world.
package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ductor/internal/common/clitest"
)

var (
	length = flag.Duration("chaos", 2*time.Minute, "how long the chaos lasts; in short mode a tenth of it")
	seed   = flag.Uint64("seed", 0, "of what is random; 0 is a new one")
	// stage is the folder that the outer process, which has no namespaces of its
	// own, has prepared for the inner one.
	stage = flag.String("chaos.stage", "", "for the test's own use")
)

func TestMain(m *testing.M) { clitest.Main(m) }

// TestChaos lets random things happen to a supervisor, its bot, its lock and
// its disk, and looks all the time whether what is promised still holds. What
// is random comes from one seed; when things happen does not, so a seed
// repeats the acts and not always the failure.
//
// It runs in namespaces of its own: no process and no mount outlives it, and
// all processes that the bot's user has are the supervisor's.
func TestChaos(t *testing.T) {
	if *stage != "" {
		inside(t, *stage)
		return
	}
	clitest.Need(t, "namespaces")
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	if testing.Short() {
		*length /= 10
	}
	dir := prepare(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A shell as the first process reaps what is orphaned.
	cmd := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", `"$@"; exit $?`, "sh",
		self, "-test.run=^TestChaos$", "-test.v", "-test.timeout="+(*length+10*time.Minute).String(),
		"-chaos="+length.String(), "-seed="+strconv.FormatUint(*seed, 10), "-chaos.stage="+dir)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("%v; once more: go test ./test/chaos -run TestChaos -v -args -seed=%d -chaos=%s", err, *seed, *length)
	}
}

// prepare makes a folder that another user may enter, with links to programs
// with and without the race detector.
func prepare(t *testing.T) string {
	dir, err := os.MkdirTemp("", "ductor-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, bin := range map[string]string{"plain": clitest.PlainBin(t), "raced": clitest.Bin(t)} {
		if err := os.Chmod(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(bin, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// inside is the test itself. On a disk of 4 MB, which holds two files of events
// and the log, full is soon.
func inside(t *testing.T, dir string) {
	w := &world{t: t, rnd: rand.New(rand.NewPCG(*seed, 0)), dir: dir}
	for _, folder := range []string{w.home(), w.path("src")} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount("ductor-chaos", w.home(), "tmpfs", 0, "size=4m,mode=700"); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{dir, w.home(), w.path("src")} {
		if err := os.Chown(folder, user, user); err != nil {
			t.Fatal(err)
		}
	}
	w.writeLines()
	for end := time.Now().Add(*length); time.Now().Before(end) && !t.Failed(); {
		w.life()
	}
	w.last()
	t.Logf("seed %d: %d supervisors, %d of them ended by a limit; %d runs; acts: %v", *seed, w.lives, w.lost, w.runs, w.counts)
}

// life is that of one supervisor.
func (w *world) life() {
	calm := w.lives%8 == 7 // long enough for something to grow, and nobody kills it
	length := time.Duration(500+w.rnd.IntN(3500)) * time.Millisecond
	if calm {
		length = 12 * time.Second
	}
	w.start()
	for end := time.Now().Add(length); time.Now().Before(end) && !w.sup.over() && !w.t.Failed(); {
		w.act()
		w.look()
	}
	switch {
	case w.sup.over():
		w.judgeOwnEnd()
	case !calm && w.rnd.IntN(2) == 0:
		w.note("KILL the supervisor")
		w.sup.killed = true
		_ = w.sup.cmd.Process.Kill()
		<-w.sup.done
	default:
		w.stop()
	}
	w.checkGrowth()
	w.checkEvents()
}

// last starts a supervisor in a world that is quiet again: it runs, and leaves
// nothing.
func (w *world) last() {
	if w.t.Failed() {
		return
	}
	w.write("lines", "wait\n")
	w.start()
	w.wait("the last bot to be up", func() bool { return w.sup.over() || w.state() == "up" })
	w.stop()
	w.checkEvents()
}

// stop ends the supervisor as a person would. Nothing may be left.
func (w *world) stop() {
	switch w.rnd.IntN(3) {
	case 0:
		w.note("stop --wait")
		if code, out := w.tool("stop", "--wait"); code != 0 && !(code == 1 && w.sup.over()) {
			w.fail("stop: exit code %d: %s", code, out)
		}
	case 1:
		w.note("TERM")
		_ = w.sup.cmd.Process.Signal(syscall.SIGTERM)
	case 2:
		w.note("INT, and again")
		_ = w.sup.cmd.Process.Signal(os.Interrupt)
		w.pause(50)
		_ = w.sup.cmd.Process.Signal(os.Interrupt)
	}
	w.wait("the supervisor to end", w.sup.over)
	if code := clitest.CodeOf(w.sup.cmd.ProcessState); code != 0 && !w.sup.mayEndWith(code) {
		w.fail("stopped, the supervisor ended with %d", code)
	}
	w.nobody()
}

// judgeOwnEnd: the bot may have asked for it by its code, a lock that somebody
// else had at the first start may have caused it, or a limit. After all but a
// crash for want of threads nothing may be left.
func (w *world) judgeOwnEnd() {
	code := clitest.CodeOf(w.sup.cmd.ProcessState)
	w.note("the supervisor ended with " + strconv.Itoa(code))
	if !w.sup.mayEndWith(code) {
		w.fail("the supervisor ended by itself with %d", code)
	}
	if code == 2 {
		w.lost++
		return
	}
	w.nobody()
}

// mayEndWith: 0 and 78 are codes of the bot.
func (s *supervisor) mayEndWith(code int) bool {
	switch code {
	case 0, 78:
		return true
	case 75:
		return s.rivalled
	case 2, 71, 73, 74, 126, 127:
		return s.limited
	}
	return false
}

// writeLines makes up what the bot does at each start.
func (w *world) writeLines() {
	var text string
	for range 200 {
		ms := func(n int) string { return fmt.Sprintf("%dms", w.rnd.IntN(n)) }
		beat := fmt.Sprintf("beat %s %d 50ms", w.path("pulse"), 1+w.rnd.IntN(20))
		text += []string{
			"wait", "ignore TERM wait", "ignore TERM wait", "ignore TERM leave setsid,stubborn " + w.path("d0") + " wait", "on TERM 0 wait", "on TERM 42 wait", "on TERM 3 wait",
			"after " + ms(400) + " exit 1", "exit 1", "cry bye exit 3", "after " + ms(400) + " exit 42", "exit 42", "exit 42",
			"after " + ms(900) + " exit 0", "after " + ms(900) + " exit 78",
			beat + " wait", beat + " exit 1", "ignore TERM " + beat + " wait",
			"leave setsid,stubborn " + w.path("d1") + " wait", "leave group " + w.path("d2") + " exit 1",
			"ignore TERM leave daemon,stubborn,stdout " + w.path("d3") + " after " + ms(300) + " exit 42",
			"leave daemon,wiped " + w.path("d4") + " wait", "setsid 10m wiped 10m group 10m after " + ms(300) + " exit 1",
			"marker " + w.path("home/run/ductor/ctl/restart-requested") + " wait",
			"marker " + w.path("home/restart-requested") + " after " + ms(100) + " exit 42",
			"spew 300000 wait", "count 2000 cry words exit 1", "closeall wait",
		}[w.rnd.IntN(28)] + "\n"
	}
	w.write("lines", text)
}
