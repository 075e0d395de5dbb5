package capture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

// warnings are what the supervisor is told.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) add(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, fmt.Sprintf(format, args...))
}

func (w *warnings) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.text)
}

// start opens a capture that waits for the disk as long as it takes, for tests
// in which nothing may be lost.
func start(t *testing.T, cfg Config) (*Capture, *warnings) {
	t.Helper()
	told := &warnings{}
	cfg.Warn, cfg.Name = told.add, "bot"
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.queue.patience = clitest.Patience
	return c, told
}

func streams(t *testing.T, c *Capture) *Streams {
	t.Helper()
	s, err := c.Streams()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, f *os.File, text string) {
	t.Helper()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// end closes the capture, which must have nothing to complain about.
func end(t *testing.T, c *Capture) {
	t.Helper()
	if err := c.Close(clitest.Patience); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestLinesAreWhole: however the two streams write, every line comes out whole,
// and those of each in order.
func TestLinesAreWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "bot.log")
	c, told := start(t, Config{File: path})
	s := streams(t, c)
	var writers sync.WaitGroup
	const count = 3000
	for name, f := range map[string]*os.File{"out": s.Stdout, "err": s.Stderr} {
		writers.Go(func() {
			var text bytes.Buffer
			for i := range count {
				fmt.Fprintf(&text, "%s %d %s.\n", name, i, strings.Repeat(name, rand.IntN(100)))
			}
			for text.Len() > 0 {
				_, _ = f.Write(text.Next(1 + rand.IntN(200)))
			}
		})
	}
	writers.Wait()
	s.Release()
	end(t, c)
	line := regexp.MustCompile(`^(out|err) (\d+) (out)*(err)*\.$`)
	next := map[string]int{}
	for got := range strings.Lines(content(t, path)) {
		m := line.FindStringSubmatch(strings.TrimSuffix(got, "\n"))
		if m == nil || m[2] != fmt.Sprint(next[m[1]]) {
			t.Fatalf("torn or out of order: %q", got)
		}
		next[m[1]]++
	}
	if next["out"] != count || next["err"] != count || len(told.all()) > 0 {
		t.Errorf("%v, %q", next, told.all())
	}
	if info, _ := os.Stat(path); os.PathSeparator == '/' && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if info, _ := os.Stat(filepath.Dir(path)); os.PathSeparator == '/' && info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the folder %v", info.Mode())
	}
}

func TestLongLines(t *testing.T) {
	whole := strings.Repeat("x", maxLine)
	for name, test := range map[string]struct{ in, want string }{
		"just fits":     {whole[1:] + "\nnext\n", whole[1:] + "\nnext\n"},
		"one too many":  {whole + "\nnext\n", whole + "\nnext\n"},
		"two pieces":    {whole + "yz\n", whole + "\nyz\n"},
		"no end":        {whole + whole + "y", whole + "\n" + whole + "\ny\n"},
		"not in a rune": {whole[2:] + "€€\n", whole[2:] + "\n€€\n"},
		"garbage":       {whole[1:] + "\xff\xff\n", whole[1:] + "\xff\n\xff\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			c, _ := start(t, Config{File: path})
			s := streams(t, c)
			write(t, s.Stdout, test.in)
			s.Release()
			end(t, c)
			if got := content(t, path); got != test.want {
				t.Errorf("%d bytes, want %d; the ends %q and %q", len(got), len(test.want), got[max(0, len(got)-20):], test.want[max(0, len(test.want)-20):])
			}
		})
	}
}

// TestLastWords: what was written before the call is in the tail and in the
// log, in front of what we say next, though somebody else has the pipe open.
func TestLastWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	c, _ := start(t, Config{File: path, Tail: 100})
	var want []string
	for i := range 300 {
		s := streams(t, c)
		write(t, s.Stdout, "half a line")
		last := fmt.Sprintf("reason %d", i)
		write(t, s.Stderr, strings.Repeat("x", i*100)+"\n"+last)
		began := time.Now()
		if got := s.Tail(); !strings.HasSuffix("\n"+got, "\n"+last) {
			t.Fatalf("run %d ended with %q", i, got)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Fatalf("that took %s", took)
		}
		c.Note(time.Now(), "ended")
		s.Release()
		want = append(want, last, "half a line")
	}
	end(t, c)
	runs := regexp.MustCompile(`.* bot: ended\n`).Split(content(t, path), -1)
	for i, run := range runs[:len(runs)-1] {
		lines := strings.Split(run, "\n")
		for _, line := range []string{want[2*i], want[2*i+1], strings.Repeat("x", i*100)} {
			if len(lines) != 4 || !slices.Contains(lines, line) {
				t.Fatalf("run %d: %.300q", i, lines)
			}
		}
	}
	if len(runs) != 301 {
		t.Errorf("%d runs", len(runs))
	}
}

// TestTailOfARunAlone: the words of one run do not explain another's end.
func TestTailOfARunAlone(t *testing.T) {
	c, _ := start(t, Config{File: filepath.Join(t.TempDir(), "log"), Tail: 100})
	defer end(t, c)
	one, two := streams(t, c), streams(t, c)
	write(t, one.Stderr, "one\n")
	write(t, two.Stdout, "no error\n")
	if got := two.Tail(); got != "" {
		t.Errorf("%q", got)
	}
	if got := one.Tail(); got != "one" {
		t.Errorf("%q", got)
	}
	one.Release()
	two.Release()
}

// TestBackgroundIsReadOn: a process that outlives its bot writes to the log.
func TestBackgroundIsReadOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	c, _ := start(t, Config{File: path, Tail: 100})
	old := streams(t, c)
	old.Tail()
	s := streams(t, c)
	write(t, old.Stderr, "from the old one\n")
	clitest.Wait(t, "the line", func() bool { return strings.Contains(content(t, path), "from the old one\n") })
	write(t, old.Stderr, "its end")
	old.Release()
	s.Release()
	clitest.Wait(t, "the end of the pipes", func() bool { return len(c.streams()) == 0 })
	end(t, c)
	if got := content(t, path); got != "from the old one\nits end\n" {
		t.Errorf("%q", got)
	}
}

func TestTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	c, _ := start(t, Config{File: path, Time: true})
	s := streams(t, c)
	write(t, s.Stdout, "one\n\ntwo")
	s.Release()
	clitest.Wait(t, "the end of the pipes", func() bool { return len(c.streams()) == 0 })
	c.Note(time.Now(), "ours")
	end(t, c)
	want := regexp.MustCompile(`^(TIME) one\n(TIME) \n(TIME) two\n(TIME) bot: ours\n$`)
	stamp := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)
	got := content(t, path)
	if !want.MatchString(stamp.ReplaceAllString(got, "TIME")) {
		t.Errorf("%q", got)
	}
	first, err := time.Parse(time.RFC3339, stamp.FindString(got))
	if err != nil || time.Since(first).Abs() > clitest.Patience {
		t.Errorf("%v, %v", first, err)
	}
}

// TestAppends: the log of yesterday is still there, and a line that was torn
// when the machine was switched off does not swallow the next one.
func TestAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("yesterday\nto"), 0o640); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c, _ := start(t, Config{File: path})
		s := streams(t, c)
		write(t, s.Stderr, "today\n")
		s.Release()
		end(t, c)
	}
	if got := content(t, path); got != "yesterday\nto\ntoday\ntoday\n" {
		t.Errorf("%q", got)
	}
	if info, _ := os.Stat(path); os.PathSeparator == '/' && info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode()) // somebody's choice
	}
}

func TestNoLog(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "file", "log"), os.DevNull} {
		_ = os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
		if c, err := Open(Config{File: path}); err == nil {
			t.Errorf("%s: a log", path)
			end(t, c)
		}
	}
	var none *Capture
	none.Note(time.Now(), "x")
	if err := none.Close(0); err != nil {
		t.Error(err)
	}
	var noStreams *Streams
	noStreams.Release()
	if noStreams.Tail() != "" {
		t.Error("a tail of nothing")
	}
}

// TestPassThrough: standard error goes on as it is, without waiting for the
// end of a line, and its end is kept.
func TestPassThrough(t *testing.T) {
	var out lockedBuffer
	c, _ := start(t, Config{Stderr: &out, Tail: 6})
	s := streams(t, c)
	if s.Stdout != nil {
		t.Error("standard output is not left alone")
	}
	write(t, s.Stderr, "prompt: ")
	clitest.Wait(t, "the prompt", func() bool { return out.String() == "prompt: " })
	write(t, s.Stderr, "1\r2\nreason")
	if got := s.Tail(); got != "reason" {
		t.Errorf("tail %q", got)
	}
	fmt.Fprintln(c, "ours")
	s.Release()
	end(t, c)
	if out.String() != "prompt: 1\r2\nreason\nours\n" {
		t.Errorf("%q", out.String())
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
