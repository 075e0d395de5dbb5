package marked

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

func TestMain(m *testing.M) { clitest.Main(m) }

func needLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("containers are Linux's")
	}
}

// helper makes us the process that does the work, as in a container: Main is
// never run by the one whose children it ends.
const helper = "DUCTOR_TEST_MARKED"

func init() {
	if os.Getenv(helper) != "" {
		for len(os.Args) > 1 && os.Args[1] == "idle" {
			time.Sleep(time.Hour)
		}
		os.Exit(Main(os.Args[1:], os.Stdout))
	}
}

// way is one of the two implementations, with the same words.
type way struct {
	name string
	argv func(t *testing.T, args ...string) []string
}

func ways() []way {
	shell := func(interpreter string) func(*testing.T, ...string) []string {
		return func(t *testing.T, args ...string) []string {
			if _, err := exec.LookPath(interpreter); err != nil {
				clitest.Lacking(t, interpreter, "apt-get install "+interpreter)
			}
			argv, err := Sh(args...)
			if err != nil {
				t.Fatal(err)
			}
			for i, word := range argv {
				argv[i] = strings.ReplaceAll(word, "/bin/sh", interpreter)
			}
			return argv
		}
	}
	return []way{
		{"main", func(_ *testing.T, args ...string) []string { return append([]string{os.Args[0]}, args...) }},
		{"dash", shell("dash")},
		{"bash", shell("bash")},
	}
}

// do runs a way and reads its answer.
func (w way) do(t *testing.T, code int, into any, args ...string) {
	t.Helper()
	argv := w.argv(t, args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), helper+"=1")
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("%q: exit code %d, not %d: %s", args, got, code, out)
	}
	if err := Parse(out, into); err != nil {
		t.Fatal(err)
	}
}

func eachWay(t *testing.T, f func(t *testing.T, w way)) {
	needLinux(t)
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) { f(t, w) })
	}
}

var program string

func fakecli(t *testing.T) string {
	t.Helper()
	if program != "" {
		return program
	}
	dir, err := clitest.Folder()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "fakecli")
	cmd := exec.Command("go", "build", "-o", path, "./test/fakecli")
	cmd.Dir, cmd.Env = clitest.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program = path
	return path
}

// run is a marked process of ours, and what it starts.
type run struct {
	id  string
	cmd *exec.Cmd
}

// start runs fakecli under a mark of its own. Whatever happens, nobody of the
// run outlives the test.
func start(t *testing.T, verb ...string) run {
	t.Helper()
	r := run{rand.Text(), exec.Command(fakecli(t), verb...)}
	r.cmd.Env = append(os.Environ(), Env+"="+r.id)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reaped := make(chan struct{})
	go func() {
		_ = r.cmd.Wait()
		close(reaped)
	}()
	t.Cleanup(func() {
		_, _, _ = Kill("/proc", r.id, syscall.SIGKILL, 0)
		<-reaped
		if pids := r.pids(t); len(pids) > 0 {
			t.Errorf("processes %d outlived the test", pids)
		}
	})
	return r
}

func (r run) pids(t *testing.T) []int {
	t.Helper()
	runs, err := List("/proc")
	if err != nil {
		t.Fatal(err)
	}
	return runs[r.id]
}

// appears waits for what a verb writes and decodes it.
func appears[T any](t *testing.T, path string) (v T) {
	t.Helper()
	var data []byte
	clitest.Wait(t, path, func() bool {
		var err error
		data, err = os.ReadFile(path)
		return err == nil
	})
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return v
}

type family struct{ Main, Child, Grandchild int }

func (f family) living() (n int) {
	for _, pid := range []int{f.Main, f.Child, f.Grandchild} {
		if pid != 0 && clitest.Running(pid) {
			n++
		}
	}
	return n
}

func tree(t *testing.T) (run, family) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tree")
	r := start(t, "tree", file)
	return r, appears[family](t, file)
}

func TestList(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		one, f := tree(t)
		two := start(t, "sleep")
		clitest.Wait(t, "the second run", func() bool { return len(two.pids(t)) == 1 })
		var got Runs
		w.do(t, 0, &got, "list")
		want := []int{f.Main, f.Child, f.Grandchild}
		slices.Sort(want)
		mine := got.Runs[one.id]
		slices.Sort(mine)
		if !slices.Equal(mine, want) || !slices.Equal(got.Runs[two.id], []int{two.cmd.Process.Pid}) {
			t.Errorf("got %v, not %d and %d", got, want, two.cmd.Process.Pid)
		}
	})
}

// TestKillTree: what ignores TERM and left for a session of its own ends too;
// a neighbour does not notice.
func TestKillTree(t *testing.T) {
	for _, grace := range []string{"0s", "50ms"} {
		eachWay(t, func(t *testing.T, w way) {
			r, f := tree(t)
			_, neighbour := tree(t)
			var got Result
			w.do(t, 0, &got, "kill", r.id, "TERM", grace)
			if got != (Result{3, 0}) || f.living() != 0 || neighbour.living() != 3 {
				t.Errorf("%+v, %d live, %d of the neighbour", got, f.living(), neighbour.living())
			}
		})
	}
}

// TestGrace: who ends when asked is not killed, and is asked once; it is not
// waited for longer than it takes.
func TestGrace(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		dir := t.TempDir()
		r := start(t, "sleep")
		deaf := start(t, "sigs", filepath.Join(dir, "sigs"))
		clitest.Wait(t, "both run", func() bool {
			text, _ := os.ReadFile(filepath.Join(dir, "sigs"))
			return len(r.pids(t)) == 1 && len(text) > 0
		})
		var got Result
		before := time.Now()
		w.do(t, 0, &got, "kill", r.id, "SIGTERM", "1h")
		if got != (Result{1, 0}) || time.Since(before) > clitest.Patience {
			t.Errorf("%+v after %v", got, time.Since(before))
		}
		w.do(t, 0, &got, "kill", deaf.id, "INT", "200ms")
		text, _ := os.ReadFile(filepath.Join(dir, "sigs"))
		if got != (Result{1, 0}) || strings.Count(string(text), "SIGINT\n") != 1 {
			t.Errorf("%+v: %s", got, text)
		}
	})
}

// TestStopped: a stopped process gets to see its TERM.
func TestStopped(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		file := filepath.Join(t.TempDir(), "sigs")
		r := start(t, "sigs", file)
		clitest.Wait(t, "it is ready", func() bool { text, _ := os.ReadFile(file); return len(text) > 0 })
		if err := clitest.Send(r.cmd.Process.Pid, syscall.Signal(19)); err != nil { // SIGSTOP on Linux
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			clitest.Wait(t, "TERM arrives", func() bool { text, _ := os.ReadFile(file); return bytes.Contains(text, []byte("SIGTERM\n")) })
			_ = r.cmd.Process.Kill()
		}()
		var got Result
		w.do(t, 0, &got, "kill", r.id, "TERM", "1h")
		<-done
		if got != (Result{1, 0}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestFountain: one that starts children faster than a scan takes.
func TestFountain(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		file := filepath.Join(t.TempDir(), "pid")
		r := start(t, "fountain", file)
		appears[int](t, file)
		var got Result
		w.do(t, 0, &got, "kill", r.id, "TERM", "20ms")
		if pids := r.pids(t); got.Left != 0 || got.Killed < 1 || len(pids) > 0 {
			t.Errorf("%+v, and %d live", got, pids)
		}
	})
}

// TestHydra: a chain in which nobody lives longer than it takes to start the
// next. Script does not promise this.
func TestHydra(t *testing.T) {
	needLinux(t)
	file := filepath.Join(t.TempDir(), "there")
	r := start(t, "hydra", file)
	clitest.Wait(t, "it lives", func() bool { _, err := os.Stat(file); return err == nil })
	var got Result
	ways()[0].do(t, 0, &got, "kill", r.id, "TERM", "20ms")
	if pids := r.pids(t); got.Left != 0 || got.Killed < 1 || len(pids) > 0 {
		t.Errorf("%+v, and %d live", got, pids)
	}
}

// TestWiped: a child without the mark is ended with its parent, by Main.
func TestWiped(t *testing.T) {
	needLinux(t)
	file := filepath.Join(t.TempDir(), "family")
	r := start(t, "wiped", file)
	f := appears[family](t, file)
	t.Cleanup(func() { _ = clitest.Send(f.Child, os.Kill) })
	var got Result
	ways()[0].do(t, 0, &got, "kill", r.id, "TERM", "50ms")
	if got != (Result{2, 0}) || f.living() != 0 {
		t.Errorf("%+v, %d live", got, f.living())
	}
}

// TestHeadless: /proc calls it a zombie, and it runs. By Main.
func TestHeadless(t *testing.T) {
	needLinux(t)
	file := filepath.Join(t.TempDir(), "pid")
	r := start(t, "headless", file)
	if pid := appears[int](t, file); !slices.Equal(r.pids(t), []int{pid}) {
		t.Errorf("found %d, not %d", r.pids(t), pid)
	}
	var got Result
	ways()[0].do(t, 0, &got, "kill", r.id, "KILL", "0s")
	if got != (Result{1, 0}) {
		t.Errorf("%+v", got)
	}
}

// TestNobody: a run that is over is no failure.
func TestNobody(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		var got Result
		w.do(t, 0, &got, "kill", rand.Text(), "TERM", "1h")
		if got != (Result{}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestNotItself: whoever does the work may bear the mark that it looks for.
func TestNotItself(t *testing.T) {
	t.Setenv(Env, "ductor-test-"+rand.Text())
	eachWay(t, func(t *testing.T, w way) {
		var got Result
		var runs Runs
		w.do(t, 0, &runs, "list")
		if pids := runs.Runs[os.Getenv(Env)]; len(pids) > 0 {
			t.Errorf("found %d", pids)
		}
		w.do(t, 0, &got, "kill", os.Getenv(Env), "TERM", "0s")
		if got != (Result{}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestForeignMarks: an ID that cannot be ours is nobody's, and is not printed.
func TestForeignMarks(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		foreign := []string{"", "-x", "a b", "x\n" + Env + "=y", `"],"z":["`, "é"}
		for _, id := range foreign {
			cmd := exec.Command(fakecli(t), "sleep")
			cmd.Env = []string{Env + "=" + id, "OTHER=\n" + Env + "=z", "X" + Env + "=w"}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			env := filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "environ")
			clitest.Wait(t, "it runs", func() bool { data, _ := os.ReadFile(env); return bytes.Contains(data, []byte("OTHER=")) })
		}
		var got Runs
		w.do(t, 0, &got, "list")
		for _, id := range append(foreign, "x", "y", "z", "w") {
			if pids, found := got.Runs[id]; found {
				t.Errorf("%q is run %d", id, pids)
			}
		}
	})
}

func TestMisuse(t *testing.T) {
	for _, args := range [][]string{
		nil, {"lists"}, {"list", "x"}, {"kill"}, {"kill", "x", "TERM"}, {"kill", "", "TERM", "1s"}, {"kill", "a b", "TERM", "1s"},
		{"kill", "-x", "TERM", "1s"}, {"kill", "x\ny", "TERM", "1s"}, {"kill", strings.Repeat("x", 65), "TERM", "1s"},
		{"kill", "x", "STOP", "1s"}, {"kill", "x", "15", "1s"}, {"kill", "x", "", "1s"}, {"kill", "x", "TERM", "5"}, {"kill", "x", "TERM", "-1s"},
	} {
		var out bytes.Buffer
		if code := Main(args, &out); code != exitcode.Usage || Parse(out.Bytes(), &Runs{}) == nil {
			t.Errorf("%q: exit code %d: %s", args, code, &out)
		}
		if argv, err := Sh(args...); exitcode.Of(err) != exitcode.Usage {
			t.Errorf("%q: %q, %v", args, argv, err)
		}
	}
	if _, _, err := Kill("/proc", "", syscall.SIGTERM, 0); err == nil {
		t.Error("no ID was taken for one")
	}
}

func TestSh(t *testing.T) {
	for grace, want := range map[string]string{"0s": "0", "1ms": "1", "5s": "5", "1m0.5s": "61"} {
		argv, err := Sh("kill", "x.Y-1_", "SIGHUP", grace)
		if err != nil || !slices.Equal(argv[6:], []string{"kill", "x.Y-1_", "HUP", want}) {
			t.Errorf("%s: %q, %v", grace, argv, err)
		}
	}
}

// TestScriptSaysWhatIsMissing: an image may have a shell and nothing else.
func TestScriptSaysWhatIsMissing(t *testing.T) {
	needLinux(t)
	argv, err := Sh("list")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=" + t.TempDir()}
	out, _ := cmd.Output()
	if err := Parse(out, &Runs{}); err == nil || !strings.Contains(err.Error(), "grep is not in the container") || cmd.ProcessState.ExitCode() != exitcode.OSErr {
		t.Errorf("%v, %v", err, cmd.ProcessState)
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"", "sh: not found", `{"error":"x\u001b"}`, "[]", `{"killed":"x"}`} {
		if err := Parse([]byte(text), &Result{}); err == nil || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestNoProc: without a list of processes nobody can say that none is left.
func TestNoProc(t *testing.T) {
	needLinux(t)
	if _, err := List(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := Kill(filepath.Join(t.TempDir(), "none"), "x", syscall.SIGTERM, 0); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func ExampleMain() {
	fmt.Println(Main([]string{"kill", "", "TERM", "5s"}, os.Stdout))
	// Output:
	// {"error":"run ID \"\": it is no name of letters, digits, dot, dash and underscore"}
	// 64
}
