package definition

import (
	"bytes"
	"errors"
	"os"
	osexec "os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"howett.net/plist"

	"ductor/internal/common/clitest"
)

// plainAgent is what `ductor-service install` makes of nothing.
func plainAgent() Service {
	return Service{
		Name: "ductor", Home: "/Users/thomas/.ductor", DefaultHome: true,
		Command: []string{"/opt/homebrew/bin/ductor-supervise"}, Notify: true,
		Runner: "/opt/homebrew/bin/ductor-service", Path: "/Users/thomas/.local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin",
		Dir: "/Users/thomas", User: "thomas", StopSeconds: 45,
	}
}

// fullAgent has everything, and difficult words.
func fullAgent() Service {
	s := plainAgent()
	s.Name, s.Home, s.DefaultHome = "nas", "/Volumes/Bots & <more>/nas", false
	s.Command = []string{"/Applications/My Bot.app/bot", `a "quoted" 'word'`, "", "--", "-->", "größe\t1 ☂ 🤖", " spaces ", "]]>", "&amp;", "$HOME %h"}
	s.Env = []string{"TOKEN=a=b&c", "EMPTY=", "GREETING=hello <you>"}
	s.Sandbox, s.Updater = "/opt/homebrew/bin/ductor-sandbox", "/opt/homebrew/bin/ductor-update"
	s.StopSeconds = 90
	return s
}

func agents(t testing.TB, s Service, p Platform) []File {
	t.Helper()
	files, err := s.Render(p)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// golden are the files in testdata, and what launchd is to understand of them.
type golden struct {
	service  Service
	platform Platform
	file     int
	want     map[string]any
}

func goldens() map[string]golden {
	environment := map[string]any{"DUCTOR_HOME": "/Users/thomas/.ductor", "DUCTOR_SERVICE": "launchd",
		"PATH": "/Users/thomas/.local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
	plain := map[string]any{
		"Label":                "dev.ductor",
		"ProgramArguments":     []any{"/opt/homebrew/bin/ductor-service", "run", "--", "/opt/homebrew/bin/ductor-supervise"},
		"RunAtLoad":            true,
		"KeepAlive":            map[string]any{"SuccessfulExit": false},
		"ThrottleInterval":     uint64(10),
		"ExitTimeOut":          uint64(45),
		"ProcessType":          "Interactive",
		"WorkingDirectory":     "/Users/thomas",
		"EnvironmentVariables": environment,
		"StandardOutPath":      "/Users/thomas/.ductor/logs/service.log",
		"StandardErrorPath":    "/Users/thomas/.ductor/logs/service.err",
	}
	daemon := with(plain, "UserName", "thomas")
	sandboxed := plainAgent()
	sandboxed.Sandbox = "/opt/homebrew/bin/ductor-sandbox"
	full := fullAgent()
	fullEnvironment := map[string]any{"DUCTOR_HOME": full.Home, "PATH": full.Path, "DUCTOR_SERVICE": "launchd",
		"TOKEN": "a=b&c", "EMPTY": "", "GREETING": "hello <you>"}
	fullWords := []any{"/opt/homebrew/bin/ductor-service", "run", "--", "/bin/sh", "-c", `"$0" up --name nas; exec "$@"`, "/opt/homebrew/bin/ductor-sandbox"}
	for _, w := range full.Command {
		fullWords = append(fullWords, w)
	}
	fullWant := with(plain, "Label", "dev.nas", "ProgramArguments", fullWords, "ExitTimeOut", uint64(90), "EnvironmentVariables", fullEnvironment,
		"StandardOutPath", full.Home+"/logs/service-nas.log", "StandardErrorPath", full.Home+"/logs/service-nas.err")
	timer := with(fullWant, "Label", "dev.nas.update", "StartInterval", uint64(full.interval().Seconds()), "EnvironmentVariables", without(fullEnvironment, "DUCTOR_SERVICE"),
		"ProgramArguments", []any{"/opt/homebrew/bin/ductor-service", "run", "--", "/bin/sh", "-c", `sleep 60; exec "$0" "$@"`,
			"/opt/homebrew/bin/ductor-update", "check", "--name", "nas"})
	return map[string]golden{
		"agent":   {plainAgent(), LaunchdAgent, 0, plain},
		"daemon":  {plainAgent(), LaunchdDaemon, 0, daemon},
		"sandbox": {sandboxed, LaunchdAgent, 0, with(plain, "ProgramArguments", []any{"/opt/homebrew/bin/ductor-service", "run", "--", "/bin/sh", "-c", `"$0" up; exec "$@"`, "/opt/homebrew/bin/ductor-sandbox", "/opt/homebrew/bin/ductor-supervise"})},
		"full":    {full, LaunchdAgent, 0, fullWant},
		"update":  {full, LaunchdAgent, 1, without(timer, "KeepAlive", "ThrottleInterval", "ExitTimeOut")},
	}
}

func with(m map[string]any, pairs ...any) map[string]any {
	out := without(m)
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1]
	}
	return out
}

func without(m map[string]any, keys ...string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	for _, k := range keys {
		delete(out, k)
	}
	return out
}

// asInFile compares what was rendered with a file in testdata;
// DUCTOR_TEST_UPDATE=1 writes that anew.
func asInFile(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("DUCTOR_TEST_UPDATE") != "" {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, data) {
		t.Errorf("%s is another:\n%s", path, data)
	}
}

func TestPlistGolden(t *testing.T) {
	for name, g := range goldens() {
		data := agents(t, g.service, g.platform)[g.file].Data
		asInFile(t, name+".plist", data)
		var got map[string]any
		if _, err := plist.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, g.want) {
			t.Errorf("%s: %v\n%v\nwant\n%v", name, err, got, g.want)
		}
	}
}

// TestPlistReadByAnother lets a program that others wrote for Apple's devices
// read what launchd is to read, and say it in Apple's other form.
func TestPlistReadByAnother(t *testing.T) {
	clitest.Need(t, "plistutil")
	for name, g := range goldens() {
		binary := filepath.Join(t.TempDir(), "binary")
		cmd := osexec.Command("plistutil", "-i", filepath.Join("testdata", name+".plist"), "-o", binary, "-f", "bin")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		data, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if format, err := plist.Unmarshal(data, &got); err != nil || format != plist.BinaryFormat || !reflect.DeepEqual(got, g.want) {
			t.Errorf("%s: %v\n%v\nwant\n%v", name, err, got, g.want)
		}
	}
}

func TestPlistReadBack(t *testing.T) {
	for name, g := range goldens() {
		f := agents(t, g.service, g.platform)[g.file]
		got, err := Read(g.platform, f.Data)
		want := Stored{Service: g.service, Part: []string{PartService, PartUpdate}[g.file], Format: Format, sum: got.sum}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n%+v\nwant\n%+v", name, err, got, want)
		}
		if got.Stale(g.platform, f.Data) || !Equal(g.platform, f.Data, f.Data) {
			t.Errorf("%s is not as it was written", name)
		}
		if f.Name != g.service.Names(g.platform)[g.file] {
			t.Errorf("%s is called %q", name, f.Name)
		}
	}
}

// TestPlistTimerGoesWithUpdater: one agent without, two with it.
func TestPlistTimerGoesWithUpdater(t *testing.T) {
	if got := len(agents(t, plainAgent(), LaunchdAgent)); got != 1 {
		t.Errorf("%d agents without a timer", got)
	}
	if got := len(agents(t, fullAgent(), LaunchdAgent)); got != 2 {
		t.Errorf("%d agents with a timer", got)
	}
}

func TestPlistEdited(t *testing.T) {
	text := string(agents(t, fullAgent(), LaunchdAgent)[0].Data)
	for old, new := range map[string]string{
		"<string>Interactive</string>": "<string>Background</string>",
		"<true/>":                      "<false/>",
		"\t<key>Label</key>":           "<key>Label</key>",
		"</plist>":                     "<!-- mine --></plist>",
		"it would be overwritten":      "it is mine",
		"<integer>90</integer>":        "<integer>91</integer>",
		`<plist version="1.0">`:        `<plist version="1.0" >`,
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("no %q in:\n%s", old, text)
		}
		edited := []byte(strings.Replace(text, old, new, 1))
		got, err := Read(LaunchdAgent, edited)
		if err != nil || !got.Edited || !got.Stale(LaunchdAgent, edited) || !reflect.DeepEqual(got.Service, fullAgent()) {
			t.Errorf("%q in place of %q: %v, %+v", new, old, err, got)
		}
	}
}

// TestPlistTruncated: no part of a definition passes for a whole one.
func TestPlistTruncated(t *testing.T) {
	data := agents(t, fullAgent(), LaunchdAgent)[0].Data
	for n := range data {
		got, err := Read(LaunchdAgent, data[:n])
		if err == nil && !got.Edited || err != nil && !errors.Is(err, ErrForeign) {
			t.Errorf("%d of %d bytes: %v, %+v", n, len(data), err, got)
		}
	}
}

func TestPlistOfAnother(t *testing.T) {
	data := string(agents(t, plainAgent(), LaunchdAgent)[0].Data)
	for what, text := range map[string]string{
		"nothing":      "",
		"the Python's": `<plist version="1.0"><dict><key>Label</key><string>dev.ductor</string></dict></plist>`,
		"no JSON":      strings.Replace(data, `{"format"`, `"format"`, 1),
		"no format":    strings.Replace(data, `"format":1`, `"format":0`, 1),
		"no home":      strings.Replace(data, `"home":"/Users/thomas/.ductor"`, `"home":""`, 1),
		"no command":   strings.Replace(data, `"command":["/opt/homebrew/bin/ductor-supervise"]`, `"command":[]`, 1),
	} {
		if text == data {
			t.Fatalf("%s: nothing was replaced", what)
		}
		if got, err := Read(LaunchdAgent, []byte(text)); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v, %+v", what, err, got)
		}
	}
}

// TestWordsThatNoPlistCarries are refused, and not left out.
func TestWordsThatNoPlistCarries(t *testing.T) {
	for _, word := range []string{"a\x00b", "a\nb", "a\rb", "\x1b[0m", "\xff", "\ufffe", "\ufdd0", "\U0001ffff", "\x7f"} {
		for where, change := range map[string]func(*Service){
			"command":     func(s *Service) { s.Command = append(s.Command, word) },
			"environment": func(s *Service) { s.Env = []string{"A=" + word} },
			"home":        func(s *Service) { s.Home += word },
		} {
			s := plainAgent()
			change(&s)
			if _, err := s.Render(LaunchdAgent); err == nil {
				t.Errorf("%q in the %s was taken", word, where)
			}
		}
	}
}

// FuzzPlistWords: what is rendered is read as it was asked for, by launchd's
// way and by ours.
func FuzzPlistWords(f *testing.F) {
	for _, w := range append(fullAgent().Command, "--", "\u2028", "\u00a0", "\ufffd", "<!-- -->", "@STAMP@", "<plist", "]]>") {
		f.Add(w, w)
	}
	f.Fuzz(func(t *testing.T, word, value string) {
		s := fullAgent()
		s.Command, s.Env, s.Home = append(s.Command, word), []string{"V=" + value}, "/"+word
		files, err := s.Render(LaunchdAgent)
		if err != nil {
			if Carries(word) == nil && Carries(value) == nil {
				t.Fatal(err)
			}
			return
		}
		var got agent
		if _, err := plist.Unmarshal(files[0].Data, &got); err != nil {
			t.Fatalf("%v\n%s", err, files[0].Data)
		}
		words := got.ProgramArguments
		if words[len(words)-1] != word || got.EnvironmentVariables["V"] != value || got.EnvironmentVariables["DUCTOR_HOME"] != "/"+word {
			t.Fatalf("%q, %q: %+v", word, value, got)
		}
		back, err := Read(LaunchdAgent, files[0].Data)
		if err != nil || back.Edited || !reflect.DeepEqual(back.Service, s) {
			t.Fatalf("%v, %+v, want %+v", err, back, s)
		}
	})
}

// FuzzReadPlist: whatever lies there, it is ours or it is not.
func FuzzReadPlist(f *testing.F) {
	for _, file := range agents(f, fullAgent(), LaunchdAgent) {
		f.Add(file.Data)
		f.Add(file.Data[:len(file.Data)/2])
	}
	f.Add([]byte(stampMark + "{}"))
	f.Add([]byte("<plist/>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Read(LaunchdAgent, data)
		switch {
		case err != nil && !errors.Is(err, ErrForeign):
			t.Fatal(err)
		case err == nil && (got.Name == "" || got.Home == "" || len(got.Command) == 0):
			t.Fatalf("%+v", got)
		case err == nil:
			_ = got.Stale(LaunchdAgent, data)
		}
	})
}
