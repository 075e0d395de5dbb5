package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

// logFolder is the folder of logs of a service in a home of its own.
func logFolder(t *testing.T, name string) (definition.Service, string) {
	t.Helper()
	s := definition.Service{Name: name, Home: t.TempDir()}
	dir := filepath.Join(s.Home, "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// printedLogs is what fileLogs prints, with the folder taken out.
func printedLogs(t *testing.T, s definition.Service, q Lines) string {
	t.Helper()
	var out bytes.Buffer
	if err := fileLogs(t.Context(), s, &out, q); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(out.String(), filepath.Join(s.Home, "logs")+string(filepath.Separator), "")
}

func TestLogsOfSeveralFiles(t *testing.T) {
	s, dir := logFolder(t, "ductor")
	put(t, filepath.Join(dir, "ductor-old.log"), "old\n")
	if err := os.Chtimes(filepath.Join(dir, "ductor-old.log"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "ductor.log"), "1\n2\n[ERROR] [/x]\n")
	put(t, filepath.Join(dir, "service.log"), "a\nb")
	put(t, filepath.Join(dir, "agent.log"), "somebody else's\n")
	for last, want := range map[int]string{
		-1: "==> ductor.log <==\n1\n2\n[ERROR] [/x]\n\n==> service.log <==\na\nb",
		2:  "==> ductor.log <==\n2\n[ERROR] [/x]\n\n==> service.log <==\na\nb",
		1:  "==> ductor.log <==\n[ERROR] [/x]\n\n==> service.log <==\nb",
		0:  "==> ductor.log <==\n\n==> service.log <==\n",
	} {
		if got := printedLogs(t, s, Lines{Last: last}); got != want {
			t.Errorf("last %d: %q, want %q", last, got, want)
		}
	}
}

func TestLogsOfAnotherName(t *testing.T) {
	s, dir := logFolder(t, "nas")
	put(t, filepath.Join(dir, "service.log"), "ductor's\n")
	put(t, filepath.Join(dir, "ductor.log"), "ductor's\n")
	put(t, filepath.Join(dir, "service-nas.err"), "mine\n")
	if got := printedLogs(t, s, Lines{Last: -1}); got != "mine\n" {
		t.Errorf("%q", got)
	}
}

// TestLogsOfAServiceCalledService are not told twice.
func TestLogsOfAServiceCalledService(t *testing.T) {
	s, dir := logFolder(t, "service")
	put(t, filepath.Join(dir, "service-service.log"), "once\n")
	if got := printedLogs(t, s, Lines{Last: -1}); got != "once\n" {
		t.Errorf("%q", got)
	}
}

func TestNoLogs(t *testing.T) {
	s, dir := logFolder(t, "nas")
	put(t, filepath.Join(dir, "ductor.log"), "ductor's\n")
	for range 2 {
		err := fileLogs(t.Context(), s, io.Discard, Lines{Last: 3})
		if exitcode.Of(err) != exitcode.No || !strings.Contains(err.Error(), fmt.Sprintf("%q", dir)) {
			t.Errorf("%v", err)
		}
		if err := os.RemoveAll(s.Home); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLastLinesOfALongFile has lines that lie across the blocks in which it is
// read, and one that is longer than a block.
func TestLastLinesOfALongFile(t *testing.T) {
	var text strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	text.WriteString(strings.Repeat("x", 200_000) + "\n")
	for _, end := range []string{"", "torn"} {
		whole := text.String() + end
		lines := strings.SplitAfter(strings.TrimSuffix(whole, "\n"), "\n")
		for _, n := range []int{1, 2, 3, 999, 20_000, len(lines) - 1, len(lines), len(lines) + 1} {
			at, err := lastLines(strings.NewReader(whole), int64(len(whole)), n)
			want := strings.Join(lines[max(0, len(lines)-n):], "")
			if got := strings.TrimSuffix(whole[at:], "\n"); err != nil || got != want {
				t.Errorf("last %d: %d bytes, want %d, %v", n, len(got), len(want), err)
			}
		}
	}
}

func TestLogsSince(t *testing.T) {
	s, dir := logFolder(t, "ductor")
	since := time.Date(2026, 11, 23, 10, 0, 0, 0, time.Local)
	stamp := func(d time.Duration, layout string) string { return since.Add(d).Format(layout) }
	put(t, filepath.Join(dir, "ductor.log"), strings.Join([]string{
		stamp(-time.Second, "2006-01-02 15:04:05,000 old"), "\told trace",
		stamp(time.Millisecond, "2006-01-02 15:04:05.000 new"), "\tnew trace",
		stamp(-time.Hour, time.RFC3339) + " old again",
		"2026-99-99 99:99:99 is no time",
		stamp(time.Hour, time.RFC3339Nano) + " new",
		since.Add(time.Hour).UTC().Format("2006-01-02T15:04:05,123Z") + " new",
		since.Add(time.Hour).UTC().Format("2006-01-02 15:04:05+00:00") + " new",
		since.Add(-time.Second).UTC().Format("2006-01-02T15:04:05Z") + " old",
		stamp(0, "2006-01-02T15:04:05") + " torn",
	}, "\n"))
	put(t, filepath.Join(dir, "service.log"), "old\n")
	if err := os.Chtimes(filepath.Join(dir, "service.log"), since, since.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	got := printedLogs(t, s, Lines{Last: -1, Since: since})
	if strings.Contains(got, "old") || strings.Count(got, "new") != 5 || !strings.HasSuffix(got, "torn") {
		t.Errorf("%q", got)
	}
	got = printedLogs(t, s, Lines{Last: 2, Since: since})
	if strings.Count(got, "new") != 1 || !strings.HasSuffix(got, "torn") {
		t.Errorf("the last two: %q", got)
	}
	if got = printedLogs(t, s, Lines{Last: 0, Since: since}); got != "==> ductor.log <==\n" && got != "" {
		t.Errorf("none: %q", got)
	}
}

// reader is a place to print to, which can be read while it is printed to.
type reader struct {
	mu   sync.Mutex
	text bytes.Buffer
	gone bool
}

func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return 0, errors.New("nobody reads this")
	}
	return r.text.Write(p)
}

func (r *reader) has(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.text.String(), text)
}

// following follows the logs until the test stops it; what it returned comes
// out of the channel.
func following(t *testing.T, s definition.Service) (*reader, context.CancelFunc, chan error) {
	t.Helper()
	goleak.VerifyNone(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, done := &reader{}, make(chan error, 1)
	go func() { done <- fileLogs(ctx, s, r, Lines{Last: 1, Follow: true}) }()
	t.Cleanup(func() { cancel(); goleak.VerifyNone(t) })
	return r, cancel, done
}

func add(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestFollow(t *testing.T) {
	s, dir := logFolder(t, "ductor")
	log, errs := filepath.Join(dir, "ductor.log"), filepath.Join(dir, "service.err")
	put(t, log, "one\ntwo\n")
	r, cancel, done := following(t, s)
	clitest.Wait(t, "the last line", func() bool { return r.has("two\n") })
	add(t, log, "thr")
	clitest.Wait(t, "half a line", func() bool { return r.has("two\nthr") })
	add(t, log, "ee\n")
	clitest.Wait(t, "the other half", func() bool { return r.has("two\nthree\n") })
	add(t, errs, "a file that was not there\n")
	clitest.Wait(t, "the other file", func() bool { return r.has("\n==> " + errs + " <==\na file that was not there\n") })
	if err := os.Truncate(log, 0); err != nil {
		t.Fatal(err)
	}
	add(t, log, "anew\n") // shorter than before, which is how it is noticed
	clitest.Wait(t, "the file that begins anew", func() bool { return r.has("\n==> " + log + " <==\nanew\n") })
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	add(t, log+".1", "between\n")
	add(t, log, "renamed\n")
	clitest.Wait(t, "the file that came", func() bool { return r.has("between\nrenamed\n") })
	cancel()
	if err := <-done; err != nil || r.has("one") {
		t.Errorf("%v, %q", err, r.text.String())
	}
}

// TestFollowLosesNothingInRotation is why no package does this.
func TestFollowLosesNothingInRotation(t *testing.T) {
	s, dir := logFolder(t, "ductor")
	log := filepath.Join(dir, "ductor.log")
	put(t, log, "begin\n")
	r, cancel, done := following(t, s)
	clitest.Wait(t, "the beginning", func() bool { return r.has("begin\n") })
	var want strings.Builder
	want.WriteString("begin\n")
	for round := range 5 {
		for i := range 50 {
			line := fmt.Sprintf("%d.%d\n", round, i)
			want.WriteString(line)
			add(t, log, line)
		}
		clitest.Wait(t, "some lines", func() bool { return r.has(fmt.Sprintf("%d.0\n", round)) })
		last := fmt.Sprintf("the last of %d\n", round)
		want.WriteString(last)
		add(t, log, last)
		if err := os.Rename(log, fmt.Sprintf("%s.%d", log, round)); err != nil {
			t.Fatal(err)
		}
	}
	clitest.Wait(t, "the last line", func() bool { return r.has("the last of 4\n") })
	cancel()
	if err := <-done; err != nil || r.text.String() != want.String() {
		t.Errorf("%v, %q", err, r.text.String())
	}
}

// TestFollowEndsWithItsReader: whoever reads may have seen enough.
func TestFollowEndsWithItsReader(t *testing.T) {
	s, dir := logFolder(t, "ductor")
	log := filepath.Join(dir, "ductor.log")
	put(t, log, "one\n")
	r, _, done := following(t, s)
	clitest.Wait(t, "a line", func() bool { return r.has("one\n") })
	r.mu.Lock()
	r.gone = true
	r.mu.Unlock()
	add(t, log, "two\n")
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, q := range []Lines{{Last: 1}, {Last: 1, Since: time.Unix(1, 0)}} {
		if err := fileLogs(t.Context(), s, r, q); err != nil {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestTrimLogs(t *testing.T) {
	dir := t.TempDir()
	opened := func(name string, size int64, flags int) *os.File {
		t.Helper()
		put(t, filepath.Join(dir, name), "")
		if err := os.Truncate(filepath.Join(dir, name), size); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	large, small := opened("large", logLimit+1, os.O_APPEND), opened("small", logLimit, os.O_APPEND)
	inPlace := opened("in place", logLimit+1, 0)
	if err := TrimLogs(large, large, out, small, inPlace); err != nil {
		t.Fatal(err)
	}
	for f, want := range map[*os.File]int64{large: 0, small: logLimit, inPlace: logLimit + 1} {
		if info, err := f.Stat(); err != nil || info.Size() != want && appends(large) {
			t.Errorf("%s: %d bytes, %v", f.Name(), info.Size(), err)
		}
	}
	if _, err := large.WriteString("new\n"); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(large.Name()); appends(large) && string(data) != "new\n" {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}
