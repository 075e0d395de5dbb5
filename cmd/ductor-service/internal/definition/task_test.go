package definition

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const testSID = "S-1-5-21-1-2-3-1001"

// plainTask is what `ductor-service install` makes of nothing.
func plainTask() Service {
	return Service{
		Name: "ductor", Home: `C:\Users\thomas\.ductor`, DefaultHome: true,
		Command: []string{`C:\ductor\ductor-supervisew.exe`, "--", `C:\Python312\pythonw.exe`, "-m", "ductor_bot"},
		Runner:  `C:\ductor\ductor-servicew.exe`, Dir: `C:\Users\thomas`, User: testSID, StopSeconds: 45,
	}
}

// fullTask has everything, and difficult words.
func fullTask() Service {
	s := plainTask()
	s.Name, s.Home, s.DefaultHome = "nas", `D:\bots & more\nas`, false
	s.Command = []string{`C:\Program Files\ductor\ductor-supervisew.exe`, "--name", "nas", "--", `C:\Program Files\bot\bot.exe`, `a "quoted" <word>`, "", `C:\dir with space\`, "--", "größe\t1"}
	s.Env = []string{`GREETING=hello "you" & <me>`}
	s.Dir = `C:\Users\Thomas Müller`
	s.Sandbox, s.Updater = `C:\ductor\ductor-sandbox.exe`, `C:\ductor\ductor-update.exe`
	return s
}

func renderTask(t testing.TB, s Service) []File {
	t.Helper()
	files, err := s.Render(Task)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestTaskSchema: each task is one that Task Scheduler can register.
func TestTaskSchema(t *testing.T) {
	sandboxed, withEnv, withTimer := plainTask(), plainTask(), plainTask()
	sandboxed.Sandbox = `C:\ductor\ductor-sandbox.exe`
	withEnv.Env = []string{"A=1"}
	withTimer.Updater = `C:\ductor\ductor-update.exe`
	for _, s := range []Service{plainTask(), fullTask(), sandboxed, withEnv, withTimer} {
		files := renderTask(t, s)
		for i, f := range files {
			if err := checkTask(f.Data); err != nil {
				t.Errorf("%s: %v", f.Name, err)
			}
			if f.Name != s.Names(Task)[i] {
				t.Errorf("task %d is called %q", i, f.Name)
			}
		}
		if want := map[bool]int{false: 1, true: 2}[s.Updater != ""]; len(files) != want {
			t.Errorf("%d tasks, not %d", len(files), want)
		}
	}
}

func TestTaskGolden(t *testing.T) {
	full := renderTask(t, fullTask())
	asInFile(t, "task.xml", renderTask(t, plainTask())[0].Data)
	asInFile(t, "task-full.xml", full[0].Data)
	asInFile(t, "task-update.xml", full[1].Data)
}

func shown(t testing.TB, data []byte) string {
	t.Helper()
	text, err := strictUTF16(data)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestTaskSays what the issue asks for, word by word.
func TestTaskSays(t *testing.T) {
	text := shown(t, renderTask(t, plainTask())[0].Data)
	for _, want := range []string{
		"<Delay>PT10S</Delay>", "<Priority>4</Priority>", "<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>",
		`<Command>"C:\ductor\ductor-supervisew.exe"</Command>`, `<Arguments>-- C:\Python312\pythonw.exe -m ductor_bot</Arguments>`,
		"<RunOnlyIfNetworkAvailable>false</RunOnlyIfNetworkAvailable>", "<StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>",
	} {
		// A quote is written as a reference, which means the same.
		if !strings.Contains(strings.ReplaceAll(text, "&#34;", `"`), want) {
			t.Errorf("no %s in:\n%s", want, text)
		}
	}
	if strings.Count(text, "<UserId>"+testSID+"</UserId>") != 2 {
		t.Error("the SID does not stand in trigger and principal")
	}
}

func TestTaskReadBack(t *testing.T) {
	for _, s := range []Service{plainTask(), fullTask()} {
		for i, f := range renderTask(t, s) {
			got, err := Read(Task, f.Data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Service, s) || got.Edited || got.Format != Format || got.Part != []string{PartService, PartUpdate}[i] {
				t.Errorf("%+v", got)
			}
			if got.Stale(Task, f.Data) || !Equal(Task, f.Data, f.Data) || !TaskEnabled(f.Data) {
				t.Errorf("%s: not as it was written", f.Name)
			}
		}
	}
}

// edit is a task after an edit of its text.
func edit(t testing.TB, data []byte, old, new string) []byte {
	t.Helper()
	text := shown(t, data)
	if !strings.Contains(text, old) {
		t.Fatalf("no %q in:\n%s", old, text)
	}
	return UTF16(strings.ReplaceAll(text, old, new))
}

func TestTaskEdited(t *testing.T) {
	files := renderTask(t, fullTask())
	for _, e := range []struct {
		file     int
		old, new string
	}{
		{0, "bot.exe", "other.exe"},
		{0, "ductor-sandbox.exe", "other.exe"},
		{0, "<WorkingDirectory>C:", "<WorkingDirectory>D:"},
		{0, "PT10S", "PT1M"},
		{0, "<Priority>4", "<Priority>7"},
		{0, "<Priority>4</Priority>", ""}, // and so 7, the default
		{0, "PT0S", "PT72H"},
		{0, "LeastPrivilege", "HighestAvailable"},
		{0, "<LogonTrigger>\r\n      <Enabled>true", "<LogonTrigger>\r\n      <Enabled>false"},
		{0, "<UserId>" + testSID + "</UserId>\r\n      <Delay>", "<Delay>"}, // anybody
		{0, "</LogonTrigger>", "</LogonTrigger><LogonTrigger><UserId>x</UserId></LogonTrigger>"},
		{0, "</LogonTrigger>", "</LogonTrigger><BootTrigger></BootTrigger>"},
		{0, "</LogonTrigger>", "</LogonTrigger><TimeTrigger><StartBoundary>2026-01-01T00:00:00</StartBoundary></TimeTrigger>"},
		{0, "</Exec>", "</Exec><Exec><Command>calc.exe</Command></Exec>"},
		{0, "</Actions>", "<ShowMessage><Title>x</Title><Body>y</Body></ShowMessage></Actions>"},
		{1, "<Interval>PT", "<Interval>PT1"},
		{1, "2020-01-01", "2021-01-01"},
		{1, "PT10M", "PT20M"},
	} {
		edited := edit(t, files[e.file].Data, e.old, e.new)
		got, err := Read(Task, edited)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Edited || Equal(Task, edited, files[e.file].Data) || !got.Stale(Task, edited) {
			t.Errorf("%q to %q: nobody noticed", e.old, e.new)
		}
	}
}

// TestTaskDisabled: to disable a task is no edit, but it is seen.
func TestTaskDisabled(t *testing.T) {
	data := renderTask(t, plainTask())[0].Data
	disabled := edit(t, data, "<Enabled>true</Enabled>\r\n    <Hidden>", "<Enabled>false</Enabled>\r\n    <Hidden>")
	got, err := Read(Task, disabled)
	if err != nil || got.Edited || TaskEnabled(disabled) {
		t.Errorf("edited %t, enabled %t, %v", got.Edited, TaskEnabled(disabled), err)
	}
	if !TaskEnabled(edit(t, data, "<Enabled>true</Enabled>\r\n    <Hidden>", "<Hidden>")) {
		t.Error("a task is enabled if it does not say otherwise")
	}
	if TaskEnabled([]byte("<")) {
		t.Error("what is no task is none that starts")
	}
}

// inSchedulersWords is a task in the words of Task Scheduler: in another order, without what is the default, with what it adds, and with the name of
// the user.
func inSchedulersWords(t testing.TB, data []byte) string {
	t.Helper()
	text := shown(t, data)
	_, body, _ := strings.Cut(text, "?>")
	var root element
	if err := xml.Unmarshal([]byte(body), &root); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-16"?>` + "\r\n")
	writeReordered(&b, root, 0)
	text = b.String()
	for _, dropped := range []string{"LogonTrigger", "Settings", "TimeTrigger"} {
		text = regexp.MustCompile(`(<`+dropped+`>(?s:.*?))\s*<Enabled>true</Enabled>`).ReplaceAllString(text, "$1")
	}
	for _, dropped := range []string{"<AllowHardTerminate>true</AllowHardTerminate>", "<RunLevel>LeastPrivilege</RunLevel>", "<Hidden>false</Hidden>",
		"<MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>"} {
		text = strings.ReplaceAll(text, dropped, "")
	}
	text = strings.ReplaceAll(text, "<UserId>"+testSID, `<UserId>NAS\thomas`)
	text = strings.ReplaceAll(text, "<Settings>", "<Settings><IdleSettings><StopOnIdleEnd>true</StopOnIdleEnd><RestartOnIdle>false</RestartOnIdle></IdleSettings><UseUnifiedSchedulingEngine>true</UseUnifiedSchedulingEngine>")
	return strings.ReplaceAll(text, "<RegistrationInfo>", "<RegistrationInfo><Date>2026-11-27T10:00:00</Date><Author>NAS\\thomas</Author><SecurityDescriptor></SecurityDescriptor>")
}

// writeReordered puts the children of each element that is no sequence in the
// order of their names.
func writeReordered(b *strings.Builder, e element, depth int) {
	indent := "\r\n" + strings.Repeat("  ", depth)
	fmt.Fprintf(b, "%s<%s", indent, e.XMLName.Local)
	if depth == 0 {
		fmt.Fprintf(b, ` xmlns=%q`, taskNamespace)
	}
	for _, a := range e.Attrs {
		if a.Name.Local != "xmlns" {
			fmt.Fprintf(b, ` %s=%q`, a.Name.Local, a.Value)
		}
	}
	b.WriteString(">")
	children := slices.Clone(e.Children)
	slices.SortStableFunc(children, func(x, y element) int { return strings.Compare(x.XMLName.Local, y.XMLName.Local) })
	for _, c := range children {
		writeReordered(b, c, depth+1)
	}
	if len(children) == 0 {
		_ = xml.EscapeText(b, []byte(e.Text))
		indent = ""
	}
	fmt.Fprintf(b, "%s</%s>", indent, e.XMLName.Local)
}

// TestTaskInSchedulersWords: a task is ours, and unchanged, in whatever form it
// comes back.
func TestTaskInSchedulersWords(t *testing.T) {
	for _, s := range []Service{plainTask(), fullTask()} {
		for _, f := range renderTask(t, s) {
			text := inSchedulersWords(t, f.Data)
			if strings.Contains(text, testSID+"</UserId>") {
				t.Fatal("the SID is still there")
			}
			for what, data := range map[string][]byte{"UTF-16": UTF16(text), "UTF-8": []byte(text), "UTF-8 with a mark": []byte("\ufeff" + text),
				"printed": []byte(strings.ReplaceAll(text, "\r\n", "\r\r\n"))} {
				got, err := Read(Task, data)
				if err != nil {
					t.Fatalf("%s: %v\n%s", what, err, text)
				}
				if got.Edited || !reflect.DeepEqual(got.Service, s) || !Equal(Task, data, f.Data) || got.Stale(Task, data) || !TaskEnabled(data) {
					t.Errorf("%s, %s: edited %t, stale %t\n%s", f.Name, what, got.Edited, got.Stale(Task, data), text)
				}
			}
		}
	}
}

func TestTaskForeign(t *testing.T) {
	ours := renderTask(t, plainTask())[0].Data
	for what, data := range map[string][]byte{
		"nothing":             nil,
		"a mark alone":        {0xff, 0xfe},
		"half a character":    ours[:len(ours)-1],
		"no XML":              UTF16("Access is denied."),
		"cut off":             ours[:len(ours)/2],
		"another namespace":   edit(t, ours, "2004/02/mit", "2005/02/mit"),
		"no stamp":            edit(t, ours, "ductor-service: ", "somebody: "),
		"a broken stamp":      edit(t, ours, "ductor-service: {", "ductor-service: ["),
		"a stamp of nobody":   edit(t, ours, "&#34;name&#34;", "&#34;nome&#34;"),
		"a stamp of format 0": edit(t, ours, "&#34;format&#34;:1", "&#34;format&#34;:0"),
	} {
		if _, err := Read(Task, data); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", what, err)
		}
		if Equal(Task, data, ours) {
			t.Errorf("%s is what was written", what)
		}
	}
}

// TestTaskPaths: what the schema has no room for is refused with its name.
func TestTaskPaths(t *testing.T) {
	long := plainTask()
	long.Command[0] = `C:\` + strings.Repeat("ü", 258-3-4) + `.exe` // and two quotes
	if _, err := long.Render(Task); err != nil {
		t.Errorf("260 characters: %v", err)
	}
	long.Command[0] = `C:\` + strings.Repeat("ü", 259-3-4) + `.exe`
	if _, err := long.Render(Task); err == nil || !strings.Contains(err.Error(), "üü") {
		t.Errorf("261 characters: %v", err)
	}
	noFolder := plainTask()
	noFolder.Dir = ""
	if _, err := noFolder.Render(Task); err == nil {
		t.Error("an empty folder was taken")
	}
}

// TestTaskTimer: two services do not ask at the same minute, and one always at
// the same.
func TestTaskTimer(t *testing.T) {
	seen := map[string]bool{}
	for i := range 50 {
		s := fullTask()
		s.User = fmt.Sprintf("S-1-5-21-1-2-3-%d", i)
		first, second := renderTask(t, s)[1].Data, renderTask(t, s)[1].Data
		if !bytes.Equal(first, second) {
			t.Fatal("it is another at each call")
		}
		seen[regexp.MustCompile(`<StartBoundary>.*<`).FindString(shown(t, first))] = true
		if err := checkTask(first); err != nil {
			t.Error(err)
		}
	}
	if len(seen) < 40 {
		t.Errorf("50 machines ask at %d times", len(seen))
	}
}

// argvW takes a command line apart as CommandLineToArgvW is documented to do:
// 2n backslashes before a quote are n, and the quote begins or ends a part; of
// 2n+1 the last makes the quote a character; all others are characters. "" in a
// quoted part is a quote. The first word is the program, and not read here.
func argvW(line string) (argv []string) {
	in := []rune(line)
	for i := 0; ; {
		for i < len(in) && (in[i] == ' ' || in[i] == '\t') {
			i++
		}
		if i == len(in) {
			return argv
		}
		var word []rune
		for quoted := false; i < len(in) && (quoted || in[i] != ' ' && in[i] != '\t'); {
			n := 0
			for i < len(in) && in[i] == '\\' {
				n, i = n+1, i+1
			}
			atQuote := i < len(in) && in[i] == '"'
			switch {
			case !atQuote:
				word = append(word, slices.Repeat([]rune{'\\'}, n)...)
				if n == 0 {
					word, i = append(word, in[i]), i+1
				}
			case n%2 == 1:
				word, i = append(append(word, slices.Repeat([]rune{'\\'}, n/2)...), '"'), i+1
			default:
				word, i = append(word, slices.Repeat([]rune{'\\'}, n/2)...), i+1
				if quoted && i < len(in) && in[i] == '"' {
					word, i = append(word, '"'), i+1
				} else {
					quoted = !quoted
				}
			}
		}
		argv = append(argv, string(word))
	}
}

// TestArgvW: the examples of its documentation, and some more.
func TestArgvW(t *testing.T) {
	for line, want := range map[string][]string{
		`"abc" d e`:      {"abc", "d", "e"},
		`a\\b d"e f"g h`: {`a\\b`, "de fg", "h"},
		`a\\\"b c d`:     {`a\"b`, "c", "d"},
		`a\\\\"b c" d e`: {`a\\b c`, "d", "e"},
		`"a""b" c`:       {`a"b`, "c"},
		`"" x`:           {"", "x"},
		`"\\" "a\\\\"`:   {`\`, `a\\`},
		"  a \t b  ":     {"a", "b"},
		``:               nil,
	} {
		if got := argvW(line); !slices.Equal(got, want) {
			t.Errorf("%s: %q, not %q", line, got, want)
		}
	}
}

var argumentSeeds = []string{"", " ", "a", `"`, `\`, `\\`, `a\`, `a b\`, `a b\\`, `\"`, `\\"`, `a"b c\`, "\t", `--x="y z"`, "größe", "日本 語", `C:\Program Files\`, "a\nb", `""`, `"""`}

func FuzzQuoteArgument(f *testing.F) {
	for i, s := range argumentSeeds {
		f.Add(s, argumentSeeds[(i+1)%len(argumentSeeds)])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			t.Skip("check refuses it")
		}
		words := []string{a, b, a + b, b + `\`}
		if got := argvW(commandLine(words)); !slices.Equal(got, words) {
			t.Errorf("%q: %q, not %q", commandLine(words), got, words)
		}
	})
}

func FuzzReadTask(f *testing.F) {
	for _, s := range []Service{plainTask(), fullTask()} {
		for _, file := range renderTask(f, s) {
			f.Add(file.Data)
			f.Add([]byte(inSchedulersWords(f, file.Data)))
		}
	}
	f.Add([]byte{0xff, 0xfe, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Read(Task, data)
		if err != nil {
			if !errors.Is(err, ErrForeign) {
				t.Errorf("%v is another error", err)
			}
			return
		}
		_ = TaskEnabled(data)
		if got.Name == "" || got.Home == "" || len(got.Command) == 0 {
			t.Errorf("incomplete: %+v", got)
		}
		_ = got.Stale(Task, data)
	})
}
