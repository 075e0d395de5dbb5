package sentinel

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

func FuzzParseRestart(f *testing.F) {
	for _, s := range []string{
		`{"chat_id":1,"message":"hi","timestamp":"2026-11-23T10:00:00Z"}`,
		`{"chat_id": -1001234567890123, "message": "\u00fc", "timestamp": "2026-11-23T10:00:00.123456+00:00"}`,
		`{"chat_id":1,"timestamp":"2026-11-23T10:00:00.5"}`, `{"chat_id":1,"extra":[{}]}`, `{"chat_id":null}`, `{"chat_id":"1"}`,
		`{"chat_id":1.5}`, `{"chat_id":1e3}`, `{"chat_id":99999999999999999999}`, `{}`, `[]`, `null`, ``, `{"chat_id":1`, "\xff", `{"chat_id":1}{}`,
		`{"chat_id":1,"timestamp":"+292277026596-01-01T00:00:00Z"}`, `{"chat_id":1,"timestamp":"0000-01-01T00:00:00+23:59"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRestart(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || r != (Restart{}) {
				t.Fatalf("%+v, %v", r, err)
			}
			return
		}
		if r.Timestamp.Location() != time.UTC && !r.Timestamp.IsZero() {
			t.Fatalf("the time is not UTC: %v", r.Timestamp)
		}
		// What we read we can write, if the year has four digits, and read again.
		line, err := json.Marshal(r)
		if err != nil {
			if y := r.Timestamp.Year(); y >= 0 && y <= 9999 {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseRestart(line)
		if err != nil || again.ChatID != r.ChatID || again.Message != r.Message || !again.Timestamp.Equal(r.Timestamp) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func TestParseRestart(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 123456000, time.UTC)
	for in, want := range map[string]Restart{
		`{"chat_id":5,"message":"hi","timestamp":"2026-11-23T10:00:00.123456+00:00"}`: {5, "hi", at},
		`{"chat_id":5,"message":"hi","timestamp":"2026-11-23T11:00:00.123456+01:00"}`: {5, "hi", at},
		`{"chat_id":5,"message":"hi","timestamp":"2026-11-23T10:00:00.123456"}`:       {5, "hi", at},
		`{"chat_id":5,"message":"hi","timestamp":"yesterday"}`:                        {5, "hi", time.Time{}},
		`{"chat_id":-1001234567890123,"message":null,"new":true}`:                     {ChatID: -1001234567890123},
	} {
		if got, err := ParseRestart([]byte(in)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
}

// TestConsumeIsWonByOne: of many at once exactly one gets it.
func TestConsumeIsWonByOne(t *testing.T) {
	dir := t.TempDir()
	restart, marker := filepath.Join(dir, "restart-sentinel.json"), filepath.Join(dir, "restart-requested")
	for round := range 100 {
		if err := errors.Join(WriteRestart(restart, Restart{ChatID: int64(round)}), WriteMarker(marker)); err != nil {
			t.Fatal(err)
		}
		var got, taken atomic.Int32
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				switch r, err := ConsumeRestart(restart); {
				case err == nil && r.ChatID == int64(round):
					got.Add(1)
				case !errors.Is(err, fs.ErrNotExist):
					t.Errorf("%+v, %v", r, err)
				}
				switch won, err := ConsumeMarker(marker); {
				case err != nil:
					t.Error(err)
				case won:
					taken.Add(1)
				}
			})
		}
		all.Wait()
		if got.Load() != 1 || taken.Load() != 1 {
			t.Fatalf("round %d: %d got the sentinel, %d the marker", round, got.Load(), taken.Load())
		}
		names(t, dir)
	}
}

// names fails unless exactly these files lie in dir.
func names(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("files %q, not %q; %v", got, want, err)
	}
}

func TestMalformedIsMovedAway(t *testing.T) {
	for name, content := range map[string]string{
		"torn":  `{"chat_id":1,"mess`,
		"empty": "",
		"alien": `{"old_version":"1"}`,
		"huge":  `{"chat_id":1,"message":"` + strings.Repeat("x", MaxSize) + `"}`,
		"gap":   `{"chat_id":1}` + strings.Repeat(" ", MaxSize) + `{`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "s.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if r, err := ConsumeRestart(path); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%+v, %v", r, err)
			}
			names(t, dir, "s.json.bad")
			if kept, err := os.ReadFile(path + ".bad"); err != nil || string(kept) != content {
				t.Errorf("%d bytes were kept of %d, %v", len(kept), len(content), err)
			}
			if _, err := ConsumeRestart(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is met again: %v", err)
			}
		})
	}
}

func TestFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.json")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := ConsumeRestart(path); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder: %v", err)
	}
	if taken, err := ConsumeMarker(path); taken || err == nil {
		t.Errorf("a folder: %v, %v", taken, err)
	}
	names(t, dir, "s.json")
}

// TestPython: what the other side of these files does with them.
func TestPython(t *testing.T) {
	clitest.Need(t, "python3")
	dir := t.TempDir()
	path := filepath.Join(dir, "restart-sentinel.json")
	want := Restart{ChatID: -1001234567890123, Message: "zurück \"da\" <&>\n\U0001F600", Timestamp: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	if err := errors.Join(WriteRestart(path, want), WriteMarker(filepath.Join(dir, "restart-requested"))); err != nil {
		t.Fatal(err)
	}
	python(t, dir, `
import json, pathlib, datetime
d = json.loads(pathlib.Path("restart-sentinel.json").read_text(encoding="utf-8"))
assert set(d) == {"chat_id", "message", "timestamp"}, d
assert d["chat_id"] == -1001234567890123 and type(d["chat_id"]) is int, d
assert d["message"] == "zurück \"da\" <&>\n\U0001F600", d
assert datetime.datetime.fromisoformat(d["timestamp"].replace("Z", "+00:00")).timestamp() == 1795428000, d
m = pathlib.Path("restart-requested")
assert m.exists() and m.read_text().strip() == "1"
m.unlink()
pathlib.Path("restart-sentinel.json").write_text(json.dumps({**d, "timestamp": "2026-11-23T10:00:00+00:00"}), encoding="utf-8")
m.write_text("1", encoding="utf-8")
`)
	if got, err := ConsumeRestart(path); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if taken, err := ConsumeMarker(filepath.Join(dir, "restart-requested")); !taken || err != nil {
		t.Errorf("the marker of Python: %v, %v", taken, err)
	}
	names(t, dir)
}

func python(t *testing.T, dir, code string) {
	t.Helper()
	cmd := exec.Command("python3", "-c", code)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
