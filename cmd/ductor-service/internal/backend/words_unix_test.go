//go:build unix

package backend

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ductor/cmd/ductor-service/internal/definition"
)

// shellReads is what a shell makes of a command line: the words after the
// program, which is ductor-service, and the DUCTOR_HOME that it gets.
func shellReads(t *testing.T, line string) (home string, words []string) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\nprintf '%s\\0' \"$DUCTOR_HOME\" \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "ductor-service"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=/home/u"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	parts := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	return parts[0], parts[1:]
}

var shellWords = []string{"", "plain", "a b", "it's", "'", "''", `"`, `\`, `a\nb`, "$HOME", "`id`", "$(id)", "~", "~u", "*", "[a]", "?", "!", "#", "a#b", ";", "&", "|", "<", ">", "(", "{a,b}",
	"-x", "--", "A=b", "a\tb", "größe☂", "%h", "^a", "a\nb"}

func TestShellQuote(t *testing.T) {
	quoted := make([]string, len(shellWords))
	for i, w := range shellWords {
		quoted[i] = ShellQuote(w)
	}
	if _, got := shellReads(t, "ductor-service "+strings.Join(quoted, " ")); !slices.Equal(got, shellWords) {
		t.Errorf("%q\nnot %q", got, shellWords)
	}
	for _, plain := range []string{"/usr/bin/bot", "A=b", "--flag=1,2", "a@b:c+d%e"} {
		if got := ShellQuote(plain); got != plain {
			t.Errorf("%s became %s, which nobody wants to type", plain, got)
		}
	}
}

// TestReinstall: the shell gets the same words, but for values of variables,
// which may be secrets.
func TestReinstall(t *testing.T) {
	plain := definition.Service{Name: "ductor", Home: "/home/u/.ductor", DefaultHome: true, Command: []string{"/usr/bin/ductor-supervise"}}
	if got := reinstall(plain); got != "ductor-service install -- /usr/bin/ductor-supervise" {
		t.Error(got)
	}
	full := definition.Service{Name: "nas", Home: "/srv/it's $HOME", Command: slices.Concat([]string{"/my bot"}, shellWords),
		Env: []string{"A=b c", "B=", `C='"`}, Updater: "/usr/bin/ductor-update", Sandbox: "/usr/bin/ductor-sandbox"}
	want := slices.Concat([]string{"install", "--force", "--name", "nas", "--env", "A=…", "--env", "B=…", "--env", "C=…", "--timer", "update", "--also-sandbox", "--"}, full.Command)
	line := reinstall(full, "--force")
	if home, got := shellReads(t, line); home != full.Home || !slices.Equal(got, want) {
		t.Errorf("%s\n%q, %q\nnot %q", line, home, got, want)
	}
}

// TestReinstallAsks anew whether a bot can be upgraded: the hook that install
// added is no word of the user's, and one of the user's is.
func TestReinstallAsks(t *testing.T) {
	s := definition.Service{Name: "ductor", DefaultHome: true, Rollback: "/usr/bin/ductor-update",
		Command: []string{"/s", "run", "--on-crash", "/usr/bin/ductor-update rollback --if-pending", "--stdin", "--", "/bot", "--on-crash", "x"}}
	if got := reinstall(s); got != "ductor-service install -- /s run --stdin -- /bot --on-crash x" {
		t.Error(got)
	}
	s.Rollback = ""
	if got := reinstall(s); got != "ductor-service install -- /s run --on-crash '/usr/bin/ductor-update rollback --if-pending' --stdin -- /bot --on-crash x" {
		t.Error(got)
	}
}

func TestMissing(t *testing.T) {
	s := servable(t, "nas")
	if got := missing(s); got != "" {
		t.Errorf("%s is there", got)
	}
	if err := os.Chmod(s.Command[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if got := missing(s); got != s.Command[0] {
		t.Errorf("%q, not the command, which cannot be executed", got)
	}
	if err := os.Remove(s.Runner); err != nil {
		t.Fatal(err)
	}
	if got := missing(s); got != s.Runner {
		t.Errorf("%q, not the runner", got)
	}
}

func TestSignalName(t *testing.T) {
	for n, want := range map[int]string{9: "SIGKILL", 15: "SIGTERM", 0: "signal 0", 999: "signal 999"} {
		if got := signalName(n); got != want {
			t.Errorf("%d: %s, not %s", n, got, want)
		}
	}
}
