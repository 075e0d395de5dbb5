package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"ductor/cmd/ductor-supervise/internal/watch"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// parse parses as main does, by the grammar that main takes for these words.
func parse(t *testing.T, args ...string) (*runCmd, string, error) {
	t.Helper()
	t.Setenv("DUCTOR_HOME", t.TempDir())
	var out bytes.Buffer
	args = withVerb(args)
	g := grammarFor(args)
	k, err := cli.New(&cli.IO{Tool: "ductor-supervise", Out: &out, Err: &out, Getenv: os.Getenv}, description, g)
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := k.Parse(args)
	if err != nil {
		return nil, "", err
	}
	if own, ok := g.(*runGrammar); ok {
		return &own.Run, ctx.Command(), nil
	}
	return &g.(*grammar).Run, ctx.Command(), nil
}

// runCLI is the whole program, short of the process.
func runCLI(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(args, nil, &out, &errs)
	return code, out.String(), errs.String()
}

// verbs walks the grammar.
func verbs(n *kong.Node, path []string, f func(path []string, n *kong.Node)) {
	f(path, n)
	for _, child := range n.Children {
		verbs(child, append(slices.Clone(path), child.Name), f)
	}
}

func TestEveryHelpRenders(t *testing.T) {
	k, err := cli.New(&cli.IO{Tool: "ductor-supervise", Getenv: os.Getenv}, description, &grammar{})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	verbs(k.Model.Node, nil, func(path []string, n *kong.Node) {
		seen++
		code, out, errs := runCLI(t, append(slices.Clone(path), "--help")...)
		if code != 0 || errs != "" || !strings.HasPrefix(out, "Usage: ductor-supervise"+strings.TrimRight(" "+strings.Join(path, " "), " ")) {
			t.Errorf("%q: exit %d, stderr %q, stdout %.80q", path, code, errs, out)
		}
		if strings.Contains(out, "${") {
			t.Errorf("%q: a variable was not filled in:\n%s", path, out)
		}
		if n.Help == "" && len(path) > 0 {
			t.Errorf("%q has no help", path)
		}
		for _, f := range n.Flags {
			if f.Help == "" {
				t.Errorf("%q: --%s has no help", path, f.Name)
			}
			if !strings.Contains(out, "--"+f.Name) {
				t.Errorf("%q: the help does not have --%s", path, f.Name)
			}
		}
	})
	if seen < 12 {
		t.Errorf("only %d nodes", seen)
	}
}

func TestVersion(t *testing.T) {
	code, out, errs := runCLI(t, "--version")
	if code != 0 || errs != "" || !regexp.MustCompile(`^ductor-supervise \S+.*\n$`).MatchString(out) {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

// TestMisuseUnderLaunchd: it is hidden from a service manager that would try
// for ever.
func TestMisuseUnderLaunchd(t *testing.T) {
	t.Setenv("DUCTOR_HOME", t.TempDir())
	for _, tt := range []struct {
		service string
		code    int
		warned  bool
	}{{"launchd", 0, true}, {"", exitcode.Usage, false}, {"systemd", exitcode.Usage, false}} {
		t.Setenv("DUCTOR_SERVICE", tt.service)
		code, out, errs := runCLI(t, "--no-such-flag")
		if code != tt.code || out != "" || strings.Contains(errs, "becomes 0") != tt.warned {
			t.Errorf("%q: exit %d, stdout %q, stderr %q", tt.service, code, out, errs)
		}
	}
}

func TestDefaults(t *testing.T) {
	r, verb, err := parse(t)
	if err != nil || !strings.HasPrefix(verb, "run") {
		t.Fatal(verb, err)
	}
	want := runCmd{nameFlag: r.nameFlag, StopCode: []code{0}, RestartCode: []code{42}, FatalCode: []code{78},
		Backoff: backoff{time.Second, 30 * time.Second}, ResetAfter: 10 * time.Second, RestartBudget: rate{5, time.Minute},
		StopSignal: r.StopSignal, StopTimeout: 10 * time.Second, Tree: "group",
		HeartbeatTimeout: 2 * time.Minute, WatchMode: watchMode{Kind: watch.Auto, Every: watch.DefaultPoll}, PreflightTimeout: time.Minute,
		HoldMax: 30 * time.Minute, LogSize: 10 << 20, LogKeep: 5, HookTimeout: 10 * time.Minute}
	if !reflect.DeepEqual(*r, want) || r.Name != "ductor" {
		t.Errorf("got  %+v\nwant %+v", *r, want)
	}
}

// TestBothGrammarsAgree: `run` has one of its own, which must not drift.
func TestBothGrammarsAgree(t *testing.T) {
	bare, _, err1 := parse(t, "--stop-code=3", "bot", "x")
	named, _, err2 := parse(t, "run", "--stop-code=3", "bot", "x")
	if err1 != nil || err2 != nil || !reflect.DeepEqual(bare, named) {
		t.Errorf("%v, %v\n%+v\n%+v", err1, err2, bare, named)
	}
	_, out, _ := runCLI(t, "run", "--help")
	for _, flag := range []string{"--version", "--name", "--watch", "--fatal-code"} {
		if !strings.Contains(out, flag) {
			t.Errorf("the help of run does not have %s", flag)
		}
	}
}

// TestWhatIsACommand: our flags end at the first word of the command, and "--"
// makes a word one that would be a verb.
func TestWhatIsACommand(t *testing.T) {
	for _, tt := range []struct {
		args []string
		verb string // "run" or another
		want []string
	}{
		{nil, "run", nil},
		{[]string{"run"}, "run", nil},
		{[]string{"bot"}, "run", []string{"bot"}},
		{[]string{"bot", "--name", "x"}, "run", []string{"bot", "--name", "x"}},
		{[]string{"bot", "-v", "--help"}, "run", []string{"bot", "-v", "--help"}},
		{[]string{"run", "bot", "--json"}, "run", []string{"bot", "--json"}},
		{[]string{"--", "bot"}, "run", []string{"bot"}},
		{[]string{"--no-lock", "--", "bot", "--no-lock"}, "run", []string{"bot", "--no-lock"}},
		{[]string{"--no-lock", "bot", "--", "x"}, "run", []string{"bot", "--", "x"}},
		{[]string{"run", "--", "bot"}, "run", []string{"bot"}},
		{[]string{"--", "--", "bot"}, "run", []string{"--", "bot"}},
		{[]string{"status"}, "status", nil},
		{[]string{"--", "status"}, "run", []string{"status"}},
		{[]string{"run", "status"}, "run", []string{"status"}},
		{[]string{"run", "--", "status", "--json"}, "run", []string{"status", "--json"}},
		{[]string{"--no-lock", "--", "status"}, "run", []string{"status"}},
		{[]string{"run", "run"}, "run", []string{"run"}},
		{[]string{"--", "-weird"}, "run", []string{"-weird"}},
		{[]string{"stop", "--wait"}, "stop", nil},
	} {
		r, verb, err := parse(t, tt.args...)
		if err != nil {
			t.Errorf("%q: %v", tt.args, err)
			continue
		}
		first, _, _ := strings.Cut(verb, " ")
		if first != tt.verb || !slices.Equal(r.Command.Words(), tt.want) {
			t.Errorf("%q: %s %q, want %s %q", tt.args, first, r.Command.Words(), tt.verb, tt.want)
		}
	}
}

func TestMisuse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DUCTOR_HOME", t.TempDir())
	t.Setenv("DUCTOR_SERVICE", "")
	for _, args := range [][]string{
		{"--no-lokc", "bot"}, // a mistyped flag is not a command
		{"run", "--no-lokc"},
		{"--stop-code", "256", "bot"}, {"--stop-code=-1", "bot"}, {"--stop-code", "x", "bot"}, {"--stop-code", "1,,2", "bot"},
		{"--restart-code", "0x2a", "bot"}, {"--fatal-code", "1.5", "bot"},
		{"--restart-code", "0", "bot"}, {"--fatal-code", "42", "bot"}, {"--stop-code", "78", "bot"}, {"--stop-code=5", "--fatal-code=3,5", "bot"},
		{"--backoff", "1s", "bot"}, {"--backoff", "2s:1s", "bot"}, {"--backoff=-1s:1s", "bot"}, {"--backoff", "1:2", "bot"}, {"--backoff", ":", "bot"}, {"--backoff", "1s:2s:3s", "bot"},
		{"--restart-budget", "5", "bot"}, {"--restart-budget", "0/60s", "bot"}, {"--restart-budget=-1/60s", "bot"}, {"--restart-budget", "5/0s", "bot"}, {"--restart-budget", "5/60", "bot"},
		{"--max-crashes", "on", "bot"}, {"--max-crashes", "1/2/3", "bot"},
		{"--reset-after=-1s", "bot"}, {"--stop-timeout=-1s", "bot"}, {"--stop-timeout", "soon", "bot"},
		{"--stop-signal", "NOPE", "bot"}, {"--stop-signal", "", "bot"}, {"--tree", "forest", "bot"},
		{"--name", "a/b", "bot"}, {"--name", "", "bot"}, {"--name", "..", "bot"},
		{"--ext", ".py", "bot"}, {"--ignore", "*.log", "bot"},
		{"--chdir", file, "bot"}, {"--chdir", file + ".none", "bot"},
		{"status", "extra"}, {"stop", "--name"}, {"sentinel"}, {"sentinel", "write"}, {"sentinel", "write", "--chat-id", "x"}, {"marker"},
	} {
		code, out, errs := runCLI(t, args...)
		if code != exitcode.Usage || out != "" {
			t.Errorf("%q: exit %d, stdout %q", args, code, out)
		}
		lines := strings.Split(strings.TrimSuffix(errs, "\n"), "\n")
		if len(lines) != 2 || !strings.HasPrefix(lines[0], "ductor-supervise: error: ") || lines[1] != "Try 'ductor-supervise --help'." {
			t.Errorf("%q: stderr %q", args, errs)
		}
	}
}

func TestLists(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/a,b", 0o700); err != nil {
		t.Fatal(err)
	}
	r, _, err := parse(t, "--stop-code=0,3", "--stop-code", "4", "--restart-code=42,255", "--fatal-code=", "--watch", dir, "--watch", dir+"/a,b",
		"--ext=py,.toml", "--ext", ".md", "--ignore", "{a,b}/*", "--ignore=x", "--marker=/x,y", "bot")
	if err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2]any{
		"stop codes":    {ints(r.StopCode), []int{0, 3, 4}},
		"restart codes": {ints(r.RestartCode), []int{42, 255}},
		"watch":         {r.Watch, []string{dir, dir + "/a,b"}},
		"ext":           {r.Ext, []string{".py", ".toml", ".md"}},
		"ignore":        {r.Ignore, []string{"{a,b}/*", "x"}},
		"marker":        {r.Marker, []string{"/x,y"}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %v, want %v", what, pair[0], pair[1])
		}
	}
	if len(r.FatalCode) != 0 {
		t.Errorf("--fatal-code= means none, not %v", r.FatalCode)
	}
}

func TestValues(t *testing.T) {
	r, _, err := parse(t, "--backoff=0s:1m30s", "--restart-budget=off", "--max-crashes", "3/1h", "--stop-signal=sigusr2", "--stop-timeout=0s",
		"--name", "a.B-9_", "--tree=leader", "--chdir", t.TempDir(), "bot")
	if err != nil {
		t.Fatal(err)
	}
	if r.Backoff != (backoff{0, 90 * time.Second}) || r.RestartBudget != (rate{}) || r.MaxCrashes != (rate{3, time.Hour}) || r.Name != "a.B-9_" || r.StopTimeout != 0 {
		t.Errorf("%+v", r)
	}
}

// TestConfigRefusesPathsThatCannotWork: before anything starts.
func TestConfigRefusesPathsThatCannotWork(t *testing.T) {
	home := t.TempDir()
	t.Setenv("DUCTOR_HOME", home)
	t.Setenv("DUCTOR_SERVICE", "")
	dir := t.TempDir()
	broken := filepath.Join(dir, "env")
	if err := os.WriteFile(broken, []byte("no assignment\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, "run", "ductor"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"--marker", filepath.Join(dir, "none", "m")}, exitcode.Usage},
		{[]string{"--marker", filepath.Join(home, "run", "ductor", "m")}, exitcode.Usage},
		{[]string{"--watch", dir, "--ignore", "["}, exitcode.Usage},
		{[]string{"--env-file", filepath.Join(dir, "none")}, exitcode.Usage},
		{[]string{"--env-file", broken}, exitcode.DataErr},
		{[]string{"--events", filepath.Join(dir, "none", "e")}, exitcode.CantCreat},
	} {
		args := append(append([]string{"--no-lock"}, tt.args...), "--", filepath.Join(dir, "no such bot"))
		code, out, errs := runCLI(t, args...)
		if code != tt.code || out != "" || !strings.HasPrefix(errs, "ductor-supervise: error: --") {
			t.Errorf("%q: exit %d, want %d; stdout %q, stderr %q", tt.args, code, tt.code, out, errs)
		}
	}
}

// TestWithoutLockTool: the caller may fall back, so it has a code of its own.
func TestWithoutLockTool(t *testing.T) {
	t.Setenv("DUCTOR_HOME", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	code, _, errs := runCLI(t, "bot")
	if code != exitcode.Unavailable || !strings.Contains(errs, "ductor-supervise: hint: ") || !strings.Contains(errs, "--no-lock") {
		t.Errorf("exit %d, %q", code, errs)
	}
	var e *exitcode.Error
	c := runCmd{}
	if _, _, err := c.config(&cli.IO{Getenv: os.Getenv}); !errors.As(err, &e) || e.Code != exitcode.Unavailable {
		t.Errorf("%v", err)
	}
}
