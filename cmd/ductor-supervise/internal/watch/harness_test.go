package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

// patient is a pace at which a loaded machine does not tear a burst apart, so
// that "exactly one" can be asserted.
var patient = pace{first: 400 * time.Millisecond, most: 400 * time.Millisecond, hole: 400 * time.Millisecond, end: time.Hour}

// The same without the native one's share, where looks are what takes time.
var patientLooks = pace{first: time.Millisecond, most: time.Millisecond, hole: time.Millisecond, look: 400 * time.Millisecond, end: time.Hour}

var native, polling = Mode{Kind: Native}, Mode{Kind: Poll, Every: 5 * time.Millisecond}

// inModes runs a test once with each way of watching.
func inModes(t *testing.T, test func(t *testing.T, mode Mode)) {
	for _, mode := range []Mode{native, polling} {
		t.Run(mode.Kind, func(t *testing.T) {
			t.Parallel()
			test(t, mode)
		})
	}
}

func paceOf(mode Mode) pace {
	if mode.Kind == Poll {
		return patientLooks
	}
	return patient
}

// startTrees returns when the first scan is done.
func startTrees(t *testing.T, dirs []string, filter Filter, mode Mode, warn func(string, ...any), p pace) *Trees {
	t.Helper()
	watching := make(chan string, 9)
	tr, err := openTrees(dirs, filter, Options{Mode: mode, Warn: warn, Watching: func(mode string, _ int) { watching <- mode }}, p)
	if err != nil {
		t.Fatal(err)
	}
	go tr.run()
	t.Cleanup(tr.Close)
	select {
	case <-watching:
	case <-time.After(clitest.Patience):
		t.Fatal("the first scan has not ended")
	}
	return tr
}

// watched is a tree under watch.
type watched struct {
	t    *testing.T
	tr   *Trees
	root string
	warn warnings
	n    int
}

// watchTree watches a folder that fill has filled.
func watchTree(t *testing.T, mode Mode, filter Filter, fill func(root string)) *watched {
	t.Helper()
	return watchAs(t, mode, filter, paceOf(mode), fill)
}

func watchAs(t *testing.T, mode Mode, filter Filter, p pace, fill func(root string)) *watched {
	t.Helper()
	w := &watched{t: t, root: mkdir(t, realTemp(t), "root")}
	if fill != nil {
		fill(w.root)
		// What is younger than a tick counts as changed when a scan is made again.
		for filled := time.Now(); time.Since(filled) <= 2*tick; {
			time.Sleep(tick)
		}
	}
	w.tr = startTrees(t, []string{w.root}, filter, mode, w.warn.add, p)
	return w
}

func (w *watched) path(rel string) string { return filepath.Join(w.root, rel) }

func (w *watched) next() Change {
	w.t.Helper()
	select {
	case c := <-w.tr.Changes():
		return c
	case <-time.After(clitest.Patience):
		w.t.Fatalf("no change was told (warnings: %s)", &w.warn)
		panic("unreachable")
	}
}

// sentinel makes a change of our own. What was told before it, or with it,
// came of something else.
func (w *watched) sentinel(dir string) {
	w.t.Helper()
	w.n++
	path := filepath.Join(dir, fmt.Sprintf("sentinel%d.py", w.n))
	write(w.t, path, "x")
	if c := w.next(); c.Path != path || c.Count != 1 {
		w.t.Errorf("a change was told too much: %q and %d more", c.Path, c.Count-1)
	}
}

// once expects exactly one change of what do does.
func (w *watched) once(do func()) Change {
	w.t.Helper()
	do()
	c := w.next()
	w.sentinel(w.root)
	return c
}

// none expects that what do does is no change.
func (w *watched) none(do func()) {
	w.t.Helper()
	do()
	w.sentinel(w.root)
}

func (w *watched) wantPath(c Change, rel string, count int) {
	w.t.Helper()
	if c.Path != w.path(rel) || c.Count != count {
		w.t.Errorf("change %q, %d files; want %q, %d", c.Path, c.Count, w.path(rel), count)
	}
}

func (w *watched) write(rel string) { w.t.Helper(); write(w.t, w.path(rel), "y") }

func (w *watched) rename(from, to string) { w.t.Helper(); rename(w.t, w.path(from), w.path(to)) }

func (w *watched) remove(rel string) {
	w.t.Helper()
	if err := os.RemoveAll(w.path(rel)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) symlink(to, rel string) {
	w.t.Helper()
	if err := os.Symlink(to, w.path(rel)); err != nil {
		w.t.Fatal(err)
	}
}

func withFile(t *testing.T) func(root string) {
	return func(root string) {
		mkdir(t, root, "pkg/sub")
		for _, rel := range []string{"a.py", "pkg/b.py", "pkg/sub/c.py"} {
			write(t, filepath.Join(root, rel), "x")
		}
	}
}
