package main

import (
	"slices"
	"strings"
	"testing"

	"ductor/cmd/ductor-service/internal/definition"
)

func TestHasCrashHook(t *testing.T) {
	for line, want := range map[string]bool{
		"S":                                false,
		"S run --stdin -- bot":             false,
		"S --on-crash true":                true,
		"S run --stdin --on-crash true":    true,
		"S --on-crash=true -- bot":         true,
		"S --on-crash= -- bot":             true,
		"S --on-crash":                     true,
		"S --on-crashes -- bot":            false,
		"S -- bot --on-crash true":         false,
		"S bot --on-crash=true":            false,
		"S --name nas bot --on-crash true": false,
	} {
		if got := hasCrashHook(strings.Fields(line)); got != want {
			t.Errorf("%s: %t", line, got)
		}
	}
}

func TestBotOf(t *testing.T) {
	ductor := supervised{pkg: "ductor"}
	for line, want := range map[string]supervised{
		"S":                          ductor,
		"S run --stdin --":           ductor,
		"S --name nas":               ductor,
		"S -- ductor":                ductor,
		"S /opt/x/ductor --verbose":  ductor,
		"S -- ductor.exe":            ductor,
		"S -- python3 -m ductor_bot": ductor,
		"S run /v/bin/python3.12 -u -m ductor_bot": ductor,
		"S -- pythonw.exe -m ductor_bot":           ductor,
		"S -- PY.EXE -3.12 -m ductor_bot":          ductor,
		"S -- news":                                {"news", "news", false},
		"S -- /opt/x/news.EXE --now":               {"news", "/opt/x/news.EXE", false},
		"S -- -- news":                             {"--", "--", false},
		"S -- news -m ductor_bot":                  {"news", "news", false},
		"S -- python3 -m news --now":               {"news", "python3", true},
		"S -- /v/bin/python -Bu -I -m news_bot":    {"news_bot", "/v/bin/python", true},
		"S -- pypy3 -m news":                       {"news", "pypy3", true},
		// What is behind a value, a script or nothing at all is not for us to say.
		"S -- python3 -X dev -m ductor_bot": {"python3", "python3", false},
		"S -- python3 bot.py -m ductor_bot": {"python3", "python3", false},
		"S -- python3 -m":                   {"python3", "python3", false},
		"S -- python3 -c -m ductor_bot":     {"python3", "python3", false},
		"S -- uv run python -m ductor_bot":  {"uv", "uv", false},
	} {
		if got := botOf(strings.Fields(line)); got != want {
			t.Errorf("%s: %+v, not %+v", line, got, want)
		}
	}
}

func TestRollback(t *testing.T) {
	for _, c := range []struct{ goos, tool, name, pkg, want string }{
		{"linux", "/usr/bin/ductor-update", "ductor", "ductor", `/usr/bin/ductor-update rollback --if-pending`},
		{"linux", "/usr/bin/ductor-update", "nas", "ductor", `/usr/bin/ductor-update rollback --if-pending --name nas`},
		{"linux", "/usr/bin/ductor-update", "ductor", "news-bot", `/usr/bin/ductor-update rollback --if-pending --package news-bot`},
		{"darwin", "/Users/o'b/ductor-update", "a.b", "x;y", `'/Users/o'\''b/ductor-update' rollback --if-pending --name a.b --package 'x;y'`},
		{"windows", `C:\bin\ductor-update.exe`, "nas", "news_bot", `C:\bin\ductor-update.exe rollback --if-pending --name nas --package news_bot`},
		{"windows", `C:\Program Files (x86)\a & b^c\ductor-update.exe`, "ductor", "ductor", `"C:\Program Files (x86)\a & b^c\ductor-update.exe" rollback --if-pending`},
		{"windows", `C:\a=b,c;d'é\ductor-update.exe`, "ductor", "ductor", `"C:\a=b,c;d'é\ductor-update.exe" rollback --if-pending`},
	} {
		if got, err := rollback(c.goos, c.tool, c.name, c.pkg); err != nil || got != c.want {
			t.Errorf("%s, %v, not %s", got, err, c.want)
		}
	}
	for tool, goos := range map[string]string{`C:\100%\ductor-update.exe`: "windows", "/a\nb/ductor-update": "linux", "/\xff/ductor-update": "linux"} {
		if got, err := rollback(goos, tool, "ductor", "ductor"); err == nil || got != "" {
			t.Errorf("%q on %s became %q", tool, goos, got)
		}
	}
}

// TestSystemOfPlatforms: none is forgotten, and the default of a system is its own.
func TestSystemOfPlatforms(t *testing.T) {
	for p, want := range map[definition.Platform]string{definition.SystemdUser: "linux", definition.SystemdSystem: "linux",
		definition.LaunchdAgent: "darwin", definition.LaunchdDaemon: "darwin", definition.Task: "windows"} {
		if got := system(p); got != want {
			t.Errorf("%s is of %s", p, got)
		}
	}
	for goos, p := range platforms {
		if system(p) != goos {
			t.Errorf("%s is the default of %s", p, goos)
		}
	}
}

func TestIsOfShell(t *testing.T) {
	env := slices.DeleteFunc([]string{"A=1", "VIRTUAL_ENV=/v", "VIRTUAL_ENV_PROMPT=v", "PYENV_VERSION=3", "X=VIRTUAL_ENV=/v"}, isOfShell)
	if !slices.Equal(env, []string{"A=1", "VIRTUAL_ENV_PROMPT=v", "X=VIRTUAL_ENV=/v"}) {
		t.Errorf("%q", env)
	}
}
