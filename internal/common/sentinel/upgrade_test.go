package sentinel

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

// TestMain makes this binary a second consumer, for tests between processes.
func TestMain(m *testing.M) {
	if path := os.Getenv("DUCTOR_TEST_CONSUME"); path != "" {
		consumeForever(path)
		return
	}
	clitest.Main(m)
}

// consumeForever tries once for each line that it is sent, and says what it got.
func consumeForever(path string) {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		u, err := ConsumeUpgrade(path)
		switch {
		case err == nil:
			fmt.Println("got", u.ChatID)
		case errors.Is(err, fs.ErrNotExist):
			fmt.Println("none")
		default:
			fmt.Println("error", err)
		}
	}
}

func FuzzParseUpgrade(f *testing.F) {
	for _, s := range []string{
		`{"chat_id":42,"old_version":"0.4.4","new_version":"0.5.0"}`, `{"chat_id":-1001234567890123,"old_version":"1","new_version":"0","status":"rolled-back"}`,
		`{"chat_id":"x","old_version":1,"new_version":[]}`, `{"CHAT_ID":1}`, `{}`, `[]`, `null`, `"x"`, ``, `{`, "\xff", `{"old_version":"` + "\xff" + `"}`, `{"chat_id":1}{}`, `{"chat_id":99999999999999999999}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := ParseUpgrade(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || exitcode.Of(err) != exitcode.DataErr || u != (Upgrade{}) {
				t.Fatalf("%+v, %v", u, err)
			}
			return
		}
		line, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseUpgrade(line); err != nil || again != u {
			t.Fatalf("%+v became %+v, %v", u, again, err)
		}
	})
}

func TestParseUpgrade(t *testing.T) {
	full := Upgrade{ChatID: 42, OldVersion: "0.4.4", NewVersion: "0.5.0"}
	for in, want := range map[string]Upgrade{
		`{"chat_id":42,"old_version":"0.4.4","new_version":"0.5.0"}`:                          full,
		"{\n  \"chat_id\": 42, \"old_version\": \"0.4.4\", \"new_version\": \"0.5.0\"\n}\n":   full,
		`{"chat_id":42,"old_version":"0.4.4","new_version":"0.5.0","mode":"pipx","format":1}`: full,
		`{"chat_id":42,"old_version":"0.5.0","new_version":"0.4.4","status":"rolled-back"}`:   full.Undone(),
		`{"chat_id":0,"old_version":"1","new_version":"2"}`:                                   {OldVersion: "1", NewVersion: "2"},
		`{"chat_id":"abc","old_version":"1","new_version":"2"}`:                               {OldVersion: "1", NewVersion: "2"},
		`{"chat_id":1.5,"old_version":"1","new_version":"2"}`:                                 {OldVersion: "1", NewVersion: "2"},
		`{"chat_id":99999999999999999999,"old_version":"1","new_version":"2"}`:                {OldVersion: "1", NewVersion: "2"},
		`{"chat_id":null,"old_version":null,"new_version":["2"]}`:                             {},
		`{"Chat_ID":7,"NEW_VERSION":"3","chat_id":-1001234567890123,"new_version":"2"}`:       {ChatID: -1001234567890123, NewVersion: "2"},
		`{}`: {},
	} {
		if got, err := ParseUpgrade([]byte(in)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
}

// TestPoisonIsMovedAway: bots that kept such a file crashed at every start.
func TestPoisonIsMovedAway(t *testing.T) {
	for name, content := range map[string]string{
		"torn":   `{"chat_id":1,"old_ver`,
		"empty":  "",
		"list":   "[1,2]",
		"string": `"x"`,
		"null":   "null",
		"two":    `{"chat_id":1}{"chat_id":2}`,
		"utf8":   "{\"chat_id\":1,\"old_version\":\"\xff\"}",
		"nul":    strings.Repeat("\x00", 100),
		"huge":   `{"chat_id":1,"old_version":"` + strings.Repeat("x", MaxSize) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "u.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			u, err := ConsumeUpgrade(path)
			if !errors.Is(err, ErrMalformed) || exitcode.Of(err) != exitcode.DataErr || u != (Upgrade{}) {
				t.Fatalf("%+v, %v", u, err)
			}
			names(t, dir, "u.json.bad")
			if kept, err := os.ReadFile(path + ".bad"); err != nil || string(kept) != content {
				t.Errorf("%d bytes were kept of %d, %v", len(kept), len(content), err)
			}
			if _, err := ConsumeUpgrade(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("it is met again: %v", err)
			}
		})
	}
}

func TestUpgradeIsConsumedByOneGoroutine(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "upgrade-sentinel.json")
	for round := range 100 {
		want := Upgrade{ChatID: int64(round), OldVersion: "1", NewVersion: "2"}
		if err := WriteUpgrade(path, want); err != nil {
			t.Fatal(err)
		}
		var got atomic.Int32
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				switch u, err := ConsumeUpgrade(path); {
				case err == nil && u == want:
					got.Add(1)
				case !errors.Is(err, fs.ErrNotExist):
					t.Errorf("%+v, %v", u, err)
				}
			})
		}
		all.Wait()
		if got.Load() != 1 {
			t.Fatalf("round %d: %d got it", round, got.Load())
		}
		names(t, dir)
	}
}

// TestUpgradeIsConsumedByOneProcess: a bot and its supervisor's hook, say.
func TestUpgradeIsConsumedByOneProcess(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "upgrade-sentinel.json")
	const processes, rounds = 6, 200
	asks, answers := make([]io.Writer, processes), make([]*bufio.Scanner, processes)
	for i := range processes {
		asks[i], answers[i] = consumer(t, path)
	}
	for round := range rounds {
		if err := WriteUpgrade(path, Upgrade{ChatID: int64(round)}); err != nil {
			t.Fatal(err)
		}
		for _, w := range asks {
			if _, err := io.WriteString(w, "\n"); err != nil {
				t.Fatal(err)
			}
		}
		var all []string
		for _, s := range answers {
			s.Scan()
			all = append(all, s.Text())
		}
		text := strings.Join(all, ",")
		if strings.Count(text, "none") != processes-1 || strings.Count(text, fmt.Sprintf("got %d", round)) != 1 {
			t.Fatalf("round %d: %s", round, text)
		}
	}
	names(t, dir)
}

func consumer(t *testing.T, path string) (io.Writer, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DUCTOR_TEST_CONSUME="+path)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return in, bufio.NewScanner(out)
}

// TestPythonReadsOurUpgrade, as the original does, and we what it writes.
func TestPythonReadsOurUpgrade(t *testing.T) {
	clitest.Need(t, "python3")
	dir := t.TempDir()
	path := filepath.Join(dir, "upgrade-sentinel.json")
	want := Upgrade{ChatID: -1001234567890123, OldVersion: "0.4.4", NewVersion: "0.5.0"}
	if err := WriteUpgrade(path, want); err != nil {
		t.Fatal(err)
	}
	const line = `{"chat_id":-1001234567890123,"old_version":"0.4.4","new_version":"0.5.0"}` + "\n"
	if data, err := os.ReadFile(path); err != nil || !bytes.Equal(data, []byte(line)) {
		t.Errorf("%q, %v", data, err)
	}
	python(t, dir, `
import json, pathlib
p = pathlib.Path("upgrade-sentinel.json")
d = json.loads(p.read_text(encoding="utf-8"))
assert int(d.get("chat_id", 0)) == -1001234567890123 and (d["old_version"], d["new_version"]) == ("0.4.4", "0.5.0"), d
assert set(d) == {"chat_id", "old_version", "new_version"}, d
p.write_text(json.dumps(d), encoding="utf-8")
`)
	if got, err := ConsumeUpgrade(path); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if err := WriteUpgrade(path, want.Undone()); err != nil {
		t.Fatal(err)
	}
	python(t, dir, `
import json
d = json.load(open("upgrade-sentinel.json"))
assert (d["old_version"], d["new_version"], d["status"]) == ("0.5.0", "0.4.4", "rolled-back"), d
`)
}
