package definition

import (
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
)

// plainUnit is what `ductor-service install` makes of nothing.
func plainUnit() Service {
	return Service{
		Name: "ductor", Home: "/home/thomas/.ductor", DefaultHome: true,
		Command: []string{"/home/thomas/.local/bin/ductor-supervise"}, Notify: true,
		Runner: "/home/thomas/.local/bin/ductor-service", Path: "/home/thomas/.local/bin:/usr/local/bin:/usr/bin:/bin",
		Dir: "/home/thomas", User: "thomas", StopSeconds: 45,
	}
}

// fullUnit has everything, and difficult words.
func fullUnit() Service {
	s := plainUnit()
	s.Name, s.Home, s.DefaultHome = "nas", "/srv/bots & more/nas", false
	s.Command = []string{"/opt/my bot/bot", `a "quoted" 'word'`, "", ";", "--", "größe\t1 ☂ 🤖", " spaces ", `back\slash`, `\`, "$HOME ${HOME} $$", "%h 100% %%", "-x", "#", "="}
	s.Notify = false
	s.Env, s.Managers = []string{"TOKEN=a=b%c", "EMPTY=", `GREETING=say "hello $USER"`}, []string{"NVM_DIR=/home/thomas/.config/nvm"}
	s.Sandbox, s.Updater = "/usr/bin/ductor-sandbox", "/usr/bin/ductor-update"
	s.StopSeconds, s.Linger = 90, true
	return s
}

// oddUnit lies where nothing should, and its runner where systemd starts
// nothing from.
func oddUnit() Service {
	s := plainUnit()
	s.Home, s.DefaultHome = "/home/o'dd \"50%\" $HOME\\n\tä☂/.ductor", false
	s.Runner = "/home/o'dd \"50%\" $0\\n\tä☂/ductor-service"
	s.Dir, s.User = `/home/o'dd "50%" $HOME\n ä☂\`, `DOMAIN\o'dd%u`
	return s
}

func units(t testing.TB, s Service, p Platform) []File {
	t.Helper()
	files, err := s.Render(p)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// readUnit reads a unit as systemd.syntax(7) says: "Section.Key" and its
// values, in their order.
func readUnit(text string) (map[string][]string, error) {
	settings, section := map[string][]string{}, ""
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.Trim(lines[i], " \t")
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + " " + strings.Trim(lines[i], " \t")
		}
		if name, is := strings.CutPrefix(line, "["); is {
			section = strings.TrimSuffix(name, "]")
			continue
		}
		key, value, is := strings.Cut(line, "=")
		if !is {
			return nil, fmt.Errorf("%q is no setting", line)
		}
		at := section + "." + strings.TrimRight(key, " \t")
		settings[at] = append(settings[at], strings.Trim(value, " \t"))
	}
	return settings, nil
}

// escapes are those of systemd.syntax(7) that have no number.
var escapes = map[byte]string{'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v", '\\': `\`, '"': `"`, '\'': `'`, 's': " "}

// numbers are the escapes with one: how many digits, and of which base.
var numbers = map[byte]struct{ digits, base int }{'x': {2, 16}, 'u': {4, 16}, 'U': {8, 16}}

// unescape reads what follows a backslash, and returns what it means and what
// follows that.
func unescape(in string) (meant, rest string, err error) {
	if in == "" {
		return "", "", errors.New("a backslash at the end")
	}
	if out, is := escapes[in[0]]; is {
		return out, in[1:], nil
	}
	n, is := numbers[in[0]]
	if is {
		in = in[1:]
	} else {
		n.digits, n.base = 3, 8
	}
	if len(in) < n.digits {
		return "", "", fmt.Errorf("%q is no escape", in)
	}
	code, err := strconv.ParseUint(in[:n.digits], n.base, 32)
	if n.digits == 2 || n.base == 8 {
		return string([]byte{byte(code)}), in[n.digits:], err
	}
	return string(rune(code)), in[n.digits:], err
}

// itemsOf takes a list of words apart, as systemd.syntax(7) says under QUOTING.
func itemsOf(in string) (words []string, err error) {
	for in = strings.TrimLeft(in, " \t"); in != ""; in = strings.TrimLeft(in, " \t") {
		if in == ";" || strings.HasPrefix(in, "; ") || strings.HasPrefix(in, ";\t") {
			return nil, errors.New("two commands")
		}
		var word strings.Builder
		quoted := byte(0)
		for in != "" && (quoted != 0 || in[0] != ' ' && in[0] != '\t') {
			c := in[0]
			in = in[1:]
			switch {
			case c == '\\':
				var meant string
				if meant, in, err = unescape(in); err != nil {
					return nil, err
				}
				word.WriteString(meant)
			case c == quoted:
				quoted = 0
			case quoted == 0 && (c == '"' || c == '\''):
				quoted = c
			default:
				word.WriteByte(c)
			}
		}
		if quoted != 0 {
			return nil, errors.New("a quote that does not end")
		}
		words = append(words, word.String())
	}
	return words, nil
}

// resolve replaces the specifiers of systemd.unit(5). All but %% are refused:
// we write no other.
func resolve(word string) (string, error) {
	text, pairs := "", strings.Split(word, "%%")
	for i, part := range pairs {
		if strings.Contains(part, "%") {
			return "", fmt.Errorf("%q has a specifier", word)
		}
		if i > 0 {
			text += "%"
		}
		text += part
	}
	return text, nil
}

// settingWords are the words of a setting such as Environment=.
func settingWords(value string) ([]string, error) {
	words, err := itemsOf(value)
	for i := range words {
		if err == nil {
			words[i], err = resolve(words[i])
		}
	}
	return words, err
}

// started is what systemd passes on for an ExecStart=, or why it would not, by
// systemd.service(5). Of the prefixes only "-" may be there.
func started(value string) ([]string, error) {
	value = strings.TrimPrefix(value, "-")
	if value == "" || strings.ContainsRune("@-:+!|", rune(value[0])) {
		return nil, fmt.Errorf("%q has a prefix", value)
	}
	words, err := settingWords(value)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 || strings.ContainsAny(words[0], "'\"\\\t\n") {
		return nil, fmt.Errorf("%q: executable name contains special characters", value)
	}
	for i := 1; i < len(words); i++ { // the program's own path is not expanded
		rest := strings.ReplaceAll(words[i], "$$", "")
		if strings.Contains(rest, "$") {
			return nil, fmt.Errorf("%q has a variable", words[i])
		}
		words[i] = strings.ReplaceAll(words[i], "$$", "$")
	}
	return throughShell(words), nil
}

// throughShell is what the one shell command that we write makes of its words.
func throughShell(words []string) []string {
	if len(words) > 3 && slices.Equal(words[:3], []string{"/bin/sh", "-c", `exec "$0" "$@"`}) {
		return words[3:]
	}
	return words
}

// TestItems has the examples of the manual pages, and what they forbid.
func TestItems(t *testing.T) {
	for in, want := range map[string][]string{
		`"two words" one`:         {"two words", "one"},
		`'a"b' "c'd"`:             {`a"b`, "c'd"},
		`a\x20b \u00e4\U0001f916`: {"a b", "ä🤖"},
		`\101\s\t "\"" ''`:        {"A \t", `"`, ""},
		`"a""b"`:                  {"ab"},
		"  ":                      nil,
	} {
		if got, err := itemsOf(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{`"a`, `a\`, `\q`, `\x1`, `'a\'`} {
		if got, err := itemsOf(in); err == nil {
			t.Errorf("%s: %q", in, got)
		}
	}
	for _, in := range []string{`"%h"`, `:"/bin/true"`, `"/it's"`, `"/bin/true" ; "/bin/false"`, `-`, ``, `"/bin/true" "$A"`, `"/bin/true" "$$$A"`} {
		if got, err := started(in); err == nil {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{
		"":            `""`,
		"a b":         `"a b"`,
		`"`:           `"\""`,
		`\`:           `"\\"`,
		`\n`:          `"\\n"`,
		"%h":          `"%%h"`,
		"%%":          `"%%%%"`,
		"a\tb":        `"a\tb"`,
		"$HOME":       `"$HOME"`,
		"it's; # ä=☂": `"it's; # ä=☂"`,
	} {
		if got := quote(word); got != want {
			t.Errorf("%q: %s, not %s", word, got, want)
		}
	}
}

func TestExecLine(t *testing.T) {
	sh := `"/bin/sh" "-c" "exec \"$$0\" \"$$@\"" `
	for want, words := range map[string][]string{
		`"/bin/bot"`:                          {"/bin/bot"},
		`"/my bot/50%%" "" ";" "$$A$$$$" "'"`: {"/my bot/50%", "", ";", "$A$$", "'"},
		`"/$HOME/${A}"`:                       {"/$HOME/${A}"},
		sh + `"/it's" "a"`:                    {"/it's", "a"},
		sh + `"/$$a\"b"`:                      {`/$a"b`},
		sh + `"/a\\b"`:                        {`/a\b`},
		sh + `"/a\tb"`:                        {"/a\tb"},
	} {
		if got := execLine(words); got != want {
			t.Errorf("%q: %s, not %s", words, got, want)
		}
		if got, err := started(want); err != nil || !slices.Equal(got, words) {
			t.Errorf("%s starts %q, %v", want, got, err)
		}
	}
}

// unitGolden are the files in testdata, and what systemd is to understand of
// them: what it starts, and in which environment.
type unitGolden struct {
	service  Service
	platform Platform
	file     int
	settings map[string]string // some, as they are written
	starts   []string
	before   []string
}

func unitGoldens() map[string]unitGolden {
	plain, full, odd := plainUnit(), fullUnit(), oddUnit()
	notify := map[string]string{"Unit.StartLimitIntervalSec": "0", "Service.Type": "notify", "Service.NotifyAccess": "main", "Service.Restart": "on-failure",
		"Service.RestartPreventExitStatus": "64 78", "Service.KillMode": "mixed", "Service.TimeoutStopSec": "45", "Service.SyslogIdentifier": "ductor",
		"Service.User": "", "Service.WorkingDirectory": "", "Service.TimeoutStartSec": "", "Install.WantedBy": "default.target"}
	system := map[string]string{"Service.Type": "notify", "Service.User": "thomas", "Service.WorkingDirectory": "/home/thomas", "Install.WantedBy": "multi-user.target"}
	oneshot := map[string]string{"Service.Type": "oneshot", "Service.SuccessExitStatus": "69", "Service.Restart": "", "Service.SyslogIdentifier": "nas-update", "Install.WantedBy": ""}
	update := []string{full.Runner, "run", "--", "/usr/bin/ductor-update", "check", "--name", "nas"}
	return map[string]unitGolden{
		"user.service":   {plain, SystemdUser, 0, notify, []string{plain.Runner, "run", "--", plain.Command[0]}, nil},
		"system.service": {plain, SystemdSystem, 0, system, []string{plain.Runner, "run", "--", plain.Command[0]}, nil},
		"full.service": {full, SystemdUser, 0, map[string]string{"Service.Type": "exec", "Service.NotifyAccess": "", "Service.TimeoutStartSec": "15min", "Service.TimeoutStopSec": "90"},
			append([]string{full.Runner, "run", "--"}, full.Command...), []string{full.Runner, "run", "--", "/usr/bin/ductor-sandbox", "up", "--name", "nas"}},
		"full-update.service":        {full, SystemdUser, 1, oneshot, update, nil},
		"full-update-system.service": {full, SystemdSystem, 1, map[string]string{"Service.User": "thomas", "Service.WorkingDirectory": "/home/thomas"}, update, nil},
		"full-update.timer": {full, SystemdUser, 2, map[string]string{"Timer.OnStartupSec": "60", "Timer.OnUnitInactiveSec": strconv.Itoa(int(full.interval().Seconds())),
			"Install.WantedBy": "timers.target", "Timer.OnCalendar": ""}, nil, nil},
		"full-update-system.timer": {full, SystemdSystem, 2, map[string]string{"Timer.OnStartupSec": "60"}, nil, nil},
		"odd.service":              {odd, SystemdUser, 0, nil, []string{odd.Runner, "run", "--", odd.Command[0]}, nil},
		"odd-system.service": {odd, SystemdSystem, 0, map[string]string{"Service.User": `DOMAIN\o'dd%%u`, "Service.WorkingDirectory": `/home/o'dd "50%%" $HOME\n ä☂\/`},
			[]string{odd.Runner, "run", "--", odd.Command[0]}, nil},
	}
}

func TestUnitGolden(t *testing.T) {
	for name, g := range unitGoldens() {
		data := units(t, g.service, g.platform)[g.file].Data
		asInFile(t, name, data)
		got, err := readUnit(string(data))
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range g.settings {
			if value := strings.Join(got[key], "|"); value != want {
				t.Errorf("%s: %s=%s, not %s", name, key, value, want)
			}
		}
		startsWords(t, name, got["Service.ExecStart"], g.starts)
		startsWords(t, name, got["Service.ExecStartPre"], g.before)
		if g.starts == nil {
			continue
		}
		env, err := environmentOf(got)
		if want := g.service.environment(); err != nil || !slices.Equal(env, want) {
			t.Errorf("%s: environment %q, %v, not %q", name, env, err, want)
		}
	}
}

// TestUnitSaysHowToEdit it so that the edit is found, in each scope.
func TestUnitSaysHowToEdit(t *testing.T) {
	for p, want := range map[Platform]string{SystemdUser: ": systemctl --user edit nas", SystemdSystem: ": systemctl edit nas"} {
		for _, f := range units(t, fullUnit(), p) {
			if line, _, _ := strings.Cut(string(f.Data), "\n"); !strings.Contains(line, want) {
				t.Errorf("%s, %s: %s", p, f.Name, line)
			}
		}
	}
}

// TestUnitsReadBySystemd lets systemd itself look for what it would not start,
// or ignore.
func TestUnitsReadBySystemd(t *testing.T) {
	clitest.Need(t, "systemd-analyze")
	for _, folder := range []string{"plain", "with space", "100%h", "$HOME", "it's", `say "hi"`, `back\slash`, "tab\tulator", "größe☂🤖"} {
		dir := filepath.Join(t.TempDir(), folder)
		s := fullUnit()
		s.Home, s.Dir, s.Runner = filepath.Join(dir, "home"), dir+`\`, filepath.Join(dir, "ductor-service")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(s.Runner, nil, 0o700)); err != nil {
			t.Fatal(err)
		}
		for p, scope := range map[Platform]string{SystemdUser: "--user", SystemdSystem: "--system"} {
			args := []string{scope, "verify"}
			for _, f := range units(t, s, p) {
				args = append(args, filepath.Join(t.TempDir(), f.Name))
				if err := os.WriteFile(args[len(args)-1], f.Data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := osexec.Command("systemd-analyze", args...)
			cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%q, %s: %v\n%s", folder, scope, err, out)
			}
		}
	}
}

// startsWords: a command that has to run, or one that need not.
func startsWords(t *testing.T, name string, values, want []string) {
	t.Helper()
	if want == nil {
		if len(values) > 0 {
			t.Errorf("%s starts %q", name, values)
		}
		return
	}
	if len(values) != 1 {
		t.Fatalf("%s starts %q", name, values)
	}
	if got, err := started(values[0]); err != nil || !slices.Equal(got, want) {
		t.Errorf("%s starts %q, %v, not %q", name, got, err, want)
	}
}

func environmentOf(unit map[string][]string) (env []string, err error) {
	for _, value := range unit["Service.Environment"] {
		words, e := settingWords(value)
		env, err = append(env, words...), errors.Join(err, e)
	}
	return env, err
}

// TestSandboxMayFail: a bot without one is better than none.
func TestSandboxMayFail(t *testing.T) {
	got, err := readUnit(string(units(t, fullUnit(), SystemdUser)[0].Data))
	if err != nil || !strings.HasPrefix(got["Service.ExecStartPre"][0], "-") || strings.HasPrefix(got["Service.ExecStart"][0], "-") {
		t.Errorf("%v, %q", err, got)
	}
}

func TestUnitReadBack(t *testing.T) {
	for name, g := range unitGoldens() {
		f := units(t, g.service, g.platform)[g.file]
		got, err := Read(g.platform, f.Data)
		want := Stored{Service: g.service, Part: []string{PartService, PartUpdate, PartUpdate}[g.file], Format: Format, sum: got.sum}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n%+v\nwant\n%+v", name, err, got, want)
		}
		if got.Stale(g.platform, f.Data) || !Equal(g.platform, f.Data, f.Data) {
			t.Errorf("%s is not as it was written", name)
		}
		if f.Name != g.service.Names(g.platform)[g.file] || g.file == 0 && f.Name != g.service.Main(g.platform) {
			t.Errorf("%s is called %q", name, f.Name)
		}
	}
}

// TestUnitsGoWithUpdater: one without, three with it.
func TestUnitsGoWithUpdater(t *testing.T) {
	if a, b := len(units(t, plainUnit(), SystemdUser)), len(units(t, fullUnit(), SystemdUser)); a != 1 || b != 3 {
		t.Errorf("%d units without a timer, %d with it", a, b)
	}
}

// TestUnitOfTheOtherScope is one that we would write otherwise.
func TestUnitOfTheOtherScope(t *testing.T) {
	data := units(t, plainUnit(), SystemdSystem)[0].Data
	if got, err := Read(SystemdUser, data); err != nil || got.Edited || !got.Stale(SystemdUser, data) || got.Stale(SystemdSystem, data) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestUnitEdited(t *testing.T) {
	for i, f := range units(t, fullUnit(), SystemdUser) {
		text := string(f.Data)
		edits := []string{text + "\n", text + "# mine\n", text[:len(text)-1], "\n" + text, strings.Replace(text, "[Unit]\n", "[Unit]\n\n", 1),
			strings.Replace(text, "For changes of your own", "Mine", 1), strings.Replace(text, "# ductor-service", "; ductor-service", 1),
			strings.ReplaceAll(text, "\n", "\r\n"), strings.Replace(text, `"sum":"`, `"sum":"0`, 1)}
		for _, edited := range edits {
			if edited == text {
				t.Fatal("nothing was edited")
			}
			got, err := Read(SystemdUser, []byte(edited))
			if err != nil || !got.Edited || Equal(SystemdUser, []byte(edited), f.Data) || !got.Stale(SystemdUser, []byte(edited)) || !reflect.DeepEqual(got.Service, fullUnit()) {
				t.Errorf("%d: %v, %+v\n%s", i, err, got, edited)
			}
		}
	}
}

// TestUnitTruncated: no part of a definition passes for a whole one.
func TestUnitTruncated(t *testing.T) {
	for _, f := range units(t, fullUnit(), SystemdUser) {
		for n := range f.Data {
			got, err := Read(SystemdUser, f.Data[:n])
			if err == nil && !got.Edited || err != nil && !errors.Is(err, ErrForeign) {
				t.Errorf("%s: %d of %d bytes: %v, %+v", f.Name, n, len(f.Data), err, got)
			}
		}
	}
}

func TestUnitOfAnother(t *testing.T) {
	data := string(units(t, plainUnit(), SystemdUser)[0].Data)
	for what, text := range map[string]string{
		"nothing":              "",
		"another's":            "[Unit]\nDescription=ductor\n[Service]\nExecStart=/usr/bin/ductor\n",
		"no stamp":             strings.Replace(data, "ductor-service: ", "somebody: ", 1),
		"a stamp without JSON": strings.Replace(data, `{"format"`, `"format"`, 1),
		"no format":            strings.Replace(data, `"format":1`, `"format":0`, 1),
		"a format below zero":  strings.Replace(data, `"format":1`, `"format":-1`, 1),
		"no name":              strings.Replace(data, `"name":"ductor"`, `"name":""`, 1),
		"no home":              strings.Replace(data, `"home":"/home/thomas/.ductor"`, `"home":""`, 1),
		"no command":           strings.Replace(data, `"command":["/home/thomas/.local/bin/ductor-supervise"]`, `"command":null`, 1),
		"a command of numbers": strings.Replace(data, `"command":["/home/thomas/.local/bin/ductor-supervise"]`, `"command":[1]`, 1),
	} {
		if text == data {
			t.Fatalf("%s: nothing was replaced", what)
		}
		if got, err := Read(SystemdUser, []byte(text)); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v, %+v", what, err, got)
		}
	}
}

// TestStampOfALaterVersion: what a later one added is no edit, and its format
// is there for who must not overwrite it.
func TestStampOfALaterVersion(t *testing.T) {
	text := string(units(t, plainUnit(), SystemdUser)[0].Data)
	text = strings.Replace(text, `"format":1`, `"format":2,"new":{"a":[1]}`, 1)
	if got, err := Read(SystemdUser, []byte(text)); err != nil || got.Edited || got.Format != 2 || !reflect.DeepEqual(got.Service, plainUnit()) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestUnknownPlatform is nobody's.
func TestUnknownPlatform(t *testing.T) {
	if _, err := plainUnit().Render("upstart"); err == nil || !strings.Contains(err.Error(), "upstart") {
		t.Error(err)
	}
	if _, err := Read("upstart", nil); err == nil || !strings.Contains(err.Error(), "upstart") {
		t.Error(err)
	}
	s := plainUnit()
	s.Command = nil
	if _, err := s.Render(SystemdUser); err == nil {
		t.Error("a service without a command")
	}
}

// TestSame: what the shell left is no change; all else is.
func TestSame(t *testing.T) {
	for what, change := range map[string]func(*Service){
		"PATH":     func(s *Service) { s.Path = "/bin" },
		"managers": func(s *Service) { s.Managers = []string{"NVM_DIR=/x"} },
		"linger":   func(s *Service) { s.Linger = !s.Linger },
		"env":      func(s *Service) { s.Env = []string{} },
	} {
		a, b := plainUnit(), plainUnit()
		change(&b)
		if !a.Same(b) || !b.Same(a) {
			t.Errorf("%s is a change", what)
		}
	}
	for what, change := range map[string]func(*Service){
		"home":    func(s *Service) { s.Home += "x" },
		"command": func(s *Service) { s.Command = append(s.Command, "") },
		"env":     func(s *Service) { s.Env = []string{"A="} },
		"runner":  func(s *Service) { s.Runner += "x" },
		"updater": func(s *Service) { s.Updater = "/x" },
		"stop":    func(s *Service) { s.StopSeconds++ },
	} {
		a, b := plainUnit(), plainUnit()
		change(&b)
		if a.Same(b) || b.Same(a) {
			t.Errorf("%s is no change", what)
		}
	}
}

// FuzzUnitWords: what is rendered is read as it was asked for, by systemd's
// rules and by ours.
func FuzzUnitWords(f *testing.F) {
	for _, w := range append(fullUnit().Command, "\u2028", "\u0085", "\u00a0", "\ufffd", "@STAMP@", "%%%", `\x41`, "'", "a\\\t ", `\"`, "# ductor-service: {}", "\n", "\ufdd0") {
		f.Add(w, w)
	}
	f.Fuzz(func(t *testing.T, word, value string) {
		s := fullUnit()
		s.Command, s.Env = append(s.Command, word), []string{"V=" + value}
		s.Home, s.Runner, s.Dir = "/"+word, "/"+value, "/"+word
		for _, p := range []Platform{SystemdUser, SystemdSystem} {
			files, err := s.Render(p)
			if err != nil {
				if Carries(word) == nil && Carries(value) == nil {
					t.Fatal(err)
				}
				return
			}
			got, err := readUnit(string(files[0].Data))
			if err != nil {
				t.Fatalf("%v\n%s", err, files[0].Data)
			}
			startsWords(t, files[0].Name, got["Service.ExecStart"], s.run(s.Command))
			startsWords(t, files[0].Name, got["Service.ExecStartPre"], s.run(s.up()))
			if env, err := environmentOf(got); err != nil || !slices.Equal(env, s.environment()) {
				t.Errorf("%q, %v, not %q", env, err, s.environment())
			}
			if p == SystemdSystem {
				dir, err := resolve(got["Service.WorkingDirectory"][0])
				if err != nil || path.Clean(dir) != path.Clean(s.Dir) {
					t.Errorf("starts in %q, %v, not in %q", dir, err, s.Dir)
				}
			}
			back, err := Read(p, files[0].Data)
			if err != nil || back.Edited || !reflect.DeepEqual(back.Service, s) {
				t.Fatalf("%v, %+v, want %+v", err, back, s)
			}
		}
	})
}

// FuzzReadUnit: whatever lies there, it is ours or it is not.
func FuzzReadUnit(f *testing.F) {
	for _, file := range units(f, fullUnit(), SystemdUser) {
		f.Add(file.Data)
		f.Add(file.Data[:len(file.Data)/2])
	}
	f.Add([]byte(stampMark + "{}"))
	f.Add([]byte("# " + stampMark + `{"format":1,"service":{"name":"a","home":"b","command":["c"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Read(SystemdUser, data)
		switch {
		case err != nil && !errors.Is(err, ErrForeign):
			t.Fatal(err)
		case err == nil && (got.Name == "" || got.Home == "" || len(got.Command) == 0):
			t.Fatalf("%+v", got)
		case err == nil:
			_ = got.Stale(SystemdUser, data)
		}
	})
}
