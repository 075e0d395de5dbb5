package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// lookedAt is a poller that knows what is there now.
func lookedAt(t *testing.T, root string) *poller {
	t.Helper()
	p := &poller{roots: []*place{{root: root0(t, root), known: map[string]*folder{}}}, sieve: newSieve(Filter{}), since: time.Now()}
	p.look(&report{first: true})
	return p
}

func root0(t *testing.T, dir string) root {
	t.Helper()
	r, err := findRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	return *r
}

// TestChangeDuringLook: a bot that was started while a look went on has not seen
// what was written after its start, so the change is as young as the look's end.
func TestChangeDuringLook(t *testing.T) {
	root := realTemp(t)
	for i := range 300 {
		mkdir(t, root, fmt.Sprint(i))
	}
	p := lookedAt(t, root)
	for i := range 10 { // in vain only if this goroutine is held up at each end
		write(t, filepath.Join(root, "a.py"), fmt.Sprint(i))
		var found report
		start := time.Now()
		p.look(&found)
		took := time.Since(start)
		if found.count != 1 {
			t.Fatalf("%d files", found.count)
		}
		if found.at.Sub(start) > took/2 {
			return
		}
	}
	t.Error("a change is as old as the beginning of the look")
}

// TestFileFoundTwice: one that is still being written is one file, and goes on
// putting the end of the burst off.
func TestFileFoundTwice(t *testing.T) {
	root := realTemp(t)
	p := lookedAt(t, root)
	var found report
	for i := range 3 {
		write(t, filepath.Join(root, "a.py"), "a longer line each time"[:10+i])
		p.look(&found)
	}
	if found.count != 1 || len(found.paths) != 1 || found.hits != 3 {
		t.Errorf("%d files, %q, %d hits", found.count, found.paths, found.hits)
	}
}

// TestGoneInOrder: which file is named is not left to chance.
func TestGoneInOrder(t *testing.T) {
	root := realTemp(t)
	for i := range 20 {
		write(t, filepath.Join(mkdir(t, root, "pkg", fmt.Sprintf("%02d", i)), "x.py"), "x")
	}
	p := lookedAt(t, root)
	if err := os.RemoveAll(filepath.Join(root, "pkg")); err != nil {
		t.Fatal(err)
	}
	var found report
	if p.look(&found); found.count != 20 || !slices.IsSorted(found.paths) {
		t.Errorf("%d files, %q", found.count, found.paths)
	}
}

// TestWrittenJustBeforeGivingUp: the clock of files is up to a tick behind ours.
func TestWrittenJustBeforeGivingUp(t *testing.T) {
	root := realTemp(t)
	dir := mkdir(t, root, "unwatched")
	var w warnings
	tr, err := openTrees([]string{root}, Filter{}, Options{Mode: Mode{Auto, time.Hour}, Warn: w.add}, patientLooks)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	tr.limit = errCrowded
	write(t, filepath.Join(dir, "a.py"), "x")
	tr.fallBack()
	if rep := <-tr.reports; rep.count != 1 {
		t.Errorf("%d files", rep.count)
	}
}

// TestGivingUpForgetsNothing: what was told before, but is not taken yet, no look
// finds.
func TestGivingUpForgetsNothing(t *testing.T) {
	root := realTemp(t)
	path := filepath.Join(root, "a.py")
	write(t, path, "x")
	var w warnings
	tr, err := openTrees([]string{root}, Filter{}, Options{Mode: Mode{Auto, time.Hour}, Warn: w.add}, patientLooks)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	tr.firstScan()
	tr.burst.take()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	tr.limit = errCrowded
	if tr.fallBack(); !tr.burst.files[path] {
		t.Error("a removal was forgotten")
	}
}

// TestLooksLeaveTime: looking takes a fifth of the time at most.
func TestLooksLeaveTime(t *testing.T) {
	p := &poller{every: 2 * time.Second}
	for took, want := range map[time.Duration]time.Duration{time.Millisecond: 2 * time.Second, time.Second: 4 * time.Second} {
		if got := p.pause(took); got != want {
			t.Errorf("a pause of %s after %s, want %s", got, took, want)
		}
	}
}
