// Package clitest sets up tests that run the real programs.
package clitest

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Patience is how long tests wait for a fact before they call it missing. It
// is no measure of anything: a loaded machine may need most of it.
const Patience = 60 * time.Second

// Root returns the folder of go.mod.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

var plain, raced = sync.OnceValues(func() (string, error) { return build() }),
	sync.OnceValues(func() (string, error) { return build("-race") })

// Bin builds all programs and the test helpers, and returns their folder.
// Under the race detector they have it too.
func Bin(tb testing.TB) string {
	if raceEnabled {
		return must(tb)(raced())
	}
	return PlainBin(tb)
}

// PlainBin is Bin without the race detector, for tests of many thousand starts.
func PlainBin(tb testing.TB) string { return must(tb)(plain()) }

func must(tb testing.TB) func(string, error) string {
	return func(dir string, err error) string {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return dir
	}
}

// build leaves its folder behind for the life of the test process; Main
// removes it.
func build(flags ...string) (string, error) {
	if dir := os.Getenv("DUCTOR_TEST_BIN"); dir != "" { // where there is no compiler
		return dir, nil
	}
	dir, err := Folder()
	if err != nil {
		return "", err
	}
	seeSources()
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, flags...)
	cmd := exec.Command("go", append(args, "./cmd/...", "./test/fakebot", "./examples/...")...)
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
}

// seeSources reads the folders of the sources, for go test's sake: it uses a
// cached result again unless a file changed that this process itself looked at,
// and what the compiler looks at does not count.
func seeSources() {
	for _, dir := range []string{"cmd", "internal", "test", "examples"} {
		_ = filepath.WalkDir(filepath.Join(Root(), dir), func(string, fs.DirEntry, error) error { return nil })
	}
}

var built []string

// Folder is a new one for the life of the test process, for what is dear to make
// and used by many tests. Main removes it.
func Folder() (string, error) {
	dir, err := os.MkdirTemp("", "ductor-test-")
	if err == nil {
		built = append(built, dir)
	}
	return dir, err
}

// quietRace: programs with the race detector would sleep for a second at each
// exit, for the sake of goroutines that race with the exit itself.
const quietRace = "atexit_sleep_ms=0"

// Main runs the tests of a package and removes what was built for them.
func Main(m *testing.M) {
	os.Setenv("GORACE", quietRace)
	openConsole()
	code := m.Run()
	for _, dir := range built {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// Scripts runs the testscripts of a folder, with these verbs besides the usual:
//
//	exits N CMD [ARG…]       run CMD; its exit code must be N
//	waitfor FILE [REGEXP]    wait until FILE is there (and matches)
//	waitgone FILE            wait until FILE is not there
//	signal SIG FILE          send SIG to the process whose PID FILE holds
//	waitdead FILE            wait until that process has ended
//	need PART                skip the script, visibly, without that part
//	spawn NAME [K=V…] CMD …  start CMD in the background; output in NAME.out and NAME.err, PID in NAME.pid
//	ended NAME N             wait for its end; its exit code, or 128+signal, must be N
//	type NAME [WORD…]        write a line to its standard input; without words close that
//	waitcount FILE REGEXP N  wait until FILE has N matches; more are a failure
//	[!] alive FILE           the process whose PID FILE holds runs
//	waitreaped FILE          that process is not even a zombie any more (Linux)
//	nobody [HOME]            nothing runs that a supervisor started (where the system lets us look)
//
// HOME and DUCTOR_HOME lie in the script's own folder.
func Scripts(t *testing.T, dir string) {
	bin := Bin(t)
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("DUCTOR_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("BIN", bin)
			env.Setenv("GORACE", quietRace)
			env.Setenv("NO_COLOR", "1")
			env.Values["t"] = env.T()
			setUpBackground(env)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "waitfor": waitfor, "waitgone": waitgone, "signal": sendSignal, "waitdead": waitdead, "need": need,
			"spawn": spawn, "ended": ended, "type": typeLine, "waitcount": waitcount, "alive": alive, "waitreaped": waitreaped, "nobody": nobody,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N CMD [ARG…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

func waitfor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: waitfor FILE [REGEXP]")
	}
	re := regexp.MustCompile("(?m)" + strings.Join(args[1:], ""))
	var data []byte
	poll(ts, func() bool {
		var err error
		data, err = os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && re.Match(data)
	}, "%s does not match %q: %q", args[0], re, &data)
}

func waitgone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitgone FILE")
	}
	poll(ts, func() bool {
		_, err := os.Lstat(ts.MkAbs(args[0]))
		return os.IsNotExist(err)
	}, "%s is still there", args[0])
}

func pidIn(ts *testscript.TestScript, file string) int {
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(file)))
	if err != nil || pid <= 1 {
		ts.Fatalf("%s holds no PID", file)
	}
	return pid
}

func waitdead(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitdead FILE")
	}
	pid := pidIn(ts, args[0])
	poll(ts, func() bool { return !Running(pid) }, "process %d lives", pid)
}

func poll(ts *testscript.TestScript, ok func() bool, format string, args ...any) {
	for deadline := time.Now().Add(Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			for i, a := range args {
				if p, is := a.(*[]byte); is {
					args[i] = string((*p)[max(0, len(*p)-3000):])
				}
			}
			ts.Fatalf(format, args...)
		}
	}
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: signal SIG FILE")
	}
	sig, ok := signals[strings.TrimPrefix(args[0], "SIG")]
	if !ok {
		ts.Fatalf("unknown signal %q", args[0])
	}
	ts.Check(Send(pidIn(ts, args[1]), sig))
}

func need(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: need PART")
	}
	Need(ts.Value("t").(T), args[0])
}

// T is what Need needs of a test.
type T interface {
	Skip(args ...any)
	Fatal(args ...any)
}

// part is something that not every machine has.
type part struct {
	there func() bool
	how   string
}

func program(name string) func() bool {
	return func() bool { _, err := exec.LookPath(name); return err == nil }
}

func works(name string, args ...string) func() bool {
	return func() bool { return exec.Command(name, args...).Run() == nil }
}

// windowsPrograms: wine runs them, and the compiler makes what this wine lacks.
func windowsPrograms() bool {
	return runtime.GOARCH == "amd64" && program("wine")() && program("x86_64-w64-mingw32-gcc")()
}

// withoutSystemd is the contrary of sd_booted(3). Where systemd runs, a test
// would touch the services of who runs it.
func withoutSystemd() bool {
	_, err := os.Lstat("/run/systemd/system")
	return os.IsNotExist(err)
}

var parts = map[string]part{
	"python3":         {program("python3"), "apt-get install python3"},
	"mandoc":          {program("mandoc"), "apt-get install mandoc"},
	"git":             {program("git"), "apt-get install git"},
	"rsync":           {program("rsync"), "apt-get install rsync"},
	"vim":             {program("vim.tiny"), "apt-get install vim-tiny"},
	"setpriv":         {works("setpriv", "--reuid=65534", "--clear-groups", "true"), "run as root, with util-linux"},
	"plistutil":       {program("plistutil"), "apt-get install libplist-utils"},
	"systemd-analyze": {program("systemd-analyze"), "apt-get install systemd"},
	"nosystemd":       {withoutSystemd, "a container in which systemd does not run"},
	"wine":            {windowsPrograms, "apt-get install --no-install-recommends wine wine64 gcc-mingw-w64-x86-64"},
	"docker":          {works("docker", "version"), "apt-get install docker.io, and a daemon that answers"},
	"namespaces":      {works("unshare", "--mount", "--pid", "--fork", "true"), "run as root on Linux, with util-linux"},
}

// Need skips a test on a machine without the part, and lets `make test` say so
// at its end. If DUCTOR_TEST_REQUIRE names the part (or is "all"), the test
// fails instead.
func Need(t T, name string) {
	p, known := parts[name]
	if !known {
		t.Fatal("unknown part " + name)
	}
	switch {
	case p.there():
	case name == "nosystemd": // a machine that has more than others is none that lacks something
		note(name + ": " + p.how)
		t.Skip("needs a machine without systemd")
	default:
		Lacking(t, name, p.how)
	}
}

// Lacking is Need for a test that found out itself what is missing.
func Lacking(t T, name, how string) {
	required := strings.Split(os.Getenv("DUCTOR_TEST_REQUIRE"), ",")
	if slices.Contains(required, name) || slices.Contains(required, "all") {
		t.Fatal("required part is missing: " + name + " (" + how + ")")
	}
	note(name + ": " + how)
	t.Skip("needs " + name + ": " + how)
}

// note adds a line to the file that `make test` prints at its end.
func note(line string) {
	path := os.Getenv("DUCTOR_TEST_SKIPPED")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}

// Wait polls until ok, or fails the test after Patience.
func Wait(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("waited in vain: %s", what)
		}
	}
}

var signals = map[string]os.Signal{"INT": os.Interrupt, "KILL": os.Kill, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}
