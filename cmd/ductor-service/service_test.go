package main

import (
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ductor/cmd/ductor-service/internal/backend"
	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
)

func TestOwnWords(t *testing.T) {
	for line, want := range map[string]string{
		"S":                                 "S",
		"S --":                              "S",
		"S -- bot --name x":                 "S",
		"S bot --name x":                    "S",
		"S run bot --name x":                "S run",
		"S --name nas bot --name x":         "S --name nas",
		"S --name=nas bot --name x":         "S --name=nas",
		"S run --stdin --no-lock bot --x":   "S run --stdin --no-lock",
		"S --watch . --stdin -- bot --name": "S --watch . --stdin",
		"S --stop-timeout":                  "S --stop-timeout",
		"S --stop-timeout 1h --help":        "S --stop-timeout 1h --help",
	} {
		if got := strings.Join(ownWords(strings.Fields(line)), " "); got != want {
			t.Errorf("%s: %s, not %s", line, got, want)
		}
	}
}

// TestSwitches asks the supervisor which of its flags take no value.
func TestSwitches(t *testing.T) {
	help, err := osexec.Command(filepath.Join(clitest.Bin(t), "ductor-supervise"), "run", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	var theirs []string
	for _, m := range regexp.MustCompile(`(?m)^ {2,6}(?:-\w, +)?(--[a-z-]+)(?:\s|$)`).FindAllStringSubmatch(string(help), -1) {
		theirs = append(theirs, m[1])
	}
	ours := slices.Sorted(slices.Values(switches))
	if slices.Sort(theirs); !slices.Equal(theirs, ours) {
		t.Errorf("%q are its switches, not %q", theirs, ours)
	}
}

func TestWithName(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"ductor", "S", "S"},
		{"ductor", "S --stdin -- bot", "S --stdin -- bot"},
		{"ductor", "S --name ductor bot", "S --name ductor bot"},
		{"nas", "S", "S --name nas"},
		{"nas", "S run", "S run --name nas"},
		{"nas", "S run -- bot", "S run --name nas -- bot"},
		{"nas", "S bot run", "S --name nas bot run"},
		{"nas", "S --name nas -- bot", "S --name nas -- bot"},
		{"nas", "S --stdin --name=nas", "S --stdin --name=nas"},
		// What is called --name behind the command is the bot's.
		{"nas", "S -- bot --name x", "S --name nas -- bot --name x"},
		{"nas", "S bot --name x", "S --name nas bot --name x"},
		{"nas", "S bot --name nas", "S --name nas bot --name nas"},
		{"nas", "S --stdin bot --name x", "S --name nas --stdin bot --name x"},
		{"ductor", "S bot --name x", "S bot --name x"},
	} {
		words := strings.Fields(c.line)
		got, err := withName(slices.Clone(words), home.Name(c.name))
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, %v, not %s", c.line, got, err, c.want)
		}
	}
	for name, line := range map[string]string{"nas": "S --name x", "ductor": "S run --name=x -- bot", "a": "S --stdin --name b"} {
		_, err := withName(strings.Fields(line), home.Name(name))
		if exitcode.Of(err) != exitcode.Usage || !strings.Contains(err.Error(), "they need one name") {
			t.Errorf("%s in the service %s: %v", line, name, err)
		}
	}
}

func TestStopTimeout(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"S":                                          0,
		"S --stop-timeout 90s":                       90 * time.Second,
		"S run --stdin --stop-timeout=2m -- bot":     2 * time.Minute,
		"S --stop-timeout":                           0,
		"S --stop-timeout soon":                      0,
		"S bot --stop-timeout 1h":                    0,
		"S -- bot --stop-timeout=1h":                 0,
		"S --stop-timeout 20s bot --stop-timeout 1h": 20 * time.Second,
	} {
		if got := stopTimeout(strings.Fields(line)); got != want {
			t.Errorf("%s: %s, not %s", line, got, want)
		}
	}
}

func TestCheckEnv(t *testing.T) {
	ours := []string{"DUCTOR_HOME", "DUCTOR_SERVICE", "PATH"}
	for _, e := range []string{"A=", "A=b=c", "_a1=ä ☂\t'\"", "PATHS=/x", "path=/x", "DUCTOR_NAME=x"} {
		if err := checkEnv([]string{e}, ours...); err != nil {
			t.Errorf("%q: %v", e, err)
		}
	}
	for e, why := range map[string]string{
		"":                    "is not K=V",
		"A":                   "is not K=V",
		"=b":                  "is not K=V",
		"1A=b":                "is not K=V",
		"A B=c":               "is not K=V",
		"Ä=c":                 "is not K=V",
		"A\n=c":               "is not K=V",
		"PATH=/x":             "made anew at each start",
		"DUCTOR_HOME=/x":      "set DUCTOR_HOME for ductor-service itself",
		"DUCTOR_SERVICE=none": "set DUCTOR_SERVICE for ductor-service itself",
		"A=b\nc":              "cannot stand in a definition",
		"A=\xff":              "is not UTF-8",
	} {
		if err := checkEnv([]string{"OK=1", e}, ours...); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, not that it %s", e, err, why)
		}
	}
	if err := checkEnv([]string{"DUCTOR_HOME=/x"}, "PATH"); err != nil {
		t.Errorf("what a definition says for run: %v", err)
	}
}

func TestComplaint(t *testing.T) {
	for _, c := range []struct{ out, errs, want string }{
		{"name     nas\ncommand  problem: \"bot\" cannot be found\n", "", `"bot" cannot be found`},
		{"", "ductor-supervise: error: unknown flag --frob\nTry 'ductor-supervise --help'.\n", "unknown flag --frob"},
		{"first problem: one\n", "ductor-supervise: error: two\n", "one"},
		{"", "  panic\nat once\n", "panic\nat once"},
		{"said\n", "cried\n", "said\ncried"},
		{"", "", ""},
	} {
		if got := complaint(c.out, c.errs); got != c.want {
			t.Errorf("%q, %q: %q, not %q", c.out, c.errs, got, c.want)
		}
	}
}

func TestRelativeWords(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	t.Chdir(here)
	for _, path := range []string{filepath.Join(here, "bot.py"), filepath.Join(here, "both"), filepath.Join(there, "both"), filepath.Join(here, "-m"), filepath.Join(here, "first")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := definition.Service{Dir: there, Command: []string{"first", "bot.py", "", "-m", "both", "neither", filepath.Join(here, "bot.py"), "."}}
	if got := relativeWords(s); !slices.Equal(got, []string{"bot.py"}) {
		t.Errorf("%q", got)
	}
}

func TestWithProblem(t *testing.T) {
	var all []backend.Problem
	for _, p := range []backend.Problem{{Code: "a", Message: "1"}, {Code: "b", Message: "2"}, {Code: "a", Message: "3"}} {
		all = withProblem(all, p)
	}
	if len(all) != 2 || all[0].Message != "3" || all[1].Message != "2" {
		t.Errorf("%+v", all)
	}
}

func TestIsSupervisor(t *testing.T) {
	for program, want := range map[string]bool{"/usr/bin/ductor-supervise": true, "ductor-supervise.exe": true, "Ductor-SuperviseW.EXE": true, "/usr/bin/ductor-supervise/bot": false, "my-ductor-supervise": false, "": false} {
		if got := isSupervisor(program); got != want {
			t.Errorf("%q: %t", program, got)
		}
	}
}

// TestProgram: what is to be installed has to be there; what is printed for
// another machine has not.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("PATH", dir)
	program := filepath.Join(dir, "bot.exe")
	if err := os.WriteFile(program, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("text", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]int{"nosuch": exitcode.NotFound, filepath.Join(dir, "nosuch"): exitcode.NotFound, "bot.exe": 0, program: 0, "./bot.exe": 0} {
		got, err := maker{}.program(word)
		if exitcode.Of(err) != want || want == 0 && got != program {
			t.Errorf("%s: %q, %v, not %d", word, got, err, want)
		}
		if got, err = (maker{lenient: true}).program(word); err != nil || want != 0 && got != word {
			t.Errorf("%s of another machine: %q, %v", word, got, err)
		}
	}
	for _, word := range []string{dir, "./text"} { // Windows says by the name what is a program
		if _, err := (maker{}).program(word); runtime.GOOS != "windows" && exitcode.Of(err) != exitcode.CannotExec {
			t.Errorf("%s, which is none: %v", word, err)
		}
	}
	if _, err := (maker{}).tool("ductor-nosuch"); exitcode.Of(err) != exitcode.Unavailable {
		t.Errorf("a tool of ours: %v", err)
	}
}
