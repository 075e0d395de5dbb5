package capture

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
)

// everything is what the log and all that it was before hold.
func everything(t *testing.T, path string) string {
	t.Helper()
	names, err := older(path)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range append(names, path) {
		all.WriteString(content(t, name))
	}
	return all.String()
}

func numbered(from, to int) []byte {
	var b bytes.Buffer
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.Bytes()
}

// put writes to the file itself, and wants all of it written.
func put(t *testing.T, f *file, p []byte) {
	t.Helper()
	if n, err := f.Write(p); err != nil || n != len(p) {
		t.Fatalf("%d of %d bytes, %v", n, len(p), err)
	}
}

func open(t *testing.T, path string, size int64, keep int) (*file, *warnings) {
	t.Helper()
	told := &warnings{}
	f := newFile(path, size, keep, &report{warn: told.add})
	t.Cleanup(f.close)
	if err := f.open(); err != nil {
		t.Fatal(err)
	}
	return f, told
}

// TestRotationUnderLoad: no line is lost, none torn, no file too big, although
// many are full within a millisecond.
func TestRotationUnderLoad(t *testing.T) {
	for _, size := range []int64{1, 100, 4096, 1 << 20} {
		path := filepath.Join(t.TempDir(), "bot.log")
		f, told := open(t, path, size, 1_000_000)
		count := int(min(max(size*50, 300), 200_000))
		want := numbered(0, count)
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 50_000)
			n = bytes.LastIndexByte(rest[:n], '\n') + 1
			put(t, f, rest[:n])
			rest = rest[n:]
		}
		if got := everything(t, path); got != string(want) {
			t.Errorf("size %d: %d bytes, want %d", size, len(got), len(want))
		}
		names, _ := older(path)
		for _, name := range append(names, path) {
			text := content(t, name)
			if int64(len(text)) > size && strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
				t.Errorf("size %d: %s has %d", size, name, len(text))
			}
		}
		if len(told.all()) > 0 {
			t.Errorf("%q", told.all())
		}
		if info, _ := os.Stat(names[0]); os.PathSeparator == '/' && info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v", info.Mode())
		}
	}
}

// TestThrough100MB: through pipes, with rotation, all of it arrives and the
// memory does not grow with it.
func TestThrough100MB(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.log")
	c, told := start(t, Config{File: path, Size: 8 << 20, Keep: 1000, Tail: 4096})
	s := streams(t, c)
	block := append(bytes.Repeat([]byte{'x'}, 99), '\n')
	block = bytes.Repeat(block, 100)
	const total = 100 << 20
	sent := 0
	for before := heap(); sent < total; sent += len(block) {
		write(t, s.Stdout, string(block))
		if grown := heap() - before; sent%(10<<20) < len(block) && grown > 16<<20 {
			t.Fatalf("%d bytes of memory after %d bytes", grown, sent)
		}
	}
	s.Release()
	end(t, c)
	got := everything(t, path)
	if lines := strings.Count(got, string(block[:100])); len(got) != sent || lines != sent/100 {
		t.Errorf("%d bytes and %d whole lines of %d", len(got), lines, sent)
	}
	if len(told.all()) > 0 {
		t.Errorf("%q", told.all())
	}
}

func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.log")
	for _, others := range []string{"bot-of-mine.log", "bot.log.old", "bot-2026.log"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), others), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, _ := open(t, path, 1000, 3)
	for i := range 200 {
		put(t, f, numbered(i*10, i*10+10))
	}
	if names, _ := older(path); len(names) != 3 { // at once: a supervisor may end now
		t.Errorf("%q", names)
	}
	if got := everything(t, path); !strings.HasSuffix(string(numbered(0, 2000)), got) || len(got) < 3000 {
		t.Errorf("%.100q", got)
	}
	if all, _ := os.ReadDir(filepath.Dir(path)); len(all) != 3+1+3 {
		t.Errorf("%v", all)
	}
	open(t, path, 1000, 1) // what a smaller number leaves over goes as well
	if names, _ := older(path); len(names) != 1 {
		t.Errorf("%q", names)
	}
}

// TestKeepNone empties the log instead, without holes in it.
func TestKeepNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.log")
	f, _ := open(t, path, 1000, 0)
	put(t, f, numbered(0, 1000))
	if got := content(t, path); len(got) > 1000 || !strings.HasSuffix(string(numbered(0, 1000)), got) {
		t.Errorf("%q", got)
	}
	if names, _ := older(path); len(names) > 0 {
		t.Errorf("%q", names)
	}
}

// TestNoEnd: size 0.
func TestNoEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.log")
	f, _ := open(t, path, 0, 3)
	put(t, f, numbered(0, 300_000))
	if names, _ := older(path); len(names) > 0 || content(t, path) != string(numbered(0, 300_000)) {
		t.Errorf("%q", names)
	}
}

// TestSomebodyElse does what logrotate, people and editors do.
func TestSomebodyElse(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(path string) error
		want string
	}{
		"moves it":             {func(p string) error { return os.Rename(p, p+".1") }, "two\n"},
		"removes it":           {os.Remove, "two\n"},
		"empties it":           {func(p string) error { return os.Truncate(p, 0) }, "two\n"},
		"removes its folder":   {func(p string) error { return os.RemoveAll(filepath.Dir(p)) }, "two\n"},
		"replaces it":          {func(p string) error { _ = os.Remove(p); return os.WriteFile(p, []byte("new\n"), 0o600) }, "new\ntwo\n"},
		"adds to it":           {func(p string) error { return add(p, "theirs\n") }, "one\ntheirs\ntwo\n"},
		"replaces it by half ": {func(p string) error { _ = os.Remove(p); return os.WriteFile(p, []byte("ne"), 0o600) }, "ne\ntwo\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "logs", "bot.log")
			f, told := open(t, path, 1000, 3)
			put(t, f, []byte("one\n"))
			if err := test.do(path); err != nil {
				t.Fatal(err)
			}
			put(t, f, []byte("two\n"))
			if got := content(t, path); got != test.want || len(told.all()) > 0 {
				t.Errorf("%q, %q", got, told.all())
			}
			if name == "moves it" && content(t, path+".1") != "one\n" {
				t.Error("what was moved away was written to")
			}
		})
	}
}

func add(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// TestEmptiedAfterARotation: a file that was opened without O_APPEND would
// begin with a hole.
func TestEmptiedAfterARotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.log")
	f, _ := open(t, path, 100, 3)
	put(t, f, numbered(0, 15)) // the second file by now
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	put(t, f, []byte("two\n"))
	if got := content(t, path); got != "two\n" {
		t.Errorf("%q", got)
	}
}

// TestSomethingElseHasTheName: what is no file is left alone, and the log goes
// on when it is gone.
func TestSomethingElseHasTheName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.log")
	f, _ := open(t, path, 1000, 3)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Write([]byte("lost\n")); n != 0 || err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("%d, %v", n, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	put(t, f, []byte("two\n"))
	if got := everything(t, path); got != "two\n" {
		t.Errorf("%q", got)
	}
}

// TestGlob: what the filter of file changes is given matches all older names,
// and nothing but them.
func TestGlob(t *testing.T) {
	for _, name := range []string{"bot.log", "bot", "a[b]{c}*?.x.log", ".log", "ü.log"} {
		path := filepath.Join(t.TempDir(), name)
		f, _ := open(t, path, 10, 100)
		put(t, f, numbered(0, 5))
		names, err := older(path)
		if err != nil || len(names) != 4 {
			t.Fatalf("%s: %q, %v", name, names, err)
		}
		glob := Globs(path)[0]
		for _, n := range names {
			if ok, err := doublestar.Match(glob, filepath.Base(n)); !ok || err != nil {
				t.Errorf("%q does not match %q: %v", glob, n, err)
			}
		}
		for _, n := range []string{name, "bot-new.log", "bot-2026-01-01.log"} {
			if ok, _ := doublestar.Match(glob, n); ok {
				t.Errorf("%q matches %q", glob, n)
			}
		}
	}
}

// TestGlobsOfLogrotate: what logrotate(8) makes of a log.
func TestGlobsOfLogrotate(t *testing.T) {
	for _, name := range []string{"bot.log", "a[b]{c}*?"} {
		for _, end := range []string{".1", ".12.gz", "-20261127", "-20261127.gz"} {
			if !slices.ContainsFunc(Globs("/x/"+name), func(g string) bool { ok, _ := doublestar.Match(g, name+end); return ok }) {
				t.Errorf("%q is a change", name+end)
			}
		}
	}
}

// TestNamesAreTold: the pattern of what users are told about.
func TestNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.log")
	f, _ := open(t, path, 10, 100)
	put(t, f, numbered(0, 3))
	names, _ := older(path)
	if len(names) != 2 || !regexp.MustCompile(`^bot-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log$`).MatchString(filepath.Base(names[0])) || !slices.IsSorted(names) {
		t.Errorf("%q", names)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}
