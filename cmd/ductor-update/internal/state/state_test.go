package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

// TestMain makes this binary a second writer, for a test between processes.
func TestMain(m *testing.M) {
	if path := os.Getenv("DUCTOR_TEST_CHANGE"); path != "" {
		if err := count(path, os.Getenv("DUCTOR_TEST_KEY")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	clitest.Main(m)
}

const rounds = 100

// count blocks versions of its own, and counts failures with everybody else.
func count(path, key string) error {
	for i := range rounds {
		warning, err := Change(path, func(s *State) error {
			s.Failures++
			s.Block(fmt.Sprintf("%s.%d", key, i))
			return nil
		})
		if err := errors.Join(warning, err); err != nil {
			return err
		}
	}
	return nil
}

var now = time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)

func full() State {
	return State{Announced: "0.5.0", CheckedAt: now, NextCheckAt: now.Add(time.Hour), Failures: 2, Blocked: []string{"0.5.1"},
		Indexes:   map[string]Answer{"https://pypi.org/simple/": {ETag: `"x"`, FetchedAt: now, Data: json.RawMessage(`{"latest":"0.5.0"}`)}},
		Probation: json.RawMessage(`{"version":"0.5.0","crashes":1}`), Journal: json.RawMessage(`{}`)}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "update.json")
	if s, err := Read(path); err != nil || !reflect.DeepEqual(s, State{}) {
		t.Errorf("absent: %+v, %v", s, err)
	}
	for _, want := range []State{full(), {}} {
		if err := Write(path, want); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(path); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "{\"schema\":1}\n" {
		t.Errorf("what is unknown is absent: %q, %v", data, err)
	}
	if info, err := os.Stat(path); err != nil || filepath.Separator == '/' && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	only(t, path)
}

func only(t *testing.T, paths ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(paths[0]))
	var got, want []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	for _, p := range paths {
		want = append(want, filepath.Base(p))
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, not %q; %v", got, want, err)
	}
}

// TestUnknownKeysSurvive: an older ductor-update must not undo a newer one's
// journal.
func TestUnknownKeysSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "update.json")
	const line = `{"schema":1,"announced":"1.0","from_the_future":{"a":[1,2.50,"<&>"]},"journal":{"step":"installed","n":12345678901234567890},"Announced":"9"}`
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	if warning, err := Change(path, func(s *State) error { s.Announced = "1.1"; return nil }); warning != nil || err != nil {
		t.Fatal(warning, err)
	}
	data, err := os.ReadFile(path)
	for _, want := range []string{`"from_the_future":{"a":[1,2.50,"<&>"]}`, `"n":12345678901234567890`, `"announced":"1.1"`, `"Announced":"9"`} {
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
}

func TestDamagedIsSetAside(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "torn": `{"schema":1,"announced":"1`, "list": "[]", "null": "null", "utf8": "{\"schema\":1,\"announced\":\"\xff\"}", "foreign": `{"a":1}`,
		"newer": `{"schema":2,"announced":"1"}`, "schema": `{"schema":"1"}`, "two": `{"schema":1}{"schema":1}`, "nul": strings.Repeat("\x00", 10),
		"huge": `{"schema":1,"announced":"` + strings.Repeat("x", MaxSize) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "update.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			s, warning := Read(path)
			if !errors.Is(warning, ErrMalformed) || exitcode.Of(warning) != exitcode.DataErr || !reflect.DeepEqual(s, State{}) {
				t.Fatalf("%+v, %v", s, warning)
			}
			only(t, path) // to read changes nothing
			if err := Write(path, full()); err != nil {
				t.Fatal(err)
			}
			only(t, path, path+".bad")
			if kept, err := os.ReadFile(path + ".bad"); err != nil || string(kept) != content {
				t.Errorf("%d bytes were kept of %d, %v", len(kept), len(content), err)
			}
			if s, err := Read(path); err != nil || s.Announced != "0.5.0" {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

// TestOneBadValueIsNotTheEnd of a journal.
func TestOneBadValueIsNotTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "update.json")
	const line = `{"schema":1,"failures":"many","indexes":{"a":{"etag":"1"},"b":7},"blocked":["1",2],"announced":"1.0","checked_at":"yesterday","journal":{"x":1},"other":true}`
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	s, warning := Read(path)
	if !errors.Is(warning, ErrMalformed) || !strings.Contains(warning.Error(), `["indexes" "checked_at" "failures" "blocked"]`) {
		t.Error(warning)
	}
	if s.Announced != "1.0" || string(s.Journal) != `{"x":1}` || s.Failures != 0 || s.Indexes != nil || s.Blocked != nil || !s.CheckedAt.IsZero() {
		t.Errorf("%+v", s)
	}
	if warning, err := Change(path, func(s *State) error { s.Failures = 1; return nil }); !errors.Is(warning, ErrMalformed) || err != nil {
		t.Error(warning, err)
	}
	only(t, path, path+".bad", path+".lock")
	if s, err := Read(path); err != nil || string(s.Journal) != `{"x":1}` || s.Failures != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestUnreadableIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "update.json")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); !errors.Is(err, ErrMalformed) {
		t.Errorf("a folder: %v", err)
	}
	if err := Write(path, full()); err != nil {
		t.Error(err)
	}
	only(t, path, path+".bad")
	below := filepath.Join(path, "update.json") // the folder is a file
	if err := Write(below, full()); exitcode.Of(err) != exitcode.CantCreat {
		t.Errorf("%v", err)
	}
	if _, err := Read(below); exitcode.Of(err) != exitcode.IOErr {
		t.Errorf("%v", err)
	}
}

func TestChangeThatFailsWritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "update.json")
	want := errors.New("no")
	if warning, err := Change(path, func(s *State) error { s.Announced = "1"; return want }); warning != nil || !errors.Is(err, want) {
		t.Error(warning, err)
	}
	only(t, path+".lock")
}

// TestNoChangeIsLost between goroutines and processes.
func TestNoChangeIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "update.json")
	const each = 3
	var all sync.WaitGroup
	for i := range each {
		all.Go(func() {
			if err := count(path, fmt.Sprintf("g%d", i)); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "DUCTOR_TEST_CHANGE="+path, fmt.Sprintf("DUCTOR_TEST_KEY=p%d", i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	all.Wait()
	if s, err := Read(path); err != nil || s.Failures != 2*each*rounds || len(s.Blocked) != 2*each*rounds {
		t.Errorf("%d changes, %d versions, %v; want %d", s.Failures, len(s.Blocked), err, 2*each*rounds)
	}
	only(t, path, path+".lock")
}

func TestCacheGivesWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "update.json")
	s := full()
	big, _ := json.Marshal(strings.Repeat("x", MaxSize))
	s.Remember("https://big/simple", Answer{Data: big})
	if err := Write(path, s); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path); err != nil || got.Indexes != nil || string(got.Probation) != string(s.Probation) {
		t.Errorf("%v, %v", got.Indexes, err)
	}
	if s.Indexes == nil {
		t.Error("the caller's state was changed")
	}
	s.Journal = big
	if err := Write(path, s); exitcode.Of(err) != exitcode.Software {
		t.Error(err)
	}
	s.Journal = json.RawMessage("{torn")
	if err := Write(path, s); exitcode.Of(err) != exitcode.Software {
		t.Error(err)
	}
	if got, err := Read(path); err != nil || got.Announced != "0.5.0" {
		t.Errorf("what was there is gone: %+v, %v", got, err)
	}
}

func TestIndexes(t *testing.T) {
	var s State
	for i := range maxIndexes + 3 {
		before := s
		s.Remember(fmt.Sprintf("https://u:secret@h%d/simple?token=secret#x", i), Answer{ETag: fmt.Sprint(i), FetchedAt: now.Add(time.Duration(i) * time.Minute)})
		if len(before.Indexes) == len(s.Indexes) && i < maxIndexes {
			t.Error("a copy shares its map")
		}
	}
	if _, ok := s.Answer("https://h2/simple"); ok || len(s.Indexes) != maxIndexes {
		t.Errorf("the oldest are still there: %v", s.Indexes)
	}
	if a, ok := s.Answer("https://other:pw@h10/simple"); !ok || a.ETag != "10" {
		t.Errorf("%+v, %v", a, ok)
	}
	if data, err := s.encode(); err != nil || strings.Contains(string(data), "secret") {
		t.Errorf("%s, %v", data, err)
	}
}

func TestBackOff(t *testing.T) {
	var s State
	for i, want := range []time.Duration{1, 2, 4, 6, 6, 6} {
		s.Failed(now, time.Hour, 0, 0)
		if got := s.NextCheckAt.Sub(now); got != want*time.Hour || s.Failures != i+1 || !s.CheckedAt.Equal(now) {
			t.Errorf("failure %d: %v", i+1, got)
		}
	}
	s.Failures = math.MaxInt32
	if s.Failed(now, time.Second, 0.1, 0); s.NextCheckAt.Sub(now) != 6*time.Hour+36*time.Minute {
		t.Error(s.NextCheckAt.Sub(now))
	}
	if s.Failed(now, time.Hour, -0.1, 7*time.Hour); s.NextCheckAt.Sub(now) != 7*time.Hour {
		t.Errorf("Retry-After: %v", s.NextCheckAt.Sub(now))
	}
	if s.Failed(now, time.Hour, 0, math.MaxInt64); s.NextCheckAt.Sub(now) != MaxRetryAfter {
		t.Errorf("Retry-After: %v", s.NextCheckAt.Sub(now))
	}
	if s.Succeeded(now, time.Hour, 0.1); s.Failures != 0 || s.NextCheckAt.Sub(now) != 66*time.Minute {
		t.Errorf("%+v", s)
	}
	if s.Failed(now, 12*time.Hour, math.NaN(), 0); s.NextCheckAt.Sub(now) != 12*time.Hour {
		t.Errorf("sooner than without a failure: %v", s.NextCheckAt.Sub(now))
	}
}

func TestDue(t *testing.T) {
	for name, c := range map[string]struct {
		next time.Time
		want bool
	}{
		"never checked": {time.Time{}, true}, "past": {now.Add(-1), true}, "now": {now, true}, "ahead": {now.Add(time.Minute), false},
		"a day ahead, by Retry-After": {now.Add(MaxRetryAfter), false}, "a clock that was wrong": {now.AddDate(1, 0, 0), true},
	} {
		if got := (&State{NextCheckAt: c.next}).Due(now, time.Hour); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	whole, err := full().encode()
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(whole), `{"schema":1}`, `{"schema":1,"checked_at":"9999-12-31T23:59:59-23:59","next_check_at":"0000-01-01T00:00:00+23:59"}`, `{"schema":1,"x":null,"journal":null}`, `{`, ``, "\xff", `{"schema":1,"failures":-3,"indexes":{"":{}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		line, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := again.encode(); err != nil || string(twice) != string(line) {
			t.Fatalf("%s became %s, %v", line, twice, err)
		}
	})
}
