package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ductor/internal/common/process"
)

func ptr[T any](v T) *T { return &v }

// full has a value in every field, so that a round trip shows what is lost.
func full(typ Type) Event {
	return Event{Type: typ, PID: 4242, Code: ptr(137), Signal: "SIGKILL", RuntimeSeconds: ptr(3.25), Reason: "crash",
		Path: "/home/x/a <b> & c.py", Count: 3, Crashes: 2, DelaySeconds: ptr(4.0), PIDs: []int{7, 8}, Command: []string{"python3", "-m", "x"}, Message: "line 1\nline 2"}
}

func open(t *testing.T, path string, sinks ...Sink) *Journal {
	t.Helper()
	j, err := Open(path, sinks...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func stored(t *testing.T, path string) (events []Event) {
	t.Helper()
	if err := Each(path, func(_ []byte, e Event) { events = append(events, e) }); err != nil {
		t.Fatal(err)
	}
	return events
}

func seqs(events []Event) (n []int64) {
	for _, e := range events {
		n = append(n, e.Seq)
	}
	return n
}

func TestEventRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	var lines [][]byte
	var told []Event
	j := open(t, path, func(line []byte, e Event) {
		lines, told = append(lines, bytes.Clone(line)), append(told, e)
	})
	for _, typ := range Types() {
		j.Write(full(typ))
		j.Write(Event{Type: typ})
	}
	got := stored(t, path)
	if !reflect.DeepEqual(got, told) {
		t.Errorf("stored and told differ:\n%+v\n%+v", got, told)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, bytes.Join(lines, nil)) {
		t.Error("the file holds other lines than the sinks got")
	}
	if bytes.Count(data, []byte("\n")) != len(lines) || !bytes.HasPrefix(data, []byte(`{"schema":1,"seq":1,"time":"`)) {
		t.Errorf("not one object a line, schema first: %.200s", data)
	}
	e := got[0]
	if e.Seq, e.Time = 0, (time.Time{}); !reflect.DeepEqual(e, full(Types()[0])) {
		t.Errorf("got  %+v\nwant %+v", e, full(Types()[0]))
	}
	for i, e := range got {
		if e.Seq != int64(i+1) || e.Time.Location() != time.UTC {
			t.Errorf("event %d: seq %d, time %v", i, e.Seq, e.Time)
		}
	}
}

// TestTextOfEveryType: an event of another version, with nothing in it, must
// not end the program that prints it.
func TestTextOfEveryType(t *testing.T) {
	silent := []Type{ChildUp} // ChildStart has told
	for _, typ := range Types() {
		for _, e := range []Event{full(typ), {Type: typ}} {
			text := e.Text()
			if (text == "") != slices.Contains(silent, typ) {
				t.Errorf("%s: text %q", typ, text)
			}
			if strings.Contains(text, "%!") || strings.HasSuffix(text, ".") {
				t.Errorf("%s: text %q", typ, text)
			}
		}
	}
	if text := (Event{Type: "of the future", Code: ptr(1)}).Text(); text != "" {
		t.Errorf("unknown type: %q", text)
	}
}

func TestTypesAreComplete(t *testing.T) {
	src, err := os.ReadFile("event.go")
	if err != nil {
		t.Fatal(err)
	}
	block := string(src[bytes.Index(src, []byte("\nconst (")):])
	block = block[:strings.Index(block, "\n)")]
	n := 0
	for line := range strings.Lines(block) {
		if _, rest, ok := strings.Cut(line, " Type = \""); ok || strings.Contains(line, "= \"") {
			if !ok {
				_, rest, _ = strings.Cut(line, "= \"")
			}
			name, _, _ := strings.Cut(rest, `"`)
			n++
			if !slices.Contains(Types(), Type(name)) {
				t.Errorf("%s is not in Types()", name)
			}
		}
	}
	if n != len(Types()) {
		t.Errorf("%d constants, %d Types()", n, len(Types()))
	}
}

func TestTextSaysWhatAndWhy(t *testing.T) {
	for want, e := range map[string]Event{
		"PID 7 exited with code 3 after 1.5s":                                  {Type: ChildExit, PID: 7, Code: ptr(3), RuntimeSeconds: ptr(1.5)},
		"PID 7 died of SIGKILL after 1m40s":                                    {Type: ChildExit, PID: 7, Code: ptr(137), Signal: "SIGKILL", RuntimeSeconds: ptr(100.4)},
		"that is a crash; next start in 2s":                                    {Type: Backoff, Crashes: 1, DelaySeconds: ptr(2.0)},
		"that is a crash, 4 short runs in a row; next start in 16s":            {Type: Backoff, Crashes: 4, DelaySeconds: ptr(16.0)},
		"restart asked for by /x/ctl/restart-requested":                        {Type: RestartRequest, Reason: "marker", Path: "/x/ctl/restart-requested"},
		"restart asked for by SIGUSR1":                                         {Type: RestartRequest, Reason: "signal", Signal: "SIGUSR1"},
		"stop asked for by SIGTERM":                                            {Type: StopRequest, Reason: "signal", Signal: "SIGTERM"},
		"changed: /x/a.py":                                                     {Type: Change, Path: "/x/a.py", Count: 1},
		"changed: /x/a.py and 2 more":                                          {Type: Change, Path: "/x/a.py", Count: 3},
		"started PID 7 (it asked to be restarted)":                             {Type: ChildStart, PID: 7, Reason: "code"},
		"started PID 7 (new reason)":                                           {Type: ChildStart, PID: 7, Reason: "new reason"},
		"stopped what a dead supervisor left behind: PID 7 8":                  {Type: Leftovers, PIDs: []int{7, 8}},
		"not executed (code 127): no such thing":                               {Type: NotExecuted, Code: ptr(127), Message: "no such thing"},
		"the bot ended itself with code 0, which means stop":                   {Type: UnrequestedExit, Code: ptr(0)},
		"giving up: the limit of crashes is reached (3)":                       {Type: GaveUp, Count: 3},
		"too many restarts of short runs (marker): this one counts as a crash": {Type: Storm, Reason: "marker"},
	} {
		if got := e.Text(); got != want {
			t.Errorf("%s: %q, want %q", e.Type, got, want)
		}
	}
}

func TestSeqGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	for i := range 3 { // three supervisors
		j := open(t, path)
		for k := range 2 {
			j.Write(Event{Type: Warning, Message: fmt.Sprint(i, k)})
		}
	}
	if got := seqs(stored(t, path)); !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("numbers %v", got)
	}
}

// TestTornLineCostsItselfOnly: what comes after a line whose writer was killed
// begins on a line of its own.
func TestTornLineCostsItselfOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	j := open(t, path)
	j.Write(Event{Type: Warning, Message: "one"})
	j.Write(Event{Type: Warning, Message: "two"})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-5); err != nil {
		t.Fatal(err)
	}
	open(t, path).Write(Event{Type: Warning, Message: "three"})
	got := stored(t, path)
	if len(got) != 2 || got[1].Message != "three" || got[1].Seq != 2 {
		t.Errorf("stored %+v", got)
	}
}

func TestForeignLinesArePassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	huge := strings.Repeat("x", maxEvents+10)
	content := strings.Join([]string{"", "garbage", "[]", "null", "{}", `{"seq":3}`, `{"type":"warning"}`, `{"seq":-1,"type":"warning"}`, huge,
		`{"schema":9,"seq":5,"time":"2026-11-23T10:00:00Z","type":"of the future","new":{"a":1}}`, `{"seq":"six","type":"warning"}`, "\x00\x00\x00"}, "\n")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, path); len(got) != 1 || got[0].Seq != 5 || got[0].Type != "of the future" {
		t.Errorf("%+v", got)
	}
	j := open(t, path)
	j.Write(Event{Type: Warning, Message: "after"})
	if got := stored(t, path); len(got) != 2 || got[1].Seq != 6 {
		t.Errorf("%v", seqs(got))
	}
}

// TestLongLastLine: the number is found behind a command line that is longer
// than what is read of the end.
func TestLongLastLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	j := open(t, path)
	j.Write(Event{Type: Warning, Message: "short"})
	j.Write(Event{Type: SupervisorStart, Command: []string{strings.Repeat("x", 200<<10)}})
	open(t, path).Write(Event{Type: Warning, Message: "next"})
	if got := seqs(stored(t, path)); !slices.Equal(got, []int64{1, 2, 3}) {
		t.Errorf("numbers %v", got)
	}
}

func TestAbsentAndEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	fail := func([]byte, Event) { t.Error("an event of nowhere") }
	if err := Each(path, fail); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Each(path, fail); err != nil {
		t.Errorf("empty: %v", err)
	}
	if _, err := Open(filepath.Join(path, "below", "a", "file")); err == nil {
		t.Error("opened in a folder that cannot be")
	}
}

// fill writes until the file has been rotated n times, and returns how many
// events that took.
func fill(t *testing.T, j *Journal, path string, n int) (count int) {
	t.Helper()
	pad := strings.Repeat("x", 8<<10)
	for rotated, size := 0, int64(0); rotated < n; {
		j.Write(Event{Type: Warning, Message: pad})
		count++
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() < size {
			rotated++
		}
		if size = info.Size(); size > maxEvents {
			t.Fatalf("%s holds %d bytes", path, size)
		}
	}
	return count
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	j := open(t, path)
	count := fill(t, j, path, 3)
	for _, p := range []string{path, path + ".1"} {
		if info, err := os.Stat(p); err != nil || info.Size() > maxEvents {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 2 {
		t.Errorf("files: %v, %v", left, err)
	}
	got := seqs(stored(t, path))
	for i, n := range got {
		if n != got[0]+int64(i) {
			t.Fatalf("numbers %v", got)
		}
	}
	if last := got[len(got)-1]; last != int64(count) || len(got) < 100 {
		t.Errorf("the last of %d is %d, want %d", len(got), last, count)
	}
	// A supervisor that starts just after a rotation finds the number in the
	// older file.
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	older := seqs(stored(t, path))
	open(t, path).Write(Event{Type: Warning})
	if got := seqs(stored(t, path)); got[len(got)-1] != older[len(older)-1]+1 {
		t.Errorf("after %d comes %d", older[len(older)-1], got[len(got)-1])
	}
}

// TestReadingDuringARotation: between its two steps only the older file is
// there, and that is no absence.
func TestReadingDuringARotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	open(t, path).Write(Event{Type: Warning})
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if got := seqs(stored(t, path)); !slices.Equal(got, []int64{1}) {
		t.Errorf("numbers %v", got)
	}
	// The same file under both names, as it is for who opened it just before.
	if err := os.Link(path+".1", path); err != nil {
		t.Fatal(err)
	}
	if got := seqs(stored(t, path)); !slices.Equal(got, []int64{1}) {
		t.Errorf("met twice: numbers %v", got)
	}
}

// TestRotationOfARemovedFile: somebody tidied up. The journal must find back
// to its path at the next rotation.
func TestRotationOfARemovedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	sick := 0
	j := open(t, path, func(line []byte, e Event) {
		if line == nil {
			sick++
		}
	})
	j.Write(Event{Type: Warning})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	pad := strings.Repeat("x", 64<<10)
	for range 20 {
		j.Write(Event{Type: Warning, Message: pad})
	}
	if got := seqs(stored(t, path)); len(got) == 0 || got[len(got)-1] != 21 {
		t.Errorf("numbers %v", got)
	}
	if sick != 0 {
		t.Errorf("%d warnings", sick)
	}
}

// TestFailedRotationIsTried again: what stood in the way may go.
func TestFailedRotationIsTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	var warnings []string
	got := 0
	j := open(t, path, func(line []byte, e Event) {
		if line == nil {
			warnings = append(warnings, e.Text())
			return
		}
		got++
	})
	if err := os.MkdirAll(filepath.Join(path+".1", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	pad := strings.Repeat("x", 64<<10)
	for range 20 {
		j.Write(Event{Type: Warning, Message: pad})
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "not stored") || got != 20 {
		t.Errorf("%d events told, warnings %q", got, warnings)
	}
	if err := os.RemoveAll(path + ".1"); err != nil {
		t.Fatal(err)
	}
	j.Write(Event{Type: Warning, Message: "at last"})
	events := stored(t, path)
	if last := events[len(events)-1]; last.Message != "at last" || last.Seq != 21 {
		t.Errorf("the last is %.50q, %d", last.Message, last.Seq)
	}
}

func status() Status {
	next := time.Date(2026, 11, 23, 10, 0, 5, 0, time.UTC)
	id := process.Identity{PID: 4242, Start: "123", Boot: "b"}
	return Status{Name: "ductor", State: "backoff", Supervisor: Supervisor{Identity: process.Identity{PID: 4240, Start: "1"}, Instance: "I"},
		PID: 4242, Child: &id, Since: next.Add(-5 * time.Second), Reason: "code", Restarts: 3, Crashes: 2,
		Command: []string{"a", "b c"}, LastExit: &LastExit{Code: 137, Signal: "SIGKILL", RuntimeSeconds: 3.2, Reason: "crash"}, NextStart: &next}
}

func TestStatusRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.json")
	if _, err := ReadStatus(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	minimal := Status{Name: "x", State: "starting", Supervisor: Supervisor{Identity: process.Identity{PID: 2}}, Command: []string{}}
	for _, want := range []Status{status(), minimal} {
		if err := WriteStatus(path, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadStatus(path)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	}
	data, _ := os.ReadFile(path)
	if !bytes.HasPrefix(data, []byte(`{"schema":1,"name":"x",`)) || bytes.Contains(data, []byte("last_exit")) {
		t.Errorf("%s", data)
	}
	if info, _ := os.Stat(path); os.PathSeparator == '/' && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestStatusThatIsNone(t *testing.T) {
	dir := t.TempDir()
	if err := WriteStatus(filepath.Join(dir, "whole"), status()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "whole"))
	if err != nil {
		t.Fatal(err)
	}
	contents := [][]byte{nil, []byte("\n"), []byte("null"), []byte("[]"), []byte("{}"), []byte(`{"state":"up"}`), []byte("\x00\x00"), []byte("1"),
		[]byte(`{"state":"up","supervisor":{"pid":0}}`), []byte(`{"state":"up","supervisor":{"pid":-1}}`), []byte(`{"state":"up","supervisor":{"pid":1e30}}`)}
	for n := 1; n < len(whole)-1; n += 7 { // torn at many places
		contents = append(contents, whole[:n])
	}
	for _, content := range contents {
		path := filepath.Join(dir, "status.json")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if st, err := ReadStatus(path); err == nil || errors.Is(err, fs.ErrNotExist) || !reflect.DeepEqual(st, Status{}) {
			t.Errorf("%.60q: %+v, %v", content, st, err)
		}
	}
	huge := filepath.Join(dir, "huge")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 1<<40); err != nil { // a terabyte of zeros, without the disk
		t.Fatal(err)
	}
	if _, err := ReadStatus(huge); err == nil {
		t.Error("a terabyte of zeros is a status")
	}
	if _, err := ReadStatus(dir); err == nil {
		t.Error("a folder is a status")
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte(`{"schema":1,"name":"ductor","state":"up","supervisor":{"pid":4240,"start":"1","instance":"I"},"command":["a"],"since":"2026-11-23T10:00:00Z"}`))
	f.Add([]byte(`{"state":"up","supervisor":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseStatus(data)
		if (err == nil) == reflect.DeepEqual(s, Status{}) {
			t.Fatalf("%+v, %v", s, err)
		}
		if err == nil && (s.State == "" || s.Supervisor.PID <= 0) {
			t.Fatalf("accepted %+v", s)
		}
	})
}

func FuzzParseEvent(f *testing.F) {
	for _, typ := range Types() {
		f.Add(fmt.Appendf(nil, `{"schema":1,"seq":17,"time":"2026-11-23T10:00:00Z","type":%q,"pid":3,"delay_seconds":1e300}`, typ))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseEvent(data)
		if err == nil && (e.Seq <= 0 || e.Type == "") {
			t.Fatalf("accepted %+v", e)
		}
		_ = e.Text()
		var n int64
		eachLine(bytes.NewReader(data), func(line []byte, e Event) {
			if bytes.ContainsRune(line, '\n') {
				t.Fatalf("a line of two: %q", line)
			}
			n += e.Seq
		})
	})
}
