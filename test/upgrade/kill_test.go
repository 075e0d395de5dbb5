//go:build linux

package upgrade

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ductor/internal/common/clitest"
	"ductor/test/pyindex"
)

var (
	kills = flag.Int("kills", 200, "how often an upgrade is killed; in short mode a tenth of it")
	seed  = flag.Uint64("seed", 0, "of when; 0 is a new one")
)

// TestKilled kills an upgrade at random moments: every second time with all that
// it has started, as a power cut does, and otherwise it alone, so that pip goes
// on. Whatever is left, the next run ends with a version that works together
// with its dependency.
func TestKilled(t *testing.T) {
	clitest.Need(t, "namespaces")
	if testing.Short() {
		*kills /= 10
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	rnd := rand.New(rand.NewPCG(*seed, 0))
	t.Logf("seed %d", *seed)
	together := func(dep string) string {
		return "import dep\nif dep.__version__ != '" + dep + "': raise RuntimeError('dep is ' + dep.__version__)"
	}
	w := newWorld(t,
		pyindex.Release{Version: "1.0", Deps: []string{"dep==1.0"}, Init: together("1.0")}, pyindex.Release{Version: "1.1", Deps: []string{"dep==2.0"}, Init: together("2.0")},
		pyindex.Release{Pkg: "dep", Version: "1.0"}, pyindex.Release{Pkg: "dep", Version: "2.0"})
	whole := w.wholeRun()
	found := map[string]int{}
	for i := range *kills {
		from := w.works()
		target := map[string]string{"1.0": "1.1", "1.1": "1.0"}[from]
		after, inChange := time.Duration(rnd.Int64N(int64(whole))), i%4 > 0
		if inChange {
			after = after * 2 / 3
		}
		found[w.kill(after, inChange, i%2 == 0, "upgrade", "--to", target)]++
		next := []string{"rollback", "--if-pending"}
		if rnd.IntN(3) == 0 {
			next = []string{"upgrade", "--to", target}
		}
		r, code, words := w.ductor(next...)
		if code != 0 && !(code == 1 && next[0] == "rollback") {
			t.Fatalf("seed %d, kill %d after %s: %q: exit code %d\n%s", *seed, i, after, next, code, words)
		}
		now := w.works()
		if r.Status != "" && r.New != now {
			t.Fatalf("seed %d, kill %d: it says %+v, and %s is there\n%s", *seed, i, r, now, words)
		}
		w.tidy()
		w.ductor("rollback", "--if-pending") // of the probations, some come to an end
	}
	t.Logf("what a kill found: %v", found)
	if found["changing"] == 0 {
		t.Error("no kill came while files changed: that tests little")
	}
}

// wholeRun is how long an upgrade takes; it leaves 1.0.
func (w *world) wholeRun() time.Duration {
	w.t.Helper()
	began := time.Now()
	if _, code, words := w.ductor("upgrade", "--to", "1.1"); code != 0 {
		w.t.Fatal(words)
	}
	took := time.Since(began)
	if r, code, words := w.ductor("rollback"); code != 0 || r.New != "1.0" {
		w.t.Fatal(words)
	}
	return took
}

// kill lets the program run for a time, and returns the phase in which it was
// then.
func (w *world) kill(after time.Duration, inChange, all bool, args ...string) string {
	w.t.Helper()
	argv := append([]string{w.update}, args...)
	if all { // what is the first process of a namespace takes the others with it
		argv = append([]string{"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"}, argv...)
	}
	cmd := w.command(argv...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	if inChange { // as soon as it may change files
		for w.phase() != "changing" && w.running() {
			time.Sleep(time.Millisecond)
		}
	}
	time.Sleep(after) // a random moment: not a wait for anything
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if all { // the namespace dies a moment after its unshare
		for deadline := time.Now().Add(clitest.Patience); w.running(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				w.t.Fatal("what was killed goes on")
			}
		}
	}
	return w.phase()
}

func (w *world) phase() string {
	var journal struct{ Phase string }
	_ = json.Unmarshal(w.state()["journal"], &journal)
	return journal.Phase
}

// running looks for processes of this world.
func (w *world) running() bool {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		if env, err := os.ReadFile(f); err == nil && strings.Contains(string(env), "DUCTOR_HOME="+w.dir+"/home\x00") {
			return true
		}
	}
	return false
}

// works asks the bot, which asks its dependency, and the disk.
func (w *world) works() string {
	w.t.Helper()
	out := strings.TrimSpace(w.must(w.venv+"/bin/ductor", "--version"))
	version := strings.TrimPrefix(out, "ductor ")
	found, _ := filepath.Glob(filepath.Join(w.venv, "lib/python3*/site-packages/ductor-*.dist-info"))
	if len(found) != 1 || filepath.Base(found[0]) != "ductor-"+version+".dist-info" {
		w.t.Fatalf("the bot is %q, the disk has %q", version, found)
	}
	return version
}

// tidy: no journal, and one copy if there is a probation.
func (w *world) tidy() {
	w.t.Helper()
	st := w.state()
	copies, _ := filepath.Glob(filepath.Join(w.venv, ".ductor-update-*"))
	odd, _ := filepath.Glob(filepath.Join(w.venv, "lib/python3*/site-packages/*.ductor-undone"))
	want := 0
	if st["probation"] != nil {
		want = 1
	}
	if st["journal"] != nil || len(copies) != want || len(odd) > 0 || w.running() {
		w.t.Fatalf("left: %s, %q, %q, processes: %v", st["journal"], copies, odd, w.running())
	}
	if temp, _ := filepath.Glob(filepath.Join(w.dir, "ductor-update-*")); len(temp) > 40 {
		w.t.Fatalf("left: %q", temp)
	}
}
