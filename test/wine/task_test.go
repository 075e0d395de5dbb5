package wine_test

import (
	"encoding/xml"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// taskScheduler runs ductor-service with wine's schtasks.exe, which registers
// what is XML and a task. Of that it stores but a part, see kept; and its
// powershell.exe does nothing, so that this is the way without one.
func (l *lab) taskScheduler(t *testing.T) {
	w := l.wine(t)
	t.Run("schtasks", w.schtasks)
	t.Run("install", w.install)
	t.Run("words", w.words)
}

// machine is the prefix, with a home of its own for one test.
type machine struct {
	*lab
	dir   string // here
	tasks string // wine's folder of tasks, here
}

func (l *lab) wine(t *testing.T) *machine {
	m := &machine{lab: l, dir: t.TempDir()}
	for _, e := range l.env {
		if prefix, is := strings.CutPrefix(e, "WINEPREFIX="); is {
			m.tasks = filepath.Join(prefix, "drive_c", "windows", "system32", "tasks")
		}
	}
	return m
}

// there is a path of here as Windows programs see it.
func there(path string) string { return "Z:" + strings.ReplaceAll(path, "/", `\`) }

// exec runs a program of Windows in the home. Its output goes to files, because
// wine's services keep pipes open.
func (m *machine) exec(t *testing.T, program string, args ...string) (out string, code int) {
	t.Helper()
	cmd := m.command(m.dir, "timeout", append([]string{"120", "wine", program}, args...)...)
	cmd.Env = append(cmd.Env, "DUCTOR_HOME="+there(filepath.Join(m.dir, "home")))
	f, err := os.CreateTemp(m.dir, "out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Run(); err != nil {
		if _, is := err.(*exec.ExitError); !is {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(data), cmd.ProcessState.ExitCode()
}

// service is ductor-service; its exit code must be this one.
func (m *machine) service(t *testing.T, code int, args ...string) string {
	t.Helper()
	out, got := m.exec(t, filepath.Join(m.bin, "ductor-service.exe"), args...)
	if got != code {
		t.Fatalf("ductor-service %q: exit code %d, not %d\n%s", args, got, code, out)
	}
	return out
}

// kept is what wine stores of a task, by the names of its elements. Of triggers,
// principals and actions nothing is left.
var kept = []string{"Description", "Documentation", "URI",
	"MultipleInstancesPolicy", "DisallowStartIfOnBatteries", "StopIfGoingOnBatteries", "AllowHardTerminate", "StartWhenAvailable",
	"RunOnlyIfNetworkAvailable", "AllowStartOnDemand", "Hidden", "RunOnlyIfIdle", "ExecutionTimeLimit", "Priority"}

// same fails the test if wine did not store what was written. It escapes
// nothing, so that what it stores is text, and not always XML.
func (m *machine) same(t *testing.T, name, written string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.tasks, name))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	dec := xml.NewDecoder(strings.NewReader(written))
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	for at := ""; ; {
		token, err := dec.Token()
		if err == io.EOF {
			break
		}
		switch token := token.(type) {
		case xml.StartElement:
			at = token.Name.Local
		case xml.CharData:
			seen[at] += string(token)
		case xml.EndElement:
			at = ""
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range kept {
		if want := "<" + k + ">" + seen[k] + "</" + k + ">"; seen[k] == "" || !strings.Contains(string(data), want) {
			t.Errorf("%s: no %s in:\n%s", name, want, data)
		}
	}
}

// render is the task that would be installed, as a file, and what it says.
func (m *machine) render(t *testing.T, name string, args ...string) (path, text string) {
	t.Helper()
	text = m.service(t, 0, append([]string{"render", "--name", name}, args...)...)
	path = filepath.Join(m.dir, name+".xml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "\xff\xfe") || len(text)%2 != 0 {
		t.Fatalf("it is not UTF-16 LE with a mark: %q…", text[:40])
	}
	var units []uint16
	for i := 2; i < len(text); i += 2 {
		units = append(units, uint16(text[i])|uint16(text[i+1])<<8)
	}
	return path, string(utf16.Decode(units))
}

// schtasks takes what render prints, and keeps what it knows.
func (m *machine) schtasks(t *testing.T) {
	for name, args := range map[string][]string{
		"plain": {"--", "ductor-supervisew", "--", "bot.exe"},
		"full":  {"--env", `A=größer & "<kleiner>"`, "--", "ductor-supervisew", "--", "bot.exe", `a "b" & <c> größe \`},
	} {
		path, text := m.render(t, name, args...)
		if out, code := m.exec(t, "schtasks.exe", "/Create", "/TN", name, "/XML", there(path), "/F"); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", name, code, out)
		}
		m.same(t, name, text)
		// It did read it: what is no XML it does not take.
		broken := filepath.Join(m.dir, "broken.xml")
		data, _ := os.ReadFile(path)
		data = []byte(strings.Replace(string(data), "<\x00/\x00T\x00a\x00s\x00k\x00", "<\x00/\x00T\x00u\x00s\x00k\x00", 1))
		if err := os.WriteFile(broken, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := m.exec(t, "schtasks.exe", "/Create", "/TN", "broken", "/XML", there(broken), "/F"); code == 0 {
			t.Errorf("a broken task was taken\n%s", out)
		}
	}
}

// install goes from nothing to nothing.
func (m *machine) install(t *testing.T) {
	command := []string{"--", "ductor-supervisew", "--", there(filepath.Join(m.bin, "fakebot.exe")), `größe "1" \`}
	says := func(out, pattern string) {
		t.Helper()
		if !regexp.MustCompile(pattern).MatchString(out) {
			t.Errorf("no %s in:\n%s", pattern, out)
		}
	}
	says(m.service(t, 4, "status"), `not-installed`)
	says(m.service(t, 0, append([]string{"install", "--no-start"}, command...)...), `created \\ductor\s`)
	_, text := m.render(t, "ductor", command...)
	m.same(t, "ductor", text)
	// Who has it running is not to be learned from schtasks. That wine has lost the
	// actions is an edit, and seen.
	says(m.service(t, 3, "status", "--json"), `"installed":true,"enabled":true,"state":"unknown".*"definition-edited"`)
	says(m.service(t, 78, append([]string{"install", "--no-start"}, command...)...), `was edited by hand`)
	says(m.service(t, 0, append([]string{"install", "--no-start", "--force", "--env", "A=1"}, command...)...), `(?s)updated \\ductor\s.*ductor\.task\.xml\.bak`)
	_, text = m.render(t, "ductor", append([]string{"--env", "A=1"}, command...)...)
	m.same(t, "ductor", text)
	says(m.service(t, 1, "doctor"), `no-powershell`)
	says(m.service(t, 0, "uninstall"), `(?s)removed \\ductor\s.*kept .*ductor\.task\.xml\.bak`)
	if _, err := os.Stat(filepath.Join(m.tasks, "ductor")); !os.IsNotExist(err) {
		t.Errorf("the task is still there: %v", err)
	}
	says(m.service(t, 0, "uninstall"), `not installed`)
	says(m.service(t, 1, "stop"), `no service "ductor" is installed`)
	says(m.service(t, 4, "status"), `not-installed`)
}

// words: the command line of a task comes apart into the words that it was made
// of, through a runner too.
func (m *machine) words(t *testing.T) {
	argv := filepath.Join(m.dir, "a program", "argv.exe")
	m.goTool("build", "-o", argv, "./test/wine/testdata/argv")
	words := []string{"plain", "two words", "", `C:\dir with space\`, `C:\dir\`, `\\server\share`, `say "hello"`, `\"`, `\\"`, `\\\ `, `a\\b\"c d`,
		"größe", "日本 語", "--", "--env", "'", "& | < > ^", "100%", "a\tb"}
	file, text := m.render(t, "argv", append([]string{"--", there(argv)}, words...)...)
	if !strings.Contains(text, `run --env`) { // its DUCTOR_HOME is not the default
		t.Errorf("no runner in:\n%s", text)
	}
	var want strings.Builder
	for _, word := range words {
		want.WriteString(strconv.QuoteToASCII(word) + "\n")
	}
	got, code := m.exec(t, argv, there(file))
	if got = strings.ReplaceAll(got, "\r\n", "\n"); code != 0 || got != want.String() {
		t.Errorf("exit code %d:\n%s\nwant\n%s\nof\n%s", code, got, &want, text)
	}
}
