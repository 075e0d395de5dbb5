//go:build unix

package pages_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

// example is a literal block of a page with the directives in front of it, one
// a comment line:
//
//	.\" test: exit N       run the block by sh; it exits with N (in Markdown: <!-- test: exit N -->)
//	.\" test: given SHELL  run that first; what it leaves running is ended with the page's test
//	.\" test: then SHELL   run that afterwards; it must succeed
//	.\" test: out REGEXP   a line of the block's standard output matches; repeatable
//	.\" test: need PART    as clitest.Need
//	.\" test: cron         the block is a line of a crontab: leave out its first five words
//	.\" test: file NAME    do not run the block: it is the content of an executable file
//	.\" test: json PAGE    do not run the block: it is JSON
//	.\" test: machine      do not run the block here: test/systemd does, on a machine of its own
//	.\" test: unit         do not run the block: it is a systemd unit for ductor-supervise
//
// All examples of a page share one folder, which is HOME and where they run, so
// that one can go on where another ended.
type example struct {
	line       int
	directives []directive
	text       string
}

type directive struct{ verb, arg string }

// format is how a kind of text marks examples.
type format struct {
	directive  *regexp.Regexp
	start, end string
	unescape   *strings.Replacer
}

var (
	mdoc = format{regexp.MustCompile(`^\.\\" test: (\w+) ?(.*)$`), ".Bd -literal", ".Ed",
		strings.NewReplacer(`\&`, "", `\e`, `\`)}
	markdown = format{regexp.MustCompile(`^<!-- test: (\w+) ?(.*) -->$`), "```sh", "```", strings.NewReplacer()}
)

func (f format) examples(t *testing.T, p page) (found []example) {
	t.Helper()
	var at *example
	var directives []directive
	for i, l := range p.lines {
		m := f.directive.FindStringSubmatch(l)
		switch {
		case at != nil && l == f.end:
			found, at = append(found, *at), nil
		case at != nil:
			at.text += f.unescape.Replace(l) + "\n"
		case m != nil:
			directives = append(directives, directive{m[1], m[2]})
		case strings.HasPrefix(l, f.start):
			at, directives = &example{line: i + 1, directives: directives}, nil
		case directives != nil:
			t.Errorf("%s: the directives before line %d belong to no block", p.name, i+1)
			directives = nil
		}
	}
	if at != nil || directives != nil {
		t.Errorf("%s ends in an example", p.name)
	}
	return found
}

func TestExamples(t *testing.T) {
	for _, path := range glob(t, "man/*.[1-8]") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			runExamples(t, mdoc.examples(t, readPage(t, filepath.Base(path)).section(t, "EXAMPLES")))
		})
	}
	t.Run("README.md", func(t *testing.T) {
		data, err := os.ReadFile(filepath.Join(clitest.Root(), "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		runExamples(t, markdown.examples(t, page{"README.md", strings.Split(string(data), "\n")}))
	})
}

func runExamples(t *testing.T, examples []example) {
	if len(examples) == 0 {
		t.Fatal("no examples")
	}
	box := newSandbox(t)
	for _, e := range examples {
		t.Run("line"+strconv.Itoa(e.line), func(t *testing.T) { e.check(t, box) })
	}
}

func (e example) check(t *testing.T, box *sandbox) {
	if slices.ContainsFunc(e.directives, func(d directive) bool { return d.verb == "machine" }) {
		t.Skip("run by TestService")
	}
	script, want, checked := e.text, -1, false
	var outs, thens []string
	for _, d := range e.directives {
		switch d.verb {
		case "exit":
			want, _ = strconv.Atoi(d.arg)
		case "given":
			if out, code := box.sh(t, d.arg); code != 0 {
				t.Fatalf("given: exit code %d\n%s", code, out)
			}
		case "then":
			thens = append(thens, d.arg)
		case "out":
			outs = append(outs, d.arg)
		case "need":
			clitest.Need(t, d.arg)
		case "cron":
			script = strings.Join(strings.Fields(script)[5:], " ")
		case "file":
			box.write(t, d.arg, e.text)
			checked = true
		case "json":
			if !json.Valid([]byte(e.text)) {
				t.Errorf("not JSON: %s", e.text)
			}
			checked = true
		case "unit":
			checkUnit(t, e.text)
			checked = true
		default:
			t.Errorf("unknown directive %q", d.verb)
		}
	}
	if checked == (want >= 0) {
		t.Fatalf("the example says neither how it is run nor what it is: %q", e.directives)
	}
	if checked {
		return
	}
	out, code := box.sh(t, script)
	if code != want {
		t.Errorf("exit code %d, not %d\n%s", code, want, out)
	}
	for _, re := range outs {
		if !regexp.MustCompile("(?m)" + re).MatchString(out) {
			t.Errorf("the output does not match %q:\n%s", re, out)
		}
	}
	for _, then := range thens {
		if out, code := box.sh(t, then); code != 0 {
			t.Errorf("then: exit code %d\n%s", code, out)
		}
	}
}

// checkUnit: the rules of ductor(7) for units.
func checkUnit(t *testing.T, unit string) {
	t.Helper()
	if !strings.Contains(unit, "\nRestartPreventExitStatus=64 78\n") {
		t.Error("the unit restarts what needs a human")
	}
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindStringSubmatch(unit)
	own := regexp.MustCompile(`\(([0-9]+s)\)`).FindStringSubmatch(helpFlags(help(t, "ductor-supervise", "run"))["stop-timeout"])
	if m == nil || own == nil {
		t.Fatalf("no TimeoutStopSec (%q) or no --stop-timeout (%q)", m, own)
	}
	unitTimeout, err1 := time.ParseDuration(m[1] + "s")
	stopTimeout, err2 := time.ParseDuration(own[1])
	if err1 != nil || err2 != nil || unitTimeout <= stopTimeout+5*time.Second {
		t.Errorf("TimeoutStopSec=%s is not above --stop-timeout %s and its margin", m[1], own[1])
	}
}

// sandbox is a folder with a home, in which the programs are on PATH.
type sandbox struct {
	dir, bin string
	// leader of the group that all scripts are in. It lives until the end, so
	// that the group's number cannot become another's before it is killed.
	leader *exec.Cmd
}

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	box := &sandbox{dir: t.TempDir(), bin: clitest.Bin(t), leader: exec.Command("cat")}
	if _, err := box.leader.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	box.leader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := box.leader.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.end(t) })
	return box
}

func (b *sandbox) home() string { return filepath.Join(b.dir, ".ductor") }

// end stops what runs on. A supervisor's bot is in no group of ours.
func (b *sandbox) end(t *testing.T) {
	names, _ := filepath.Glob(filepath.Join(b.home(), "run", "*"))
	for _, name := range names {
		b.sh(t, "ductor-supervise stop --wait --timeout 30s --name "+filepath.Base(name))
	}
	_ = syscall.Kill(-b.leader.Process.Pid, syscall.SIGKILL)
	_ = b.leader.Wait()
}

func (b *sandbox) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// command prepares a program of the sandbox. Its output goes to files: a pipe
// would keep Wait waiting for everything that was left in the background.
func (b *sandbox) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = b.dir
	cmd.Env = []string{"HOME=" + b.dir, "DUCTOR_HOME=" + b.home(), "NO_COLOR=1",
		"GORACE=" + os.Getenv("GORACE"),
		"PATH=" + b.bin + string(os.PathListSeparator) + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: b.leader.Process.Pid}
	return cmd
}

// sh runs a script and returns its standard output, followed by what it said
// on standard error if it failed.
func (b *sandbox) sh(t *testing.T, script string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clitest.Patience)
	defer cancel()
	cmd := b.command(ctx, "sh", "-c", script)
	stdout, stderr := tempFile(t), tempFile(t)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	words, errs := content(t, stdout), content(t, stderr)
	if code = cmd.ProcessState.ExitCode(); code != 0 {
		words += errs
	}
	return words, code
}

func tempFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.CreateTemp("", "ductor-pages-")
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(f.Name())
	return f
}

func content(t *testing.T, f *os.File) string {
	t.Helper()
	defer f.Close()
	var buf bytes.Buffer
	if _, err := f.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := buf.ReadFrom(f); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}
