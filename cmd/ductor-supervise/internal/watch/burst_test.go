package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func ms(n int) time.Time { return t0.Add(time.Duration(n) * time.Millisecond) }

// written makes files that are there and not empty.
func written(t *testing.T, n int) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(paths[i], []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

func TestBurstOfOneFile(t *testing.T) {
	path := written(t, 1)[0]
	b := burst{pace: usual}
	if b.active() {
		t.Error("active before anything changed")
	}
	for at := range 3 { // many writes of one file are one file
		b.add(path, ms(at))
	}
	if !b.active() || b.settled(ms(6)) || !b.settled(ms(7)) {
		t.Errorf("5 ms after the last write it is over; due %s", b.due().Sub(t0))
	}
	if c := b.take(); c != (Change{path, 1, ms(2)}) {
		t.Errorf("%+v", c)
	}
	if b.active() || b.pace != usual {
		t.Errorf("after take: %+v", b)
	}
}

func TestBurstGrowsPatient(t *testing.T) {
	paths := written(t, 1000)
	b := burst{pace: usual}
	for i, path := range paths {
		b.add(path, ms(i))
		want := min(5*(i+1), 400)
		if got := b.due().Sub(ms(i)); got != time.Duration(want)*time.Millisecond {
			t.Fatalf("quiet time of %d files is %s, want %d ms", i+1, got, want)
		}
		if b.settled(ms(i + 4)) {
			t.Fatalf("over after %d files", i+1)
		}
	}
	if b.settled(ms(999+399)) || !b.settled(ms(999+400)) {
		t.Error("not over 400 ms after the last file")
	}
	if c := b.take(); c != (Change{paths[0], 1000, ms(999)}) {
		t.Errorf("%+v", c)
	}
}

func TestBurstRemembersABoundedNumber(t *testing.T) {
	b := burst{pace: usual}
	for i := range 5000 {
		b.add(fmt.Sprint("/nowhere/", i), t0)
	}
	if len(b.files) != burstFiles {
		t.Errorf("%d paths in memory", len(b.files))
	}
	if c := b.take(); c.Count != 5000 {
		t.Errorf("count %d", c.Count)
	}
}

// TestBurstWaitsForAHoleOnce: a file that is gone or empty is about to be
// written, or else really gone.
func TestBurstWaitsForAHoleOnce(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, filepath.Join(dir, "gone")} {
		b := burst{pace: usual}
		b.add(path, ms(0))
		if b.settled(ms(5)) || b.settled(ms(149)) {
			t.Errorf("%s: over before it could be written", path)
		}
		if !b.settled(ms(150)) {
			t.Errorf("%s: not over after 150 ms", path)
		}
		// The file is written: back to the usual pace.
		b = burst{pace: usual}
		b.add(path, ms(0))
		b.settled(ms(5))
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.add(path, ms(20))
		if b.settled(ms(24)) || !b.settled(ms(25)) {
			t.Errorf("%s: 5 ms after it was written it is over; due %s", path, b.due().Sub(t0))
		}
	}
}

// TestBurstThatIsLookedAtLate: nobody waits for a hole when its time is over.
func TestBurstThatIsLookedAtLate(t *testing.T) {
	b := burst{pace: usual}
	b.add("/nowhere", ms(0))
	if !b.settled(ms(1000)) {
		t.Error("not over after a second")
	}
}

// TestBurstManyFilesAreNotLookedAt: a checkout deletes files too.
func TestBurstManyFilesAreNotLookedAt(t *testing.T) {
	b := burst{pace: usual}
	for i := range 9 {
		b.add(fmt.Sprint("/nowhere/", i), ms(0))
	}
	if !b.settled(ms(45)) {
		t.Error("9 files that are gone prolong the burst")
	}
}

func TestBurstEndsUnderASteadyStream(t *testing.T) {
	b := burst{pace: usual}
	paths := written(t, 1)
	for at := 0; at < 5000; at += 4 {
		b.add(paths[0], ms(at))
		if at < 4995 && b.settled(ms(at+3)) {
			t.Fatalf("over after %d ms", at)
		}
	}
	if due := b.due(); due.Sub(t0) != 5*time.Second {
		t.Errorf("due after %s, want 5 s", due.Sub(t0))
	}
	if !b.settled(ms(5000)) {
		t.Error("a stream that never ends is never told")
	}
	b = burst{pace: usual}
	b.add("/nowhere", ms(0))
	b.add("/nowhere", ms(4999))
	if b.settled(ms(5000)) != true { // a hole has no more time than that
		t.Error("a hole goes on after the end")
	}
}
