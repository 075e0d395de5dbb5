package watch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"ductor/internal/common/clitest"
)

// shared watches a marker and a tree by one watcher. The marker lies in a folder
// that the tree needs as well: the parent of its root.
func shared(t *testing.T) (f *Files, marker string, w *watched) {
	t.Helper()
	w = &watched{t: t, root: mkdir(t, realTemp(t), "root")}
	withFile(t)(w.root)
	marker = filepath.Join(filepath.Dir(w.root), "marker")
	f = NewFiles([]string{marker}, t.Errorf)
	t.Cleanup(f.Close)
	watching := make(chan string, 1)
	opt := Options{Mode: native, Share: f, Warn: w.warn.add, Watching: func(mode string, _ int) { watching <- mode }}
	var err error
	if w.tr, err = openTrees([]string{w.root}, Filter{}, opt, patient); err != nil {
		t.Fatal(err)
	}
	go w.tr.run()
	t.Cleanup(func() {
		if !w.tr.closed() {
			w.tr.Close()
		}
	})
	<-watching
	return f, marker, w
}

func TestOneWatcherForBoth(t *testing.T) {
	f, marker, w := shared(t)
	if w.tr.w.w != f.w {
		t.Fatal("there are two")
	}
	w.wantPath(w.once(func() { w.write("pkg/b.py") }), "pkg/b.py", 1)
	if len(f.look) != 0 {
		t.Error("a change of the tree woke who waits for markers")
	}
	w.none(func() { write(t, marker, "1"); look(t, f, "the marker") })
	w.once(func() {
		rename(t, w.root, w.root+".old")
		withFile(t)(mkdir(t, w.root))
	})
	w.wantPath(w.once(func() { w.write("pkg/sub/c.py") }), "pkg/sub/c.py", 1)
}

// TestTreesLeaveWhatFilesNeed: when they end, or give up, markers are still told.
func TestTreesLeaveWhatFilesNeed(t *testing.T) {
	f, marker, w := shared(t)
	w.tr.Close()
	clitest.Wait(t, "the end of the watches", func() bool { return len(f.w.WatchList()) == 1 })
	write(t, marker, "1")
	look(t, f, "the marker")
}

// TestFilesDoNotWaitForTrees: one that is busy loses events, and learns so.
func TestFilesDoNotWaitForTrees(t *testing.T) {
	dir := realTemp(t)
	f := NewFiles([]string{filepath.Join(dir, "marker")}, t.Errorf)
	defer f.Close()
	s, err := newSource(f)
	if err != nil {
		t.Fatal(err)
	}
	for range 2*tapMost + 2 { // of which the pump may have taken a full queue
		s.tap.put(fsnotify.Event{Name: filepath.Join(dir, "x")}, nil)
	}
	write(t, filepath.Join(dir, "marker"), "1")
	look(t, f, "the marker")
	deadline := time.After(clitest.Patience)
	for lost := false; !lost; {
		select {
		case <-s.events:
		case err := <-s.errs:
			if lost = err == fsnotify.ErrEventOverflow; !lost {
				t.Fatal(err)
			}
		case <-deadline:
			t.Fatal("nobody told that events are missing")
		}
	}
	s.Close()
	if f.tap.Load() != nil {
		t.Error("the tap is still there")
	}
}

// TestLinkBesideMarkers: a root that is a link, in a folder that is known by
// another name to who waits for markers.
func TestLinkBesideMarkers(t *testing.T) {
	dir := realTemp(t)
	for _, release := range []string{"a", "b"} {
		withFile(t)(mkdir(t, dir, release))
	}
	mkdir(t, dir, "home")
	for name, to := range map[string]string{"link": "home", "home/current": "../a"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	f := NewFiles([]string{filepath.Join(dir, "home", "marker")}, t.Errorf)
	defer f.Close()
	w := &watched{t: t, root: filepath.Join(dir, "a")}
	watching := make(chan string, 9)
	opt := Options{Mode: native, Share: f, Warn: w.warn.add, Watching: func(mode string, _ int) { watching <- mode }}
	var err error
	if w.tr, err = openTrees([]string{filepath.Join(dir, "link", "current")}, Filter{}, opt, patient); err != nil {
		t.Fatal(err)
	}
	go w.tr.run()
	defer w.tr.Close()
	<-watching
	w.once(func() {
		if err := os.Symlink("../b", filepath.Join(dir, "home", "next")); err != nil {
			t.Fatal(err)
		}
		rename(t, filepath.Join(dir, "home", "next"), filepath.Join(dir, "home", "current"))
		w.root = filepath.Join(dir, "b")
	})
	w.wantPath(w.once(func() { w.write("pkg/b.py") }), "pkg/b.py", 1)
}
