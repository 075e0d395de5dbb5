package holder

import (
	"bytes"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
	"ductor/internal/common/jsonout"
)

func TestMain(m *testing.M) { clitest.Main(m) }

func FuzzParseRecord(f *testing.F) {
	for _, s := range []string{
		`{"schema":1,"pid":4242,"start":"1","boot":"b","pidns":"4026531836","host":"nas","command":["python3","-m","ductor_bot"],"since":"2026-11-23T10:00:00Z","stop_timeout_seconds":10,"supervisor":{"pid":4240,"start":"5"}}`,
		`{"pid":1,"start":"1","child":{"pid":-1}}`, `{"pid":1,"start":"1","new":{"a":[1]}}`, `{"pid":1,"start":"1","stop_timeout_seconds":1e308}`,
		`{"pid":0,"start":"1"}`, `{"pid":-5,"start":"1"}`, `{"pid":1}`, `{"pid":1e3,"start":"1"}`, `{"pid":99999999999999999999,"start":"1"}`,
		`{"schema":1,"pid":`, `[]`, `null`, ``, "\x00", `"x"`, `{"pid":1,"start":"1","since":"yesterday"}`, `{"pid":1,"start":"1"}x`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRecord(data)
		if err != nil {
			return
		}
		if r.PID <= 0 || r.Start == "" {
			t.Fatalf("a record of nobody: %+v", r)
		}
		line, err := jsonout.Line(r)
		if err != nil {
			return // a year of five digits
		}
		again, err := ParseRecord(line)
		if err != nil || !again.Since.Equal(r.Since) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
		if again.Since = r.Since; !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v", r, again)
		}
	})
}

func FuzzParsePID(f *testing.F) {
	for _, s := range []string{"1\n", "4242", " 7 ", "\n\t8\r\n", "0", "-1", "+5", "00012", "2147483647", "2147483648", "1000000000000000000000000000000",
		"", " ", "1.5", "0x10", "1_000", "1 2", "\x00", "\x005", "5\x00", "٣", "nan", "\u00a05"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pid, err := ParsePID(data)
		if err != nil {
			if pid != 0 || !errors.Is(err, ErrGarbage) {
				t.Fatalf("%q: %d, %v", data, pid, err)
			}
			return
		}
		digits := strings.TrimLeft(strings.TrimPrefix(string(bytes.TrimSpace(data)), "+"), "0")
		if pid <= 0 || pid > math.MaxInt32 || strconv.Itoa(pid) != digits {
			t.Fatalf("%q: %d", data, pid)
		}
	})
}

func TestReadPIDIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	for content, want := range map[string]error{
		"12\n":                            nil,
		"12" + strings.Repeat("\n", 62):   nil,
		"12" + strings.Repeat("\n", 63):   ErrGarbage,
		strings.Repeat("\x00", 1<<20):     ErrGarbage,
		"12" + strings.Repeat("0", 1<<20): ErrGarbage,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid, _, err := readPID(path); !errors.Is(err, want) || err == nil && pid != 12 {
			t.Errorf("%.10q, %d bytes: %d, %v", content, len(content), pid, err)
		}
	}
}

// TestPython: a Python bot reads our label, and we read what it takes for one.
func TestPython(t *testing.T) {
	clitest.Need(t, "python3")
	dir := t.TempDir()
	rec := take(t, filepath.Join(dir, "x.pid"))
	python(t, dir, `
import json, pathlib, os
pid = int(pathlib.Path("x.pid").read_text(encoding="utf-8").strip())
os.kill(pid, 0)
r = json.loads(pathlib.Path("x.pid.json").read_text(encoding="utf-8"))
assert r["schema"] == 1 and r["pid"] == pid and r["command"] == ["bot", "\u00fc<&>\n"], r
assert pid == `+strconv.Itoa(rec.PID))
	for _, text := range []string{"5", "5\n", " 5\n\n", "+5", "05", "", "0", "-5", "5 5", "1.0", "five", "0x5"} {
		ours, err := ParsePID([]byte(text))
		out := python(t, dir, `
try: print(max(int(`+strconv.Quote(text)+`.strip()), 0))
except ValueError: print(0)`)
		if theirs := strings.TrimSpace(out); theirs != strconv.Itoa(ours) {
			t.Errorf("%q is %d (%v) here, and %s in Python", text, ours, err, theirs)
		}
	}
}

func python(t *testing.T, dir, code string) string {
	t.Helper()
	cmd := exec.Command("python3", "-c", code)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}
