package definition

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// task is the part of the Task Scheduler schema, version 1.2, that we use, in
// the order that its sequences demand.
type task struct {
	XMLName      xml.Name `xml:"http://schemas.microsoft.com/windows/2004/02/mit/task Task"`
	Version      string   `xml:"version,attr"`
	Registration struct {
		Description   string
		Documentation string // the stamp: it is kept where a comment is lost
		URI           string
	} `xml:"RegistrationInfo"`
	Principal struct {
		ID        string `xml:"id,attr"`
		UserID    string `xml:"UserId"`
		LogonType string
		RunLevel  string
	} `xml:"Principals>Principal"`
	Triggers triggers
	Settings settings
	Actions  actions
}

type triggers struct {
	Logon []logonTrigger `xml:"LogonTrigger"`
	Time  []timeTrigger  `xml:"TimeTrigger"`
	Other []anything     `xml:",any"`
}

type logonTrigger struct {
	Enabled *bool  // nil is true
	UserID  string `xml:"UserId"` // nobody means anybody
	Delay   string
}

type timeTrigger struct {
	Enabled       *bool
	StartBoundary string
	Repetition    *repetition
}

type repetition struct{ Interval string }

// anything is what we never write: somebody added it.
type anything struct{ XMLName xml.Name }

type settings struct {
	MultipleInstancesPolicy    string
	DisallowStartIfOnBatteries bool
	StopIfGoingOnBatteries     bool
	AllowHardTerminate         bool
	StartWhenAvailable         bool
	RunOnlyIfNetworkAvailable  bool
	AllowStartOnDemand         bool
	Enabled                    *bool
	Hidden                     bool
	RunOnlyIfIdle              bool
	ExecutionTimeLimit         string
	Priority                   int
	RestartOnFailure           *restartOnFailure
}

type restartOnFailure struct {
	Interval string
	Count    int
}

type actions struct {
	Context string `xml:"Context,attr"`
	Exec    []exec
	Other   []anything `xml:",any"`
}

type exec struct {
	Command          string
	Arguments        string
	WorkingDirectory string
}

// logonDelay lets the desktop come up first.
const logonDelay = 10 * time.Second

func (s Service) tasks() ([]File, error) {
	main := s.task(s.Name, s.Name+", kept running by ductor")
	main.Triggers.Logon = []logonTrigger{{Enabled: yes(), UserID: s.User, Delay: seconds(logonDelay)}}
	// Without a limit. Task Scheduler starts again only what could not be started.
	main.Settings.ExecutionTimeLimit = "PT0S"
	main.Settings.RestartOnFailure = &restartOnFailure{"PT1M", 255}
	if s.Sandbox != "" {
		main.Actions.Exec = append(main.Actions.Exec, s.action(s.runHere(s.up())))
	}
	command := s.Command
	if !s.DefaultHome || len(s.Env) > 0 {
		command = s.runHere(command) // a task has no environment of its own
	}
	main.Actions.Exec = append(main.Actions.Exec, s.action(command))
	file, err := s.taskFile(PartService, s.Name, main)
	if err != nil || s.Updater == "" {
		return []File{file}, err
	}
	timer := s.task(s.Name+"-update", "look for a new version of "+s.Name)
	// After a logon, and by the clock: what repeats from a logon on would begin at
	// the next one, which may be months away. The first time has long been.
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(s.lot(3600)) * time.Second)
	timer.Triggers.Logon = []logonTrigger{{Enabled: yes(), UserID: s.User, Delay: seconds(updateFirst)}}
	timer.Triggers.Time = []timeTrigger{{yes(), start.Format("2006-01-02T15:04:05"), &repetition{fmt.Sprintf("PT%dM", int(s.interval().Minutes()))}}}
	timer.Settings.ExecutionTimeLimit = "PT10M"
	timer.Actions.Exec = []exec{s.action(s.runHere(s.update()))}
	second, err := s.taskFile(PartUpdate, s.Name+"-update", timer)
	return []File{file, second}, err
}

func yes() *bool { b := true; return &b }

func seconds(d time.Duration) string { return fmt.Sprintf("PT%dS", int(d.Seconds())) }

// runHere is a command line that goes through the runner, with what systemd and
// launchd would put into the environment.
func (s Service) runHere(command []string) []string {
	words := []string{s.Runner, "run", "--env", "DUCTOR_HOME=" + s.Home}
	if s.Name != "ductor" { // whose log it is
		words = append(words, "--env", "DUCTOR_NAME="+s.Name)
	}
	for _, e := range s.Env {
		words = append(words, "--env", e)
	}
	return append(append(words, "--"), command...)
}

func (s Service) task(uri, description string) task {
	var t task
	t.Version = "1.2"
	t.Registration.Description = description
	t.Registration.URI = `\` + uri
	t.Principal.ID = "Author"
	// As in the trigger, which without one means anybody: that takes an administrator.
	t.Principal.UserID = s.User
	t.Principal.LogonType = "InteractiveToken"
	t.Principal.RunLevel = leastPrivilege
	t.Settings = settings{
		MultipleInstancesPolicy: "IgnoreNew",
		AllowHardTerminate:      true,
		StartWhenAvailable:      true,
		AllowStartOnDemand:      true,
		Enabled:                 yes(),
		// The only one that is normal for the processor, the disk and memory alike.
		Priority: 4,
	}
	t.Actions.Context = "Author"
	return t
}

func (s Service) action(words []string) exec {
	return exec{Command: `"` + words[0] + `"`, Arguments: commandLine(words[1:]), WorkingDirectory: s.Dir}
}

// commandLine joins words as CommandLineToArgvW takes them apart.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quoteArgument(w)
	}
	return strings.Join(quoted, " ")
}

func quoteArgument(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\"") {
		return word
	}
	var b strings.Builder
	backslashes := 0
	for _, r := range word {
		switch r {
		case '\\':
			backslashes++
			continue
		case '"': // those before a quote are doubled, and one is for the quote
			backslashes = 2*backslashes + 1
		}
		b.WriteString(strings.Repeat(`\`, backslashes))
		backslashes = 0
		b.WriteRune(r)
	}
	return `"` + b.String() + strings.Repeat(`\`, 2*backslashes) + `"`
}

// maxPath is the longest path that the schema has (pathType).
const maxPath = 260

// taskFile is UTF-16 LE with a mark: of the encodings that schtasks is said to
// take it refuses the others.
func (s Service) taskFile(part, name string, t task) (File, error) {
	for _, e := range t.Actions.Exec {
		for _, path := range []string{e.Command, e.WorkingDirectory} {
			if n := utf8.RuneCountInString(path); n == 0 || n > maxPath {
				return File{}, fmt.Errorf("a task takes paths of 1 to %d characters, not %q", maxPath, path)
			}
		}
	}
	st := stamp{Format: Format, Part: part, Sum: t.sum(), Service: s}
	t.Registration.Documentation = st.line()
	body, err := xml.MarshalIndent(t, "", "  ")
	if err != nil {
		return File{}, fmt.Errorf("write the task: %w", err)
	}
	text := `<?xml version="1.0" encoding="UTF-16"?>` + "\n" + string(body) + "\n"
	return File{name, UTF16(strings.ReplaceAll(text, "\n", "\r\n"))}, nil
}

// sum is of what makes the task what it is. Task Scheduler stores it in words
// of its own: it adds what we left out, leaves out what is the default, and may
// name a user where we had a SID. That the whole task was disabled is no edit.
func (t task) sum() string {
	var b strings.Builder
	for _, e := range t.Actions.Exec {
		fmt.Fprintf(&b, "%q %q %q\n", e.Command, e.Arguments, e.WorkingDirectory)
	}
	for _, l := range t.Triggers.Logon {
		fmt.Fprintf(&b, "logon %t %t %s\n", l.Enabled == nil || *l.Enabled, l.UserID != "", l.Delay)
	}
	for _, c := range t.Triggers.Time {
		fmt.Fprintf(&b, "time %t %s %v\n", c.Enabled == nil || *c.Enabled, c.StartBoundary, c.Repetition)
	}
	level := t.Principal.RunLevel
	if level == "" {
		level = leastPrivilege
	}
	fmt.Fprintf(&b, "%v %v %s %d %s", t.Triggers.Other, t.Actions.Other, t.Settings.ExecutionTimeLimit, t.Settings.Priority, level)
	return sum(b.String())
}

const leastPrivilege = "LeastPrivilege" // the default

// decodeTask reads a task, whoever wrote it.
func decodeTask(data []byte) (t task, err error) {
	text, err := FromUTF16(data)
	if err != nil {
		return t, err
	}
	dec := xml.NewDecoder(strings.NewReader(text))
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is UTF-8 by now
	return t, dec.Decode(&t)
}

// TaskEnabled reports whether a task is one that Task Scheduler starts.
func TaskEnabled(data []byte) bool {
	t, err := decodeTask(data)
	return err == nil && (t.Settings.Enabled == nil || *t.Settings.Enabled)
}

func readTask(data []byte) (Stored, error) {
	t, err := decodeTask(data)
	if err != nil {
		return Stored{}, fmt.Errorf("%w: it is not a task: %w", ErrForeign, err)
	}
	st, err := readStamp(t.Registration.Documentation)
	if err != nil {
		return Stored{}, err
	}
	return Stored{Service: st.Service, Part: st.Part, Format: st.Format, Edited: t.sum() != st.Sum, sum: st.Sum}, nil
}

// UTF16 encodes text as the Task Scheduler wants it: little-endian, with a mark.
func UTF16(text string) []byte {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// FromUTF16 also takes UTF-8, which is what programs print.
func FromUTF16(data []byte) (string, error) {
	rest, marked := bytes.CutPrefix(data, []byte{0xff, 0xfe})
	if !marked {
		return string(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))), nil
	}
	if len(rest)%2 != 0 {
		return "", errors.New("half a character is missing at its end")
	}
	units := make([]uint16, len(rest)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(rest[2*i:])
	}
	return string(utf16.Decode(units)), nil
}
