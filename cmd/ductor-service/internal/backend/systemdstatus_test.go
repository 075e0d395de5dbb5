package backend

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestStateOf(t *testing.T) {
	for _, c := range []struct {
		active, sub string
		want        State
	}{
		{"active", "running", Running},
		{"active", "exited", Running},
		{"reloading", "reload", Running},
		{"activating", "auto-restart", Restarting},
		{"activating", "start-pre", Starting},
		{"activating", "start", Starting},
		{"deactivating", "stop-sigterm", Stopping},
		{"failed", "failed", Failed},
		{"inactive", "dead", Stopped},
		{"maintenance", "", Unknown},
		{"", "", Unknown},
	} {
		if got := stateOf(map[string]string{"ActiveState": c.active, "SubState": c.sub}); got != c.want {
			t.Errorf("%s (%s) is %s, not %s", c.active, c.sub, got, c.want)
		}
	}
}

func TestExitOf(t *testing.T) {
	code := func(n int) *int { return &n }
	for _, c := range []struct {
		when, code, status, result string
		want                       *Exit
	}{
		{"", "0", "0", "success", nil},
		{"0", "0", "0", "success", nil},
		{"n/a", "1", "3", "exit-code", nil},
		{"@1700000000", "1", "0", "success", &Exit{Code: code(0), Result: "success"}},
		{"@1700000000", "1", "78", "exit-code", &Exit{Code: code(78), Result: "exit-code"}},
		{"@1700000000", "2", "9", "signal", &Exit{Signal: signalName(9), Result: "signal"}},
		{"@1700000000", "3", "6", "core-dump", &Exit{Signal: signalName(6), Result: "core-dump"}},
	} {
		got := exitOf(map[string]string{"ExecMainExitTimestamp": c.when, "ExecMainCode": c.code, "ExecMainStatus": c.status, "Result": c.result})
		same := (got == nil) == (c.want == nil)
		if same && got != nil {
			same = got.String() == c.want.String() && got.Result == c.want.Result && (got.Code == nil) == (c.want.Code == nil)
		}
		if !same {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func TestUnixTime(t *testing.T) {
	for _, text := range []string{"", "0", "@0", "n/a", "@-1", "Mon 2026-11-23 10:00:00 UTC"} {
		if got := unixTime(text); got != nil {
			t.Errorf("%q is %s", text, got)
		}
	}
	if got := unixTime("@1700000000"); got == nil || got.Format(time.RFC3339) != "2023-11-14T22:13:20Z" {
		t.Errorf("%v", got)
	}
}

// filled is what fill makes of systemd's words, for a user who lingers or not.
func filled(t *testing.T, lingers bool, shown map[string]string) Status {
	t.Helper()
	root := t.TempDir()
	s := NewSystemd(SystemdOptions{Name: "nas", User: "u", UserHome: filepath.Join(root, "home"), Root: root})
	folder := filepath.Join(root, "var", "lib", "systemd", "linger")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if lingers {
		put(t, filepath.Join(folder, "u"), "")
	}
	st := Status{Definition: s.path("nas.service"), Problems: []Problem{}}
	s.fill(&st, shown)
	return st
}

func codesOf(st Status) (codes []string) {
	for _, p := range st.Problems {
		codes = append(codes, p.Code)
	}
	return codes
}

func TestFillStarts(t *testing.T) {
	for _, c := range []struct {
		file     string
		lingers  bool
		enabled  bool
		starts   string
		problems []string
	}{
		{"enabled", true, true, StartsBoot, nil},
		{"enabled", false, true, StartsLogin, []string{"linger-off"}},
		{"enabled-runtime", true, true, StartsBoot, nil},
		{"disabled", true, false, StartsManual, nil},
		{"disabled", false, false, StartsManual, nil},
		{"masked", false, false, StartsManual, nil},
		{"", false, false, StartsManual, nil},
	} {
		st := filled(t, c.lingers, map[string]string{"UnitFileState": c.file})
		if st.Enabled != c.enabled || st.Starts != c.starts || !slices.Equal(codesOf(st), c.problems) {
			t.Errorf("%+v: %t, %s, %q", c, st.Enabled, st.Starts, codesOf(st))
		}
	}
}

func TestFillSince(t *testing.T) {
	for active, want := range map[string]int64{"active": 1, "activating": 1, "deactivating": 1, "inactive": 2, "failed": 2} {
		st := filled(t, true, map[string]string{"ActiveState": active, "ActiveEnterTimestamp": "@1", "InactiveEnterTimestamp": "@2", "MainPID": "42", "NRestarts": "3"})
		if st.Since == nil || st.Since.Unix() != want || st.PID != 42 || *st.Restarts != 3 {
			t.Errorf("%s: %+v", active, st)
		}
	}
	if st := filled(t, true, map[string]string{"ActiveState": "inactive"}); st.Since != nil || st.LastExit != nil || st.PID != 0 || *st.Restarts != 0 {
		t.Errorf("what never ran: %+v", st)
	}
}

func TestFillProblems(t *testing.T) {
	st := filled(t, true, map[string]string{"UnitFileState": "enabled", "NeedDaemonReload": "yes", "LoadState": "masked"})
	if !slices.Equal(codesOf(st), []string{"reload-needed", "masked"}) {
		t.Errorf("%q", codesOf(st))
	}
	for _, p := range st.Problems {
		if p.Message == "" || p.Fix == "" {
			t.Errorf("%+v helps nobody", p)
		}
	}
	if st = filled(t, true, map[string]string{"UnitFileState": "enabled", "NeedDaemonReload": "no", "LoadState": "loaded"}); len(st.Problems) > 0 {
		t.Errorf("%+v", st.Problems)
	}
}

// TestFillDropins finds the changes of the user in a folder whose name could be
// a pattern.
func TestFillDropins(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("systemd's folders are never there, where nothing in a pattern can be quoted")
	}
	s := NewSystemd(SystemdOptions{Name: "nas", User: "u", UserHome: t.TempDir(), ConfigHome: filepath.Join(t.TempDir(), "[a-z]")})
	unit := s.path("nas.service")
	if err := errors.Join(os.MkdirAll(unit+".d", 0o700), os.Mkdir(s.path("other.service.d"), 0o700)); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(unit+".d", "override.conf"), "")
	put(t, filepath.Join(unit+".d", "readme.txt"), "")
	put(t, filepath.Join(s.path("other.service.d"), "override.conf"), "")
	st := Status{Definition: unit}
	s.fill(&st, nil)
	if want := []string{filepath.Join(unit+".d", "override.conf")}; !slices.Equal(st.Dropins, want) {
		t.Errorf("%q, not %q", st.Dropins, want)
	}
}

// TestRuns is what an installation goes by to leave a service as it was.
func TestRuns(t *testing.T) {
	for state, want := range map[State]bool{Running: true, Starting: true, Restarting: true, Stopping: true, Unknown: true, Stopped: false, Failed: false, NotInstalled: false} {
		if got := (Status{State: state}).Runs(); got != want {
			t.Errorf("%s: %t", state, got)
		}
	}
}
