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
	Trigger struct {
		Enabled    bool
		Repetition *repetition
		UserID     string `xml:"UserId"`
		Delay      string
	} `xml:"Triggers>LogonTrigger"`
	Settings settings
	Actions  actions
}

type repetition struct{ Interval string }

type settings struct {
	MultipleInstancesPolicy    string
	DisallowStartIfOnBatteries bool
	StopIfGoingOnBatteries     bool
	AllowHardTerminate         bool
	StartWhenAvailable         bool
	RunOnlyIfNetworkAvailable  bool
	AllowStartOnDemand         bool
	Enabled                    bool
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
}

type exec struct {
	Command          string
	Arguments        string
	WorkingDirectory string
}

// logonDelay lets the desktop come up first.
const logonDelay = 10 * time.Second

func (s Service) tasks() ([]File, error) {
	main := s.task(s.Name, s.Name+", kept running by ductor", logonDelay)
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
	timer := s.task(s.Name+"-update", "look for a new version of "+s.Name, updateFirst)
	timer.Trigger.Repetition = &repetition{fmt.Sprintf("PT%dM", int(s.interval().Minutes()))}
	timer.Settings.ExecutionTimeLimit = "PT10M"
	timer.Actions.Exec = []exec{s.action(s.runHere(s.update()))}
	second, err := s.taskFile(PartUpdate, s.Name+"-update", timer)
	return []File{file, second}, err
}

// runHere is a command line that goes through the runner, with what systemd and
// launchd would put into the environment.
func (s Service) runHere(command []string) []string {
	words := []string{s.Runner, "run", "--env", "DUCTOR_HOME=" + s.Home}
	for _, e := range s.Env {
		words = append(words, "--env", e)
	}
	return append(append(words, "--"), command...)
}

func (s Service) task(uri, description string, delay time.Duration) task {
	var t task
	t.Version = "1.2"
	t.Registration.Description = description
	t.Registration.URI = `\` + uri
	t.Principal.ID = "Author"
	// Both are the user: a trigger without one means anybody, which takes an
	// administrator.
	t.Principal.UserID, t.Trigger.UserID = s.User, s.User
	t.Principal.LogonType = "InteractiveToken"
	t.Principal.RunLevel = "LeastPrivilege"
	t.Trigger.Enabled = true
	t.Trigger.Delay = fmt.Sprintf("PT%dS", int(delay.Seconds()))
	t.Settings = settings{
		MultipleInstancesPolicy: "IgnoreNew",
		AllowHardTerminate:      true,
		StartWhenAvailable:      true,
		AllowStartOnDemand:      true,
		Enabled:                 true,
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

// taskFile is UTF-16 LE with a mark: of the encodings that schtasks is said to
// take it refuses the others.
func (s Service) taskFile(part, name string, t task) (File, error) {
	st := stamp{Format: Format, Part: part, Sum: t.sum(), Service: s}
	t.Registration.Documentation = st.line()
	body, err := xml.MarshalIndent(t, "", "  ")
	if err != nil {
		return File{}, fmt.Errorf("write the task: %w", err)
	}
	text := `<?xml version="1.0" encoding="UTF-16"?>` + "\n" + string(body) + "\n"
	return File{name, toUTF16(strings.ReplaceAll(text, "\n", "\r\n"))}, nil
}

// sum is of what makes the task what it is. Task Scheduler stores it in words
// of its own: it adds what we left out, leaves out what is the default, and may
// name a user where we had a SID.
func (t task) sum() string {
	var b strings.Builder
	for _, e := range t.Actions.Exec {
		fmt.Fprintf(&b, "%q %q %q\n", e.Command, e.Arguments, e.WorkingDirectory)
	}
	interval := ""
	if t.Trigger.Repetition != nil {
		interval = t.Trigger.Repetition.Interval
	}
	fmt.Fprintf(&b, "%s %s %s %d %s", t.Trigger.Delay, interval, t.Settings.ExecutionTimeLimit, t.Settings.Priority, t.Principal.RunLevel)
	return sum(b.String())
}

func readTask(data []byte) (Stored, error) {
	text, err := fromUTF16(data)
	if err != nil {
		return Stored{}, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	dec := xml.NewDecoder(strings.NewReader(text))
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is UTF-8 by now
	var t task
	if err := dec.Decode(&t); err != nil {
		return Stored{}, fmt.Errorf("%w: it is not a task: %w", ErrForeign, err)
	}
	st, err := readStamp(t.Registration.Documentation)
	if err != nil {
		return Stored{}, err
	}
	return Stored{Service: st.Service, Part: st.Part, Format: st.Format, Edited: t.sum() != st.Sum, sum: st.Sum}, nil
}

func toUTF16(text string) []byte {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// fromUTF16 also takes UTF-8, which is what programs print.
func fromUTF16(data []byte) (string, error) {
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
