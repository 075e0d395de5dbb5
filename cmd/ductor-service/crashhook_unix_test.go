//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/cli"
	"ductor/internal/common/home"
)

// played is a ductor-update that answers mode with FILE.json and FILE.code,
// keeps what it was asked and with what environment, and prints all else.
const played = `#!/bin/sh
[ "$1" = mode ] || exec printf '%s\0' "$@"
echo "$*" >>"$0.asked"
pwd >"$0.pwd"
env >"$0.env"
cat "$0.json"
exit "$(cat "$0.code")"
`

// stage is a home folder with a supervisor and a ductor-update on PATH.
type stage struct {
	t        *testing.T
	dir      string // of the programs
	tool     string
	warnings bytes.Buffer
}

func newStage(t *testing.T, folder string) *stage {
	dir := filepath.Join(t.TempDir(), folder)
	s := &stage{t: t, dir: dir, tool: filepath.Join(dir, "ductor-update")}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv("VIRTUAL_ENV", "/nosuch")
	s.program("ductor-supervise", "")
	s.program("ductor-update", played)
	s.answer(0, mode{Upgradeable: true})
	return s
}

func (s *stage) write(path, text string, mode os.FileMode) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		s.t.Fatal(err)
	}
}

// program makes one below the folder of the programs.
func (s *stage) program(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	s.write(path, text, 0o700)
	return path
}

func (s *stage) link(to, name string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink(to, path); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *stage) answer(code int, m mode) {
	s.t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(s.tool+".json", string(data), 0o600)
	s.write(s.tool+".code", string(rune('0'+code/10))+string(rune('0'+code%10)), 0o600)
}

// asked are the questions until now.
func (s *stage) asked() string {
	data, _ := os.ReadFile(s.tool + ".asked")
	return string(data)
}

// install makes the service that install would store.
func (s *stage) install(ctx context.Context, name, env string, command ...string) definition.Service {
	s.t.Helper()
	std := &cli.IO{Tool: "ductor-service", Out: &bytes.Buffer{}, Err: &s.warnings, Getenv: os.Getenv}
	m := maker{std: std, owner: owner{uid: "1", name: "u", folder: s.dir, home: home.Home(filepath.Join(s.dir, ".ductor"))},
		flags: serviceFlags{nameFlag: nameFlag{home.Name(name)}, Env: strings.Fields(env), Command: command}}
	service, err := m.service()
	if err != nil {
		s.t.Fatal(err)
	}
	return m.withRollback(ctx, service)
}

// hook is the one that was added behind the supervisor, or "".
func hook(t *testing.T, s definition.Service) string {
	t.Helper()
	i := at(s.Command)
	has := len(s.Command) > i+1 && s.Command[i] == "--on-crash"
	if has != (s.Rollback != "") {
		t.Fatalf("%q, but it is said that %q takes upgrades back", s.Command, s.Rollback)
	}
	if !has {
		return ""
	}
	return s.Command[i+1]
}

// TestHookInOddFolder: the shell of hooks gets the very words, whatever the
// folder is called.
func TestHookInOddFolder(t *testing.T) {
	for _, folder := range []string{"plain", `it's 50% "x" $HOME \ ; & | é`, "-x", "$(false)", "`false`", `a\`, "~", "tab\there"} {
		s := newStage(t, folder)
		news := s.program("news", "")
		s.answer(0, mode{Upgradeable: true, Program: news})
		got := s.install(t.Context(), "nas", "", "ductor-supervise", "run", "--stdin", "--", news)
		line := hook(t, got)
		if want := []string{"--name", "nas", "--stdin", "--", news}; got.Rollback != s.tool || !slices.Equal(got.Command[4:], want) {
			t.Errorf("%q calls %q", got.Command, got.Rollback)
		}
		cmd := osexec.Command("/bin/sh", "-c", line)
		cmd.Dir = "/"
		out, err := cmd.Output()
		if want := "rollback\x00--if-pending\x00--name\x00nas\x00--package\x00news\x00"; err != nil || string(out) != want {
			t.Errorf("%s printed %q, %v", line, out, err)
		}
		if s.warnings.Len() > 0 {
			t.Error(&s.warnings)
		}
		for _, p := range []definition.Platform{definition.SystemdUser, definition.LaunchdAgent, definition.Task} {
			if _, err := got.Render(p); err != nil {
				t.Error(err)
			}
		}
		if again := s.install(t.Context(), "nas", "", "ductor-supervise", "run", "--stdin", "--", news); !again.Same(got) {
			t.Errorf("the same question is answered with %q, then with %q", got.Command, again.Command)
		}
	}
}

// TestModeAsAtAStart: the question is put where the service starts, with the
// environment that it has there.
func TestModeAsAtAStart(t *testing.T) {
	s := newStage(t, "bin")
	got := s.install(t.Context(), "ductor", "TOKEN=1", "ductor-supervise")
	if want := s.tool + " rollback --if-pending"; hook(t, got) != want {
		t.Errorf("%q, not %q", got.Command, want)
	}
	if got := s.asked(); got != "mode --package ductor --json\n" {
		t.Errorf("it was asked %q", got)
	}
	data, err := os.ReadFile(s.tool + ".env")
	if err != nil {
		t.Fatal(err)
	}
	env := strings.Split(string(data), "\n")
	for _, want := range []string{"TOKEN=1", "PATH=" + got.Path, "DUCTOR_HOME=" + filepath.Join(s.dir, ".ductor")} {
		if !slices.Contains(env, want) {
			t.Errorf("%q is not in %q", want, env)
		}
	}
	if slices.ContainsFunc(env, isOfShell) {
		t.Error("the shell had a say")
	}
	pwd, _ := os.ReadFile(s.tool + ".pwd")
	if real, err := filepath.EvalSymlinks(s.dir); err != nil || strings.TrimSpace(string(pwd)) != real {
		t.Errorf("asked in %q", pwd)
	}
}

func TestNoHook(t *testing.T) {
	s := newStage(t, "bin")
	for line, asked := range map[string]bool{
		"ductor-supervise --on-crash true -- /bin/true": false,
		"ductor-supervise run --on-crash=true":          false,
		"ductor-supervise --on-crash= -- /bin/true":     false,
		"/bin/true": false,
		"ductor-supervise -- /bin/true --on-crash /x":    true, // of the bot
		"ductor-supervise -- ./relative":                 true,
		"ductor-supervise -- python3 -m somebody_elses":  true,
		"ductor-supervise -- /bin/nosuch":                true,
		"ductor-supervise -- nosuch":                     true,
		"ductor-supervise --chdir / -- bin/nosuch --now": true,
	} {
		before := s.asked()
		got := s.install(t.Context(), "ductor", "", strings.Fields(line)...)
		if got.Rollback != "" || !slices.Equal(got.Command[1:], strings.Fields(line)[1:]) {
			t.Errorf("%s became %q", line, got.Command)
		}
		if (s.asked() != before) != asked {
			t.Errorf("%s: asked %q", line, strings.TrimPrefix(s.asked(), before))
		}
	}
	s.answer(78, mode{})
	if got := s.install(t.Context(), "ductor", "", "ductor-supervise"); hook(t, got) != "" {
		t.Errorf("78 is no: %q", got.Command)
	}
	s.answer(3, mode{Upgradeable: true})
	if got := s.install(t.Context(), "ductor", "", "ductor-supervise"); hook(t, got) != "" {
		t.Errorf("3 is no: %q", got.Command)
	}
	s.answer(0, mode{})
	if got := s.install(t.Context(), "ductor", "", "ductor-supervise"); hook(t, got) != "" {
		t.Errorf("it does not say yes: %q", got.Command)
	}
	if err := os.Remove(s.tool); err != nil {
		t.Fatal(err)
	}
	if got := s.install(t.Context(), "ductor", "", "ductor-supervise"); hook(t, got) != "" {
		t.Errorf("nobody to ask: %q", got.Command)
	}
	if s.warnings.Len() > 0 {
		t.Errorf("who has no use for it wants no warning: %s", &s.warnings)
	}
}

// TestNobodyKnows: what does not answer is no reason to fail, or to wait.
func TestNobodyKnows(t *testing.T) {
	for script, why := range map[string]string{
		"#!/bin/sh\nexec sleep 600\n":                                    "does not say in time",
		"#!/bin/sh\n(while [ -e \"$0\" ]; do sleep 0.1; done) &\nwait\n": "does not say in time", // and the pipe stays open
		"#!/bin/sh\necho '{'\n":                                          "cannot be read",
		"#!/bin/sh\n":                                                    "cannot be read",
		"#!/nosuch/interpreter\n":                                        "run ",
		"#!/bin/sh\nkill -9 $$\n":                                        "signal: killed",
		"#!/bin/sh\necho '{\"upgradeable\":true,\"program\":[1]}'\nexit 0\n": "cannot be read",
	} {
		s := newStage(t, "bin")
		s.program("ductor-update", script)
		limit := time.Minute
		if strings.Contains(why, "in time") {
			limit = 300 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		got := s.install(ctx, "ductor", "", "ductor-supervise", "--stdin")
		cancel()
		if hook(t, got) != "" || len(got.Command) != 2 {
			t.Errorf("%s%q", script, got.Command)
		}
		text := s.warnings.String()
		if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "ductor-service: warning: a bad upgrade will not be taken back by itself: ") || !strings.Contains(text, why) {
			t.Errorf("%s%q does not say: %s", script, text, why)
		}
		if err := os.Remove(s.tool); err != nil {
			t.Fatal(err)
		}
	}
}

// TestInterruptedQuestion: who interrupts does not want to read of it.
func TestInterruptedQuestion(t *testing.T) {
	s := newStage(t, "bin")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := s.install(ctx, "ductor", "", "ductor-supervise"); hook(t, got) != "" || s.warnings.Len() > 0 {
		t.Errorf("%q, %s", got.Command, &s.warnings)
	}
}

// TestWhoseHook: another bot has one only if ductor-update means that very bot.
func TestWhoseHook(t *testing.T) {
	s := newStage(t, "bin")
	real := s.program("lib/python3.12", "")
	news, other := s.program("app/news", ""), s.program("other/news", "")
	s.link(news, "news") // on PATH, as pipx does it
	var own, venv, another string
	for name, path := range map[string]*string{"own/bin/python3": &own, "venv/bin/python": &venv, "another/bin/python": &another} {
		*path = s.link(real, name)
	}
	beside := s.link("python", "venv/bin/python3")
	folder := filepath.Join(s.link(filepath.Join(s.dir, "venv"), "current"), "bin", "python")
	for _, c := range []struct {
		bot    string
		answer mode
		pkg    string // "" for no hook
	}{
		{"news", mode{Program: s.dir + "/news"}, "news"},
		{"news", mode{Program: news}, "news"},
		{news + " --now", mode{Program: s.dir + "/news"}, "news"},
		{other, mode{Program: s.dir + "/news"}, ""},
		{"news", mode{}, ""},
		{"news", mode{Program: other, Python: news}, ""},
		{venv + " -m news", mode{Python: venv}, "news"},
		{venv + " -u -m news", mode{Python: beside}, "news"},
		{venv + " -m news", mode{Python: folder}, "news"},
		// All are links to one file, and none is in the same environment.
		{venv + " -m news", mode{Python: another}, ""},
		{venv + " -m news", mode{Python: own}, ""},
		{venv + " -m news", mode{Python: real}, ""},
		{venv + " -m news", mode{Program: venv}, ""},
		{venv + " -m ductor_bot", mode{}, "ductor"},
		{"ductor", mode{}, "ductor"},
	} {
		c.answer.Upgradeable = true
		s.answer(0, c.answer)
		got := hook(t, s.install(t.Context(), "ductor", "", append([]string{"ductor-supervise", "--"}, strings.Fields(c.bot)...)...))
		want := s.tool + " rollback --if-pending"
		switch c.pkg {
		case "":
			want = ""
		case "ductor":
		default:
			want += " --package " + c.pkg
		}
		if got != want {
			t.Errorf("%s, found as %+v: %q, not %q", c.bot, c.answer, got, want)
		}
	}
	if s.warnings.Len() > 0 {
		t.Error(&s.warnings)
	}
}
