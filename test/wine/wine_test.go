// Package wine_test runs the Windows programs and their tests, under wine.
package wine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

// TestWindows cross-builds the programs and every test that compiles for
// Windows, and runs those under wine. Each of their tests is a subtest here.
func TestWindows(t *testing.T) {
	clitest.Need(t, "wine")
	if runtime.GOOS != "linux" {
		t.Skip("wine is used on Linux alone")
	}
	l := newLab(t)
	for name, reason := range cannot {
		if !strings.Contains(name, ":") {
			t.Run(name, func(t *testing.T) { t.Skip(reason) })
		}
	}
	t.Run("Task Scheduler", l.taskScheduler)
	for _, pkg := range l.packages() {
		t.Run(strings.TrimPrefix(pkg, "ductor/"), func(t *testing.T) { l.run(t, pkg) })
	}
}

// lab has the programs, and a prefix of its own.
type lab struct {
	t     *testing.T
	bin   string // programs
	tests string // test binaries, named as the path of their package
	env   []string
}

func newLab(t *testing.T) *lab {
	dir := t.TempDir()
	l := &lab{t: t, bin: filepath.Join(dir, "bin"), tests: filepath.Join(dir, "tests")}
	prefix := filepath.Join(dir, "prefix")
	l.env = append(os.Environ(), "WINEPREFIX="+prefix, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree=;mshtml=",
		"DISPLAY=", "DUCTOR_TEST_BIN=Z:"+strings.ReplaceAll(l.bin, "/", `\`), "DUCTOR_TEST_REQUIRE=", "DUCTOR_TEST_SKIPPED=")
	l.build()
	// Last of all, and before the folder goes: what is left ends with its server.
	t.Cleanup(func() {
		_ = l.command("/", "wineserver", "-k").Run()
		_ = l.command("/", "wineserver", "-w").Run()
	})
	l.must(l.command("/", "wineboot", "-i"))
	l.must(l.command("testdata", "x86_64-w64-mingw32-gcc", "-shared", "-O2", "-s", "-o",
		filepath.Join(prefix, "drive_c", "windows", "system32", "bcryptprimitives.dll"), "bcryptprimitives.c", "-ladvapi32"))
	return l
}

func (l *lab) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, l.env
	return cmd
}

func (l *lab) must(cmd *exec.Cmd) string {
	l.t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// goTool runs the go command for Windows. Under test is the real thing but for
// one function, see testdata/console_windows.go.
func (l *lab) goTool(args ...string) string {
	l.t.Helper()
	cmd := l.command(clitest.Root(), "go", args...)
	cmd.Env = append(cmd.Env, "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	return l.must(cmd)
}

func (l *lab) build() {
	l.t.Helper()
	overlay := l.overlay()
	l.goTool("build", "-overlay", overlay, "-o", l.bin+"/", "./cmd/...", "./test/fakebot", "./examples/...")
	for _, name := range []string{"ductor-supervise", "ductor-service"} {
		l.goTool("build", "-overlay", overlay, "-ldflags", "-H=windowsgui", "-o", filepath.Join(l.bin, name+"w.exe"), "./cmd/"+name)
	}
	for _, name := range []string{"true", "echo"} {
		if err := os.Link(filepath.Join(l.bin, "fakebot.exe"), filepath.Join(l.bin, name+".exe")); err != nil {
			l.t.Fatal(err)
		}
	}
	for _, pkg := range l.packages() {
		// For the windows subsystem, because only what has no console at its start
		// gets one that works without a terminal: see clitest.Main.
		l.goTool("test", "-c", "-overlay", overlay, "-ldflags", "-H=windowsgui", "-o", l.binary(pkg), pkg)
	}
}

// replaced is what this wine lacks in Go's own library: the way of removing by
// which RemoveAll would fail, for which Go has another on old versions of
// Windows. That one leaves files which somebody still has open for a moment, so
// the folder of a test may stay, and that is no failure.
var replaced = map[string][2]string{
	"internal/syscall/windows/at_windows.go": {"var TestDeleteatFallback bool", "var TestDeleteatFallback = true"},
	"testing/testing.go":                     {`c.Errorf("TempDir RemoveAll cleanup: %v", err)`, `c.Logf("TempDir RemoveAll cleanup: %v", err)`},
}

// overlay has the go command compile the replaced, and a stand-in that sends
// CTRL_BREAK, in place of the real files.
func (l *lab) overlay() string {
	l.t.Helper()
	dir := l.t.TempDir()
	stand, err := filepath.Abs(filepath.Join("testdata", "console_windows.go"))
	files := map[string]string{filepath.Join(clitest.Root(), "internal", "common", "job", "console_windows.go"): stand}
	root := filepath.Join(strings.TrimSpace(l.goTool("env", "GOROOT")), "src")
	for name, change := range replaced {
		source, rerr := os.ReadFile(filepath.Join(root, name))
		if !strings.Contains(string(source), change[0]) {
			l.t.Fatalf("%s has no %q (%v)", name, change[0], rerr)
		}
		copied := filepath.Join(dir, filepath.Base(name))
		files[filepath.Join(root, name)] = copied
		err = errors.Join(err, os.WriteFile(copied, []byte(strings.Replace(string(source), change[0], change[1], 1)), 0o600))
	}
	data, _ := json.Marshal(map[string]map[string]string{"Replace": files})
	path := filepath.Join(dir, "overlay.json")
	if err := errors.Join(err, os.WriteFile(path, data, 0o600)); err != nil {
		l.t.Fatal(err)
	}
	return path
}

func (l *lab) binary(pkg string) string {
	return filepath.Join(l.tests, strings.ReplaceAll(pkg, "/", "-")+".exe")
}

// packages lists those that have tests for Windows.
func (l *lab) packages() (pkgs []string) {
	l.t.Helper()
	for _, line := range strings.Fields(l.goTool("list", "-f", "{{if .TestGoFiles}}{{.ImportPath}}{{end}}", "./cmd/...", "./internal/...")) {
		if _, no := cannot[strings.TrimPrefix(line, "ductor/")]; !no {
			pkgs = append(pkgs, line)
		}
	}
	return pkgs
}

// limit is how long the tests of one package may take.
const limit = 3 * time.Minute

// verdict is how the testing package tells of a test, or of a part of one.
var verdict = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+) `)

// run runs the tests of a package, and reports each. What fails is run once more:
// beside other tests wine takes seconds for what Windows does in milliseconds,
// and fails by itself at times. What fails twice is ours.
func (l *lab) run(t *testing.T, pkg string) {
	short := strings.TrimPrefix(pkg, "ductor/")
	out, err := l.try(t, pkg, short)
	if err != nil {
		t.Logf("once more, wine's own words about it: %q; it failed with %v\n%s", wineItself.Find(out), err, failures(out))
		out, err = l.try(t, pkg, short)
	}
	for _, v := range verdicts(string(out)) {
		t.Run(v.name, func(t *testing.T) {
			switch v.word {
			case "SKIP":
				t.Skip(v.text)
			case "FAIL":
				t.Error(v.text)
			}
		})
	}
	if err != nil { // what was said stands before the verdicts
		t.Errorf("%v\n%s", err, out)
	}
	for name, reason := range cannot {
		if test, ok := strings.CutPrefix(name, short+":"); ok {
			t.Run(test, func(t *testing.T) { t.Skip(reason) })
		}
	}
}

// wineItself is what wine says when it cannot start a process on a busy machine,
// or has lost its server: nothing that a program of ours has done.
var wineItself = regexp.MustCompile(`(?:fork/exec|execute) [^\n]*: Internal error\.|wine client error:[^\n]*: Connection reset by peer`)

func (l *lab) try(t *testing.T, pkg, short string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "wine", l.binary(pkg), "-test.v", "-test.short", "-test.timeout="+limit.String(), "-test.skip="+skipped(short))
	cmd.Dir, cmd.Env = filepath.Join(clitest.Root(), short), l.env
	// Not a pipe: wine's services would keep it open.
	f, err := os.Create(l.binary(pkg) + ".out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	err = cmd.Run()
	out, _ := os.ReadFile(f.Name())
	return out, err
}

// failures are what a reader of the log wants to know of the first time.
func failures(out []byte) string {
	var all []string
	for _, v := range verdicts(string(out)) {
		if v.word == "FAIL" {
			all = append(all, v.name+"\n"+v.text)
		}
	}
	return strings.Join(all, "\n")
}

type told struct{ word, name, text string }

// verdicts reads the output of -test.v: a verdict, and what was said of it below.
func verdicts(out string) (all []told) {
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		line := strings.TrimRight(lines.Text(), "\r")
		if m := verdict.FindStringSubmatch(line); m != nil {
			all = append(all, told{word: m[1], name: m[2]})
		} else if len(all) > 0 && strings.HasPrefix(line, " ") {
			all[len(all)-1].text += line + "\n"
		}
	}
	return all
}

// skipped is a pattern for -test.skip of what wine cannot do in a package.
func skipped(short string) string {
	var names []string
	for name := range cannot {
		if test, ok := strings.CutPrefix(name, short+":"); ok {
			var parts []string
			for part := range strings.SplitSeq(test, "/") {
				parts = append(parts, "^"+regexp.QuoteMeta(part)+"$")
			}
			names = append(names, strings.Join(parts, "/"))
		}
	}
	if len(names) == 0 {
		return "^$"
	}
	return strings.Join(names, "|")
}
