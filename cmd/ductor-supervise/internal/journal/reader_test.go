package journal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func next(t *testing.T, r *Reader) (n []int64) {
	t.Helper()
	if err := r.Next(func(e Event) { n = append(n, e.Seq) }); err != nil {
		t.Fatal(err)
	}
	return n
}

func addTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestReaderReadsOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	r := NewReader(path)
	if err := r.Next(nil); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("absent: %v", err)
	}
	j := open(t, path)
	for want := int64(1); want < 4; want++ {
		j.Write(Event{Type: Warning})
		if got := next(t, r); !slices.Equal(got, []int64{want}) {
			t.Fatalf("numbers %v, want %d", got, want)
		}
	}
	if got := next(t, r); len(got) != 0 {
		t.Errorf("nothing new: %v", got)
	}
	// A line that is being written waits for its end; what is no event does not
	// hide what follows it.
	addTo(t, path, "\x00\x00{}\nnull\n"+`{"seq":4,"type":"war`)
	if got := next(t, r); len(got) != 0 {
		t.Errorf("a torn line: %v", got)
	}
	addTo(t, path, `ning"}`+"\n"+`{"seq":5,"type":"warning"}`+"\n")
	if got := next(t, r); !slices.Equal(got, []int64{4, 5}) {
		t.Errorf("its end: %v", got)
	}
}

// TestReaderThroughRotations: whatever the moment, nothing is met twice and
// nothing is lost.
func TestReaderThroughRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	j, r := open(t, path), NewReader(path)
	var got []int64
	rotations, pad := 0, strings.Repeat("x", 100<<10)
	for n := range 40 {
		before, _ := os.Stat(path)
		j.Write(Event{Type: Warning, Message: pad})
		if after, _ := os.Stat(path); !os.SameFile(before, after) {
			rotations++
		}
		if n%3 == 0 {
			got = append(got, next(t, r)...)
		}
	}
	got = append(got, next(t, r)...)
	for i, n := range got {
		if n != int64(i+1) {
			t.Fatalf("numbers %v", got)
		}
	}
	if len(got) != 40 || rotations < 2 {
		t.Errorf("%d events, %d rotations", len(got), rotations)
	}
	// Between the two steps of one, only the older file is there.
	j.Write(Event{Type: Warning})
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if got := next(t, r); !slices.Equal(got, []int64{41}) {
		t.Errorf("in the middle: %v", got)
	}
	addTo(t, path, `{"seq":42,"type":"warning"}`+"\n")
	if got := next(t, r); !slices.Equal(got, []int64{42}) {
		t.Errorf("after it: %v", got)
	}
	// Whoever comes later finds both.
	if got := next(t, NewReader(path)); !slices.Equal(got[len(got)-2:], []int64{41, 42}) {
		t.Errorf("from the beginning: %v", got)
	}
}

// TestReaderIsBounded: a file that grew to a gigabyte is no trap, and its end
// is what counts.
func TestReaderIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	addTo(t, path, `{"seq":1,"type":"warning"}`+"\n")
	if err := os.Truncate(path, 1<<30); err != nil { // without the disk
		t.Fatal(err)
	}
	addTo(t, path, "\n"+`{"seq":2,"type":"warning"}`+"\n")
	r := NewReader(path)
	if got := next(t, r); !slices.Equal(got, []int64{2}) {
		t.Errorf("numbers %v", got)
	}
	if r.offset != fileSize(t, path) {
		t.Errorf("read up to %d of %d", r.offset, fileSize(t, path))
	}
	// One that was cut short begins anew.
	if err := os.WriteFile(path, []byte(`{"seq":3,"type":"warning"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := next(t, r); !slices.Equal(got, []int64{3}) {
		t.Errorf("numbers %v", got)
	}
	if err := NewReader(t.TempDir()).Next(nil); err == nil {
		t.Error("a folder has events")
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func BenchmarkReaderFull(b *testing.B) {
	path := filepath.Join(b.TempDir(), "events.jsonl")
	line := []byte(`{"schema":1,"seq":17,"time":"2026-11-23T10:00:00.123Z","type":"child_exit","pid":4242,"code":1,"runtime_seconds":3.25}` + "\n")
	data := bytes.Repeat(line, maxEvents/len(line))
	for _, p := range []string{path, path + ".1"} {
		if err := os.WriteFile(p, data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := NewReader(path).Next(func(Event) {}); err != nil {
			b.Fatal(err)
		}
	}
}
