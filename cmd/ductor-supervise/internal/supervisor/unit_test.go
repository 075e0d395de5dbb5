package supervisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/cmd/ductor-supervise/internal/policy"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/jsonout"
	"ductor/internal/common/process"
	"ductor/internal/common/sentinel"
)

// newUnit is a supervisor that has not begun: files, and no process.
func newUnit(t *testing.T) (*supervisor, *[]journal.Event) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("DUCTOR_HOME", dir)
	s := &supervisor{cfg: Config{Name: "bot", Home: home.Home(dir), StopSignal: os.Interrupt}, instance: "INSTANCE"}
	s.run = s.cfg.run()
	if err := s.run.Make(); err != nil {
		t.Fatal(err)
	}
	var events []journal.Event
	j, err := journal.Open(s.run.Events(), func(_ []byte, e journal.Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	s.journal = j
	if s.self, err = process.Self(); err != nil {
		t.Fatal(err)
	}
	return s, &events
}

// lookup returns the values of a variable: a program may take the first or
// the last, so there must be one.
func lookup(env []string, key string) (values []string) {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			values = append(values, v)
		}
	}
	return values
}

func wantEnv(t *testing.T, env []string, want map[string][]string) {
	t.Helper()
	for key, values := range want {
		if got := lookup(env, key); !slices.Equal(got, values) {
			t.Errorf("%s: %q, want %q", key, got, values)
		}
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEnvironment(t *testing.T) {
	s, _ := newUnit(t)
	s.state.Restarts, s.state.Cause = 7, policy.CauseMarker
	s.cfg.Env = []string{"PATH=/bin", "EMPTY=", "FROM=ours", "TWICE=a=b",
		"NOTIFY_SOCKET=/run/x", "WATCHDOG_PID=1", "WATCHDOG_USEC=2", "DUCTOR_SERVICE=launchd",
		"DUCTOR_NAME=other", "DUCTOR_INSTANCE=of the supervisor above us", "DUCTOR_RESTARTS=99"}
	s.cfg.EnvFile = filepath.Join(t.TempDir(), "env")
	writeFile(t, s.cfg.EnvFile, "FROM=file\nNEW='a b'\nDUCTOR_HOME=/elsewhere\nDUCTOR_SUPERVISOR_PID=1\n# comment\nexport EXPORTED=1\nNOTIFY_SOCKET=/asked/for\n")
	if err := s.readEnvFile(); err != nil {
		t.Fatal(err)
	}
	env := s.environment()
	wantEnv(t, env, map[string][]string{
		"PATH": {"/bin"}, "EMPTY": {""}, "TWICE": {"a=b"}, "FROM": {"file"}, "NEW": {"a b"}, "EXPORTED": {"1"},
		"WATCHDOG_PID": nil, "WATCHDOG_USEC": nil, "DUCTOR_SERVICE": nil,
		"NOTIFY_SOCKET": {"/asked/for"}, // the file is somebody's own word
		"DUCTOR_HOME":   {string(s.cfg.Home)}, "DUCTOR_NAME": {"bot"}, "DUCTOR_SUPERVISOR": {"1"},
		"DUCTOR_SUPERVISOR_PID": {itoa(os.Getpid())}, "DUCTOR_INSTANCE": {"INSTANCE"},
		"DUCTOR_RESTARTS": {"7"}, "DUCTOR_RESTART_REASON": {"marker"},
	})
}

func TestEnvironmentWithoutFile(t *testing.T) {
	s, _ := newUnit(t)
	s.cfg.Env = []string{"NOTIFY_SOCKET=/run/x", "A=1"}
	if err := s.readEnvFile(); err != nil {
		t.Fatal(err)
	}
	env := s.environment()
	wantEnv(t, env, map[string][]string{"NOTIFY_SOCKET": nil, "A": {"1"}})
	if len(env) != 8 {
		t.Errorf("environment %q", env)
	}
}

// TestBrokenEnvFileKeepsTheLast: a file that is being edited must not change
// what the bot gets to half of it.
func TestBrokenEnvFileKeepsTheLast(t *testing.T) {
	s, _ := newUnit(t)
	s.cfg.Env = []string{"A=ours"}
	s.cfg.EnvFile = filepath.Join(t.TempDir(), "env")
	writeFile(t, s.cfg.EnvFile, "A=1\nB=1\n")
	if err := s.readEnvFile(); err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string]func(){
		"malformed": func() { writeFile(t, s.cfg.EnvFile, "A=2\nthis is no assignment\n") },
		"gone":      func() {},
		"a folder":  func() { _ = os.Mkdir(s.cfg.EnvFile, 0o700) },
	} {
		if err := os.RemoveAll(s.cfg.EnvFile); err != nil {
			t.Fatal(err)
		}
		broken()
		if err := s.readEnvFile(); err == nil {
			t.Errorf("%s: no error", name)
		}
		env := s.environment()
		wantEnv(t, env, map[string][]string{"A": {"1"}, "B": {"1"}})
	}
	if err := os.RemoveAll(s.cfg.EnvFile); err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.cfg.EnvFile, "B=3\n") // whole again: the new one counts alone
	if err := s.readEnvFile(); err != nil {
		t.Fatal(err)
	}
	env := s.environment()
	wantEnv(t, env, map[string][]string{"A": {"ours"}, "B": {"3"}})
}

func TestCheckEnvFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	if got := exitcode.Of(CheckEnvFile(path)); got != exitcode.Usage {
		t.Errorf("absent: %d", got)
	}
	writeFile(t, path, "no assignment\n")
	if got := exitcode.Of(CheckEnvFile(path)); got != exitcode.DataErr {
		t.Errorf("malformed: %d", got)
	}
	writeFile(t, path, "A=1\n")
	if err := CheckEnvFile(path); err != nil {
		t.Error(err)
	}
}

func TestParseFailure(t *testing.T) {
	if f := parseFailure(nil); f != nil {
		t.Errorf("nothing means success: %+v", f)
	}
	line, err := jsonout.Line(jsonout.Failure{Error: "held", Code: 75, Message: "m", Hint: "h"})
	if err != nil {
		t.Fatal(err)
	}
	if f := parseFailure(line); f == nil || f.Code != 75 || f.Error != "held" || f.Message != "m" {
		t.Errorf("%+v", f)
	}
	// Words that are not understood were not success.
	for _, data := range []string{"\n", "x", "{}", "null", `{"code":0}`, `{"code":-1}`, `{"code":256}`, `{"code":"75"}`, string(line[:len(line)/2])} {
		if f := parseFailure([]byte(data)); f == nil || f.Code != exitcode.OSErr || f.Message == "" {
			t.Errorf("%q: %+v", data, f)
		}
	}
}

func FuzzParseFailure(f *testing.F) {
	f.Add([]byte(`{"schema":1,"error":"held","code":75,"message":"m","holder":{"pid":1}}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got := parseFailure(data)
		if (got == nil) != (len(data) == 0) {
			t.Fatalf("%q: %+v", data, got)
		}
		if got != nil && (got.Code <= 0 || got.Code > 255 || len(got.Message) > len(data)+1000) {
			t.Fatalf("%+v", got)
		}
	})
}

func FuzzEnvFile(f *testing.F) {
	f.Add("A=1\nexport B='x y'\n# c\nC=\"$A\"\n")
	f.Add("A")
	f.Fuzz(func(t *testing.T, text string) {
		s, _ := newUnit(t)
		s.cfg.EnvFile = filepath.Join(t.TempDir(), "env")
		writeFile(t, s.cfg.EnvFile, text)
		_ = s.readEnvFile()
		env := s.environment()
		for _, kv := range env {
			if strings.Count(kv, "\x00") > 0 {
				t.Skip("a NUL: the start fails, and says so")
			}
		}
		wantEnv(t, env, map[string][]string{"DUCTOR_INSTANCE": {"INSTANCE"}, "DUCTOR_NAME": {"bot"}})
	})
}

// stopRequest asks s as `stop` would, or by other content.
func stopRequest(t *testing.T, s *supervisor, text string) {
	t.Helper()
	writeFile(t, s.run.CtlStop(), text)
}

func TestTakeStop(t *testing.T) {
	s, events := newUnit(t)
	other := process.Identity{PID: s.self.PID, Start: s.self.Start + "1"}
	for _, tt := range []struct {
		name, text   string
		live, before bool // answers while we run, and for one that lay there when we came
	}{
		{"ours", StopText(s.self), true, true},
		{"an earlier process with our PID", StopText(other), false, false},
		{"another's", StopText(process.Identity{PID: 1, Start: "1"}), false, false},
		{"touch", "", true, false},
		{"somebody's word", "please\n", true, false},
		{"torn", itoa(s.self.PID), true, false},
		{"binary", "\x00\xff\x00", true, false},
		{"long", strings.Repeat("x", 1<<20), true, false},
	} {
		stopRequest(t, s, tt.text)
		if got := s.takeStop(true); got != tt.live {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.live)
		}
		stopRequest(t, s, tt.text)
		if got := s.takeStop(false); got != tt.before {
			t.Errorf("%s, from before: %v, want %v", tt.name, got, tt.before)
		}
		if _, err := os.Lstat(s.run.CtlStop()); err == nil {
			t.Errorf("%s: the request is still there", tt.name)
		}
	}
	if s.takeStop(true) {
		t.Error("a stop without a request")
	}
	if len(*events) != 0 {
		t.Errorf("warnings: %+v", *events)
	}
	if err := os.Mkdir(s.run.CtlStop(), 0o700); err != nil {
		t.Fatal(err)
	}
	if s.takeStop(true) || len(*events) != 1 {
		t.Errorf("a folder is a request, or nobody is told: %+v", *events)
	}
}

func FuzzStopText(f *testing.F) {
	f.Add("4242 123\n")
	f.Add("-1 x y")
	f.Add("99999999999999999999999 1")
	f.Fuzz(func(t *testing.T, text string) {
		s, _ := newUnit(t)
		stopRequest(t, s, text)
		if s.takeStop(false) && !strings.HasPrefix(strings.Join(strings.Fields(text), " "), strings.TrimSpace(StopText(s.self))) {
			t.Fatalf("%q from before us stops us", text)
		}
		if _, err := os.Lstat(s.run.CtlStop()); err == nil {
			t.Fatal("the request is still there")
		}
	})
}

func TestStopBeforeTheFirstStart(t *testing.T) {
	s, _ := newUnit(t)
	stopRequest(t, s, StopText(s.self))
	if s.clearStop(); !s.stopFirst {
		t.Error("a stop of ours that came early is lost")
	}
	s.stopFirst = false
	stopRequest(t, s, "")
	if s.clearStop(); s.stopFirst {
		t.Error("a stop of a supervisor before us stops us")
	}
}

// TestStopByFileIsOneStop: the second one would kill.
func TestStopByFileIsOneStop(t *testing.T) {
	s, events := newUnit(t)
	s.state = policy.State{Phase: policy.Stopping, Intent: policy.IntentStop, Deadline: time.Now().Add(time.Hour)}
	stopRequest(t, s, StopText(s.self))
	if s.lookAtFiles(); s.state.Killed || len(*events) != 0 {
		t.Errorf("killed: %v, events %+v", s.state.Killed, *events)
	}
	// The first signal on top of it is not the second signal, the second is.
	if s.signal(os.Interrupt, nil); s.state.Killed {
		t.Error("the first signal killed")
	}
}

// TestMarkersAreTaken: all of them, and told of as one request.
func TestMarkersAreTaken(t *testing.T) {
	s, events := newUnit(t)
	s.state = policy.State{Phase: policy.Stopping, Deadline: time.Now().Add(time.Hour)}
	extra := filepath.Join(t.TempDir(), "extra")
	s.markers = []string{s.run.CtlRestart(), extra}
	for _, m := range s.markers {
		if err := sentinel.WriteMarker(m); err != nil {
			t.Fatal(err)
		}
	}
	s.lookAtFiles()
	if s.state.Intent != policy.IntentRestart || s.state.Cause != policy.CauseMarker {
		t.Errorf("state %+v", s.state)
	}
	if len(*events) != 1 || (*events)[0].Type != journal.RestartRequest || (*events)[0].Path != s.run.CtlRestart() {
		t.Errorf("events %+v", *events)
	}
	for _, m := range s.markers {
		if _, err := os.Lstat(m); err == nil {
			t.Errorf("%s is still there", m)
		}
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	tool := filepath.Join(bin, "tool")
	if err := os.WriteFile(tool, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(bin, "text"), "")
	t.Setenv("PATH", bin)
	t.Chdir(t.TempDir()) // ours is another folder
	for _, tt := range []struct{ name, dir, want string }{
		{"tool", "", tool},
		{"tool", dir, tool},
		{tool, dir, tool},
		{"bin/tool", dir, tool},
		{"./bin/tool", dir, tool},
		{"./tool", bin, tool},
	} {
		if got, err := LookPath(tt.name, tt.dir); err != nil || got != tt.want {
			t.Errorf("%q in %q: %q, %v; want %q", tt.name, tt.dir, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		name, dir string
		want      int
	}{
		{"none", "", exitcode.NotFound},
		{"./tool", "", exitcode.NotFound},
		{"./bin/tool", "", exitcode.NotFound},
		{filepath.Join(bin, "text"), "", exitcode.CannotExec},
		{"bin/text", dir, exitcode.CannotExec},
		{bin, "", exitcode.CannotExec},
		{filepath.Join(tool, "below"), "", exitcode.CannotExec},
	} {
		_, err := LookPath(tt.name, tt.dir)
		if err == nil {
			t.Errorf("%q in %q was found", tt.name, tt.dir)
			continue
		}
		s, events := newUnit(t)
		s.state.Phase = policy.Starting
		s.spawnFailed(err)
		if s.state.Phase != policy.Fatal || s.state.Code != tt.want || !s.quit {
			t.Errorf("%q in %q: %s with %d, want %d", tt.name, tt.dir, s.state.Phase, s.state.Code, tt.want)
		}
		if e := (*events)[0]; e.Type != journal.NotExecuted || *e.Code != tt.want || e.Message == "" {
			t.Errorf("event %+v", e)
		}
	}
	if _, err := LookPath("none", ""); !strings.Contains(err.Error(), exec.ErrNotFound.Error()) {
		t.Errorf("%v", err)
	}
}

// TestLastExitSaysWhatItLedTo: it stays what it was when the next thing
// happens.
func TestLastExitSaysWhatItLedTo(t *testing.T) {
	s, _ := newUnit(t)
	s.cfg.NoLock = true
	s.cfg.Command = []string{filepath.Join(t.TempDir(), "none")}
	s.cfg.Policy = policy.Config{BackoffMin: time.Hour, BackoffMax: time.Hour, StopCodes: []int{0}}
	s.ranFor = 1.5
	s.state = policy.State{Phase: policy.Stopping, Executed: true, Exit: &policy.Exit{Code: 3}, Deadline: time.Now().Add(time.Hour)}
	s.step(policy.TreeGone{}, journal.Event{})
	want := journal.LastExit{Code: 3, RuntimeSeconds: 1.5, Reason: "crash"}
	if got := s.status.LastExit; got == nil || !reflect.DeepEqual(*got, want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
	// The next start fails: that is an end of its own, with nothing of the last.
	s.step(policy.Restart{Cause: policy.CauseSignal}, journal.Event{})
	want = journal.LastExit{Code: exitcode.NotFound, Reason: "crash"}
	if got := s.status.LastExit; s.state.Phase != policy.Backoff || !reflect.DeepEqual(*got, want) {
		t.Errorf("%s, %+v, want %+v", s.state.Phase, *got, want)
	}
	s.step(policy.Stop{}, journal.Event{})
	if got := s.status.LastExit; s.state.Phase != policy.Down || !reflect.DeepEqual(*got, want) {
		t.Errorf("%s, %+v: a stop in back-off is no end of a run", s.state.Phase, *got)
	}
}

func itoa(n int) string {
	return strings.TrimSpace(strings.Fields(StopText(process.Identity{PID: n, Start: "0"}))[0])
}
