package definition

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// The published schema of tasks ("Task Scheduler Schema" of the Windows SDK,
// and [MS-TSCH] 2.5), as far as we use it. wine's schtasks takes what Windows
// refuses, so this is what says whether a task of ours could be registered.

// kind is a type of the schema.
type kind struct {
	source   string // the name of the type in the schema
	sequence bool   // children come in this order; otherwise in any
	children []child
	attrs    map[string]func(string) error
	text     func(string) error // of what has no children
}

type child struct {
	name     string
	kind     kind
	min, max int
}

func simple(source string, text func(string) error) kind { return kind{source: source, text: text} }

func optional(name string, k kind) child    { return child{name, k, 0, 1} }
func required(name string, k kind) child    { return child{name, k, 1, 1} }
func many(name string, k kind, n int) child { return child{name, k, 0, n} }

var (
	anyString = simple("xs:string", func(string) error { return nil })
	nonEmpty  = simple("nonEmptyString", func(s string) error { return fails(s == "", "empty") })
	pathType  = simple("pathType", func(s string) error {
		return fails(s == "" || utf8.RuneCountInString(s) > 260, "not 1 to 260 characters")
	})
	boolean  = simple("xs:boolean", oneOf("true", "false", "1", "0"))
	dateTime = simple("xs:dateTime", func(s string) error { _, err := time.Parse("2006-01-02T15:04:05", s); return err })
	duration = simple("xs:duration", func(s string) error { _, err := xsDuration(s); return err })
	minutes  = simple("xs:duration of PT1M to P31D", func(s string) error {
		d, err := xsDuration(s)
		return errors.Join(err, fails(d < time.Minute || d > 31*24*time.Hour, "%s is not 1 minute to 31 days", s))
	})
	// Stricter than the schema, which takes any name: a SID survives renames, and
	// means the same in each language.
	sid = simple("nonEmptyString, a SID", matches(`^S-1-[0-9]+(-[0-9]+)+$`))
)

func whole(low, high int) func(string) error {
	return func(s string) error {
		n, err := strconv.Atoi(s)
		return errors.Join(err, fails(n < low || n > high, "%s is not %d to %d", s, low, high))
	}
}

func oneOf(words ...string) func(string) error {
	return func(s string) error { return fails(!slices.Contains(words, s), "%q is none of %q", s, words) }
}

func matches(pattern string) func(string) error {
	re := regexp.MustCompile(pattern)
	return func(s string) error { return fails(!re.MatchString(s), "%q does not match %s", s, pattern) }
}

func fails(bad bool, format string, args ...any) error {
	if bad {
		return fmt.Errorf(format, args...)
	}
	return nil
}

var durationParts = regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$`)

// xsDuration leaves out years, months and fractions, which we do not write.
func xsDuration(s string) (d time.Duration, err error) {
	m := durationParts.FindStringSubmatch(s)
	if m == nil || strings.HasSuffix(s, "T") || s == "P" {
		return 0, fmt.Errorf("%q is no xs:duration", s)
	}
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n, _ := strconv.Atoi("0" + m[i+1])
		d += time.Duration(n) * unit
	}
	return d, nil
}

// triggerBase is what all triggers begin with.
var triggerBase = []child{
	optional("Enabled", boolean), optional("StartBoundary", dateTime), optional("EndBoundary", dateTime),
	optional("Repetition", kind{source: "repetitionType", children: []child{
		required("Interval", minutes), optional("Duration", minutes), optional("StopAtDurationEnd", boolean)}}),
	optional("ExecutionTimeLimit", duration),
}

func trigger(source string, own ...child) kind {
	return kind{source: source, sequence: true, children: append(slices.Clone(triggerBase), own...)}
}

// logon has a user, which the schema does not ask for: without one it means
// anybody, and takes an administrator.
var logon = trigger("logonTriggerType", required("UserId", sid), optional("Delay", duration))

// clock has a start, which the schema does not ask for either, but the service.
var clock = func() kind {
	k := trigger("timeTriggerType", optional("RandomDelay", duration))
	k.children[1].min = 1
	return k
}()

var taskSettings = kind{source: "settingsType", children: []child{
	optional("AllowStartOnDemand", boolean),
	optional("RestartOnFailure", kind{source: "restartType", children: []child{
		required("Interval", minutes), required("Count", simple("xs:unsignedByte from 1", whole(1, 255)))}}),
	optional("MultipleInstancesPolicy", simple("multipleInstancesPolicyType", oneOf("Parallel", "Queue", "IgnoreNew", "StopExisting"))),
	optional("DisallowStartIfOnBatteries", boolean), optional("StopIfGoingOnBatteries", boolean),
	optional("AllowHardTerminate", boolean), optional("StartWhenAvailable", boolean),
	optional("NetworkProfileName", anyString), optional("RunOnlyIfNetworkAvailable", boolean),
	optional("WakeToRun", boolean), optional("Enabled", boolean), optional("Hidden", boolean),
	optional("DeleteExpiredTaskAfter", duration), optional("ExecutionTimeLimit", duration),
	optional("Priority", simple("priorityType", whole(0, 10))), optional("RunOnlyIfIdle", boolean),
}}

var schema = kind{source: "taskType", attrs: map[string]func(string) error{"version": oneOf("1.2")}, children: []child{
	optional("RegistrationInfo", kind{source: "registrationInfoType", children: []child{
		optional("URI", simple("xs:anyURI", matches(`^\\[^\s\\]+$`))), optional("SecurityDescriptor", anyString), optional("Source", anyString),
		optional("Date", dateTime), optional("Author", anyString), optional("Version", anyString),
		optional("Description", anyString), optional("Documentation", anyString)}}),
	optional("Triggers", kind{source: "triggersType", children: []child{many("LogonTrigger", logon, 48), many("TimeTrigger", clock, 48)}}),
	optional("Settings", taskSettings),
	optional("Principals", kind{source: "principalsType", children: []child{
		required("Principal", kind{source: "principalType", attrs: map[string]func(string) error{"id": matches(`^[A-Za-z_]\w*$`)}, children: []child{
			required("UserId", sid), optional("LogonType", simple("logonType", oneOf("S4U", "Password", "InteractiveToken", "InteractiveTokenOrPassword"))),
			optional("GroupId", nonEmpty), optional("DisplayName", anyString),
			optional("RunLevel", simple("runLevelType", oneOf("LeastPrivilege", "HighestAvailable")))}})}}),
	required("Actions", kind{source: "actionsType", attrs: map[string]func(string) error{"Context": matches(`^[A-Za-z_]\w*$`)}, children: []child{
		// The schema has Exec as xs:all; the order is that of Windows' own exports.
		{"Exec", kind{source: "execType", sequence: true, children: []child{
			required("Command", pathType), optional("Arguments", anyString), optional("WorkingDirectory", pathType)}}, 1, 32}}}),
}}

// element is a piece of XML, whatever it means.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

// first is the element at the end of a path.
func (e element) first(names ...string) (found element) {
	for _, name := range names {
		i := slices.IndexFunc(e.Children, func(c element) bool { return c.XMLName.Local == name })
		if i < 0 {
			return element{}
		}
		e = e.Children[i]
	}
	return e
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

const taskNamespace = "http://schemas.microsoft.com/windows/2004/02/mit/task"

// check says what of an element is not as its type has it.
func (k kind) check(e element) error {
	wrong := func(err error) error {
		if err == nil {
			return nil
		}
		return fmt.Errorf("%s (%s): %w", e.XMLName.Local, k.source, err)
	}
	err := wrong(fails(e.XMLName.Space != taskNamespace, "namespace %q", e.XMLName.Space))
	for _, a := range e.Attrs {
		if valid, known := k.attrs[a.Name.Local]; known {
			err = errors.Join(err, wrong(valid(a.Value)))
		} else if a.Name.Local != "xmlns" {
			err = errors.Join(err, wrong(fmt.Errorf("has the attribute %s", a.Name.Local)))
		}
	}
	if k.text != nil {
		return errors.Join(err, wrong(fails(len(e.Children) > 0, "has children")), wrong(k.text(e.Text)))
	}
	err = errors.Join(err, wrong(fails(strings.TrimSpace(e.Text) != "", "has text")))
	count, last := map[string]int{}, -1
	for _, c := range e.Children {
		i := slices.IndexFunc(k.children, func(known child) bool { return known.name == c.XMLName.Local })
		if i < 0 {
			err = errors.Join(err, wrong(fmt.Errorf("has a %s", c.XMLName.Local)))
			continue
		}
		count[c.XMLName.Local]++
		err = errors.Join(err, wrong(fails(k.sequence && i < last, "%s is too late", c.XMLName.Local)), k.children[i].kind.check(c))
		last = i
	}
	for _, c := range k.children {
		n := count[c.name]
		err = errors.Join(err, wrong(fails(n < c.min || n > c.max, "%d of %s, not %d to %d", n, c.name, c.min, c.max)))
	}
	return err
}

// checkTask checks a file that is to be registered.
func checkTask(data []byte) error {
	text, err := strictUTF16(data)
	if err != nil {
		return err
	}
	const declaration = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n"
	if !strings.HasPrefix(text, declaration) {
		return errors.New("the declaration does not name the encoding of the file")
	}
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") || strings.Count(text, "\r") != strings.Count(text, "\r\n") {
		return errors.New("lines do not end as they do on Windows")
	}
	dec := xml.NewDecoder(strings.NewReader(strings.TrimRight(text[len(declaration):], "\r\n")))
	var root element
	if err := dec.Decode(&root); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("something comes after the task (%v)", err)
	}
	principal := root.first("Principals", "Principal")
	return errors.Join(schema.check(root), fails(root.XMLName.Local != "Task", "it is a %s", root.XMLName.Local),
		fails(root.first("Actions").attr("Context") != principal.attr("id"), "Actions: Context names no principal (ContextKeyRef)"),
		fails(root.attr("version") == "", "no version"),
		fails(sameUser(root, principal.first("UserId").Text), "the users of trigger and principal differ"))
}

func sameUser(root element, user string) (bad bool) {
	for _, t := range root.first("Triggers").Children {
		bad = bad || t.XMLName.Local == "LogonTrigger" && t.first("UserId").Text != user
	}
	return bad
}

// strictUTF16 is independent of what reads tasks otherwise, and takes nothing else.
func strictUTF16(data []byte) (string, error) {
	if !bytes.HasPrefix(data, []byte{0xff, 0xfe}) || len(data)%2 != 0 {
		return "", errors.New("it is not UTF-16 LE with a mark")
	}
	var units []uint16
	for i := 2; i < len(data); i += 2 {
		units = append(units, binary.LittleEndian.Uint16(data[i:]))
	}
	text := string(utf16.Decode(units))
	return text, fails(strings.ContainsRune(text, utf8.RuneError) || strings.ContainsRune(text, '\ufeff'), "it has half characters, or a second mark")
}

// TestSchemaCanFail: each rule fails on a task that breaks it.
func TestSchemaCanFail(t *testing.T) {
	files := renderTask(t, fullTask())
	type breaking struct{ source, old, new string }
	for i, breakings := range [][]breaking{{
		{"taskType: version", `version="1.2"`, `version="1"`},
		{"versionType is fixed", ` version="1.2"`, ``},
		{"the namespace", "2004/02/mit", "2004/03/mit"},
		{"the root", "Task", "Tusk"},
		{"registrationInfoType: URI", `<URI>\nas</URI>`, `<URI>nas</URI>`},
		{"registrationInfoType has no Stamp", "Documentation>", "Stamp>"},
		{"principalsType: one Principal", `<Principals>`, `<Principals><Principal id="Other"><UserId>S-1-5-18</UserId></Principal>`},
		{"principalType: id", `id="Author"`, `id="1"`},
		{"principalType: UserId", "<UserId>S-1-5-21-1-2-3-1001</UserId>\r\n      <LogonType>", "<UserId></UserId>\r\n      <LogonType>"},
		{"a SID, not a name", "S-1-5-21-1-2-3-1001", `NAS\thomas`},
		{"the same user in both", "<UserId>S-1-5-21-1-2-3-1001</UserId>\r\n      <Delay>", "<UserId>S-1-5-21-1-2-3-1002</UserId>\r\n      <Delay>"},
		{"logonType", "InteractiveToken", "Interactive"},
		{"runLevelType", "LeastPrivilege", "Least"},
		{"logonTriggerType: UserId (S1)", "<UserId>S-1-5-21-1-2-3-1001</UserId>\r\n      <Delay>", "<Delay>"},
		{"logonTriggerType: UserId before Delay", "<UserId>S-1-5-21-1-2-3-1001</UserId>\r\n      <Delay>PT10S</Delay>", "<Delay>PT10S</Delay><UserId>S-1-5-21-1-2-3-1001</UserId>"},
		{"triggerBaseType before its extension", "<Delay>PT10S</Delay>", "<Delay>PT10S</Delay><EndBoundary>2030-01-01T00:00:00</EndBoundary>"},
		{"triggerBaseType: StartBoundary before EndBoundary", "<UserId>S-1-5-21-1-2-3-1001</UserId>\r\n      <Delay>", "<EndBoundary>2030-01-01T00:00:00</EndBoundary><StartBoundary>2020-01-01T00:00:00</StartBoundary><UserId>S-1-5-21-1-2-3-1001</UserId><Delay>"},
		{"xs:duration", "PT10S", "10S"},
		{"xs:duration: nothing after T", "PT10S", "PT"},
		{"xs:boolean", "<Hidden>false", "<Hidden>no"},
		{"multipleInstancesPolicyType", "IgnoreNew", "Ignore"},
		{"settingsType: each at most once", "<Hidden>false</Hidden>", "<Hidden>false</Hidden><Hidden>false</Hidden>"},
		{"settingsType has no Nice", "Hidden>", "Nice>"},
		{"priorityType", "<Priority>4", "<Priority>11"},
		{"restartType: Interval from PT1M", "<Interval>PT1M", "<Interval>PT59S"},
		{"restartType: Interval to P31D", "<Interval>PT1M", "<Interval>P31DT1S"},
		{"restartType: Count from 1", "<Count>255", "<Count>0"},
		{"restartType: Count to 255", "<Count>255", "<Count>256"},
		{"restartType: Count is required", "<Count>255</Count>", ""},
		{"actionsType: Context is an IDREF", `Context="Author"`, `Context="Nobody"`},
		{"execType: Command is required", "Command>", "Commands>"},
		{"execType: order", "</Command>", "</Command><Command>x</Command>"},
		{"pathType: not empty", `<WorkingDirectory>C:\Users\Thomas Müller`, "<WorkingDirectory>"},
		{"pathType: to 260", `<WorkingDirectory>C:\Users\Thomas Müller`, "<WorkingDirectory>" + strings.Repeat("x", 261)},
		{"well-formed", "</Task>", "</Tas>"},
		{"one root", "</Task>", "</Task><Task/>"},
		{"text where there are elements", "<Settings>", "<Settings>x"},
		{"the declaration", `encoding="UTF-16"`, `encoding="UTF-8"`},
		{"CRLF", "\r\n", "\n"},
	}, {
		{"repetitionType: Interval from PT1M", "<Interval>PT", "<Interval>PT0"},
		{"repetitionType: Interval is required", "Interval>", "Every>"},
		{"xs:dateTime", "2020-01-01T", "2020-01-01 "},
		{"timeTriggerType: StartBoundary", "StartBoundary>", "Start>"},
		{"triggerBaseType: order", "<StartBoundary>", "<ExecutionTimeLimit>PT1M</ExecutionTimeLimit><StartBoundary>"},
		{"triggersType", "TimeTrigger>", "Timer>"},
	}} {
		text, err := strictUTF16(files[i].Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range breakings {
			broken := strings.ReplaceAll(text, b.old, b.new)
			if b.source == "repetitionType: Interval from PT1M" {
				broken = regexp.MustCompile(`<Interval>PT\d+M`).ReplaceAllString(text, "<Interval>PT59S")
			}
			if broken == text {
				t.Errorf("%s: %q is not in the task", b.source, b.old)
			}
			if checkTask(UTF16(broken)) == nil {
				t.Errorf("%s: nobody noticed", b.source)
			}
		}
	}
	data := files[0].Data
	bigEndian := []byte{0xfe, 0xff}
	for i := 2; i < len(data); i += 2 {
		bigEndian = append(bigEndian, data[i+1], data[i])
	}
	text, _ := strictUTF16(data)
	for what, broken := range map[string][]byte{"no mark": data[2:], "UTF-8": []byte(text), "UTF-8 with a mark": []byte("\ufeff" + text),
		"UTF-16 BE": bigEndian, "half a character": data[:len(data)-1], "two marks": append([]byte{0xff, 0xfe}, data...)} {
		if checkTask(broken) == nil {
			t.Errorf("%s: nobody noticed", what)
		}
	}
}
