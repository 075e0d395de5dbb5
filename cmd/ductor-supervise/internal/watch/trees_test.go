package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ductor/internal/common/clitest"
)

func TestTreesIgnores(t *testing.T) {
	for name, tt := range map[string]struct {
		filter Filter
		do     func(w *watched)
	}{
		"chmod": {Filter{}, func(w *watched) {
			for _, rel := range []string{"a.py", "pkg", "."} {
				if err := os.Chmod(w.path(rel), 0o755); err != nil {
					w.t.Fatal(err)
				}
			}
		}},
		"reading":               {Filter{}, func(w *watched) { _, _ = os.ReadFile(w.path("a.py")) }},
		"an empty folder":       {Filter{}, func(w *watched) { mkdir(w.t, w.root, "new/empty") }},
		"a sibling of the root": {Filter{}, func(w *watched) { w.write("../sibling.py") }},
		"caches": {Filter{}, func(w *watched) {
			for _, dir := range []string{"__pycache__", ".git/refs", "pkg/node_modules/x", ".venv/lib", "pkg/.mypy_cache"} {
				write(w.t, filepath.Join(mkdir(w.t, w.root, dir), "x.py"), "x")
			}
			for _, file := range []string{"a.pyc", ".a.py.swp", "a.py~", ".DS_Store", "restart-requested.taken4711", ".status.json.12.tmp"} {
				w.write(file)
			}
		}},
		"a glob on a name":      {Filter{Ignore: []string{"*.log"}}, func(w *watched) { w.write("pkg/x.log") }},
		"a glob on a path":      {Filter{Ignore: []string{"pkg/**/gen_*.py"}}, func(w *watched) { w.write("pkg/sub/gen_x.py"); w.write("pkg/gen_y.py") }},
		"a folder by its name":  {Filter{Ignore: []string{"sub/"}}, func(w *watched) { w.write("pkg/sub/c.py") }},
		"a folder, by ./":       {Filter{Ignore: []string{"./pkg/sub/"}}, func(w *watched) { w.write("pkg/sub/c.py") }},
		"a folder, by /":        {Filter{Ignore: []string{"/pkg/s*b"}}, func(w *watched) { w.write("pkg/sub/c.py") }},
		"all but .d.ts":         {Filter{Ext: []string{".d.ts", ".py"}}, func(w *watched) { w.write("x.ts"); w.write("d.ts") }},
		"all but the extension": {Filter{Ext: []string{".py", ".toml"}}, func(w *watched) { w.write("x.txt"); w.write("py"); w.write("x.pyx"); w.remove("x.txt") }},
	} {
		t.Run(name, func(t *testing.T) {
			inModes(t, func(t *testing.T, mode Mode) {
				w := watchTree(t, mode, tt.filter, withFile(t))
				w.none(func() { tt.do(w) })
			})
		})
	}
}

// TestTreesTouch: a touch writes nothing, but only the system can tell.
func TestTreesTouch(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		w := watchTree(t, mode, Filter{}, withFile(t))
		// Both times at once, as touch(1) does: of the time of writing alone the kernel says that it was written.
		touch := func() { past := time.Now().Add(-time.Hour); _ = os.Chtimes(w.path("a.py"), past, past) }
		if mode.Kind == Native {
			w.none(touch)
		} else {
			w.wantPath(w.once(touch), "a.py", 1)
		}
	})
}

// TestIgnoreAbsolute: whatever name of the root it begins with.
func TestIgnoreAbsolute(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		top := realTemp(t)
		w := &watched{t: t, root: mkdir(t, top, "root")}
		withFile(t)(w.root)
		link := filepath.Join(top, "link")
		if err := os.Symlink("root", link); err != nil {
			t.Fatal(err)
		}
		filter := Filter{Ignore: []string{filepath.Join(link, "pkg"), filepath.Join(w.root, "a.*")}}
		w.tr = startTrees(t, []string{link}, filter, mode, w.warn.add, paceOf(mode))
		w.none(func() { w.write("pkg/sub/c.py"); w.write("a.py") })
	})
}

// TestIgnoreAnchored: a path with a slash in front is one path, and not a name
// anywhere.
func TestIgnoreAnchored(t *testing.T) {
	for _, glob := range []string{"./sub", "/sub"} {
		w := watchTree(t, native, Filter{Ignore: []string{glob}}, withFile(t))
		w.wantPath(w.once(func() { w.write("pkg/sub/c.py") }), "pkg/sub/c.py", 1)
	}
}

// TestEndingWithTwoDots: .d.ts is one, and so is the .ts that it ends with.
func TestEndingWithTwoDots(t *testing.T) {
	for _, ext := range []string{".d.ts", ".ts"} {
		w := watchTree(t, native, Filter{Ext: []string{ext, ".py"}}, withFile(t))
		w.wantPath(w.once(func() { w.write("pkg/x.d.ts") }), "pkg/x.d.ts", 1)
	}
}

func TestTreesExtension(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		w := watchTree(t, mode, Filter{Ext: []string{".toml", ".py"}}, withFile(t))
		c := w.once(func() { w.write("x.txt"); w.write("pkg/x.toml") })
		w.wantPath(c, "pkg/x.toml", 1)
	})
}

// TestTreesOwnFiles: what we write ourselves must not restart the bot, by
// whatever name our home was given.
func TestTreesOwnFiles(t *testing.T) {
	inModes(t, testOwnFiles)
}

func testOwnFiles(t *testing.T, mode Mode) {
	top := realTemp(t)
	link := filepath.Join(top, "link")
	if err := os.Symlink(filepath.Join(top, "home"), link); err != nil {
		t.Fatal(err)
	}
	home := mkdir(t, top, "home")
	for _, own := range []string{home, link} {
		t.Run(filepath.Base(own), func(t *testing.T) {
			w := &watched{t: t, root: home}
			filter := Filter{Own: []string{filepath.Join(own, "run"), filepath.Join(own, "restart-requested")}} // not there yet
			w.tr = startTrees(t, []string{own}, filter, mode, w.warn.add, paceOf(mode))
			w.none(func() {
				write(t, filepath.Join(mkdir(t, home, "run/ductor"), "status.json"), "{}")
				write(t, filepath.Join(home, "restart-requested"), "1")
				rename(t, filepath.Join(home, "restart-requested"), filepath.Join(home, "restart-requested.taken12"))
				w.remove("restart-requested.taken12")
			})
			w.once(func() { w.write("run.py") }) // a name that only begins like ours
		})
	}
}

// TestTreesNewFolders: files that were made before their folder was watched
// are seen all the same, and so are those that come later.
func TestTreesNewFolders(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		w := watchTree(t, mode, Filter{Ext: []string{".py"}}, nil)
		c := w.once(func() { write(t, filepath.Join(mkdir(t, w.root, "a/b/c"), "x.py"), "x") })
		w.wantPath(c, "a/b/c/x.py", 1)
		w.wantPath(w.once(func() { w.write("a/b/c/y.py") }), "a/b/c/y.py", 1)
		w.wantPath(w.once(func() { w.write("a/b/z.py") }), "a/b/z.py", 1)
	})
}

func TestTreesThousandFiles(t *testing.T) {
	for _, how := range []string{"written", "moved in"} {
		t.Run(how, func(t *testing.T) {
			inModes(t, func(t *testing.T, mode Mode) {
				w := watchTree(t, mode, Filter{}, nil)
				outside := mkdir(t, filepath.Dir(w.root), "outside")
				dir := outside
				fill := func() {
					for i := range 1000 {
						sub := mkdir(t, dir, fmt.Sprintf("d%02d", i%50))
						write(t, filepath.Join(sub, fmt.Sprintf("f%d.py", i)), "x")
					}
				}
				c := w.once(func() {
					if how == "written" {
						dir = mkdir(t, w.root, "in")
						fill()
						return
					}
					fill()
					rename(t, outside, w.path("in"))
				})
				if c.Count != 1000 || !strings.HasPrefix(c.Path, w.path("in/d")) {
					t.Errorf("change %q, %d files", c.Path, c.Count)
				}
				w.wantPath(w.once(func() { w.write("in/d49/new.py") }), "in/d49/new.py", 1)
			})
		})
	}
}

func TestTreesSeveralRoots(t *testing.T) { inModes(t, testSeveralRoots) }

func testSeveralRoots(t *testing.T, mode Mode) {
	top := realTemp(t)
	w := &watched{t: t, root: mkdir(t, top, "one")}
	two, inner := mkdir(t, top, "two"), mkdir(t, top, "one", "inner")
	w.tr = startTrees(t, []string{w.root, two, inner}, Filter{}, mode, w.warn.add, paceOf(mode))
	w.sentinel(two)
	w.sentinel(inner)                                     // in two roots, and one change
	w.once(func() { w.remove("inner"); mkdir(t, inner) }) // with the sentinel in it
	w.sentinel(inner)
}

func TestTreesRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "x")
	for _, bad := range []string{filepath.Join(dir, "none"), filepath.Join(dir, "file")} {
		if tr, err := NewTrees([]string{dir, bad}, Filter{}, Options{Warn: t.Errorf}); err == nil {
			tr.Close()
			t.Errorf("%s was watched", bad)
		} else if !strings.Contains(err.Error(), bad) {
			t.Errorf("%v does not name %q", err, bad)
		}
	}
	if err := (Filter{Ignore: []string{"a/**", "["}}).Check(); err == nil || !strings.Contains(err.Error(), `"["`) {
		t.Errorf("a glob that is none: %v", err)
	}
	if err := (Filter{Ignore: []string{"a/**", "*.py", "x/"}}).Check(); err != nil {
		t.Error(err)
	}
}

// TestTreesOverflow lets the kernel's queue run over while nobody listens. What
// was lost comes back by one scan, as one change.
func TestTreesOverflow(t *testing.T) {
	t.Parallel()
	w := &watched{t: t, root: realTemp(t)}
	var err error
	if w.tr, err = openTrees([]string{w.root}, Filter{}, Options{Mode: native, Warn: w.warn.add}, patient); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.tr.Close)
	limit := 16384
	if data, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events"); err == nil {
		fmt.Sscan(string(data), &limit)
	}
	var files [2]*os.File
	for i := range files {
		f, err := os.Create(w.path(fmt.Sprintf("%d.py", i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	for i := range limit + 10000 { // in turns, since the kernel joins what is equal
		if _, err := files[i%2].WriteAt([]byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	mkdir(t, w.root, "late/sub") // nobody is told of these
	c := w.once(func() { go w.tr.run() })
	if c.Path != w.path("0.py") || c.Count != 3 { // both, and the root for the scan
		t.Errorf("change %q, %d files", c.Path, c.Count)
	}
	w.wantPath(w.once(func() { w.write("late/sub/x.py") }), "late/sub/x.py", 1)
}

// TestTreesSteadyStream: a log file in the tree must not put a restart off for
// ever.
func TestTreesSteadyStream(t *testing.T) {
	t.Parallel()
	never := pace{first: time.Hour, most: time.Hour, hole: time.Hour, end: 200 * time.Millisecond}
	w := watchAs(t, native, Filter{}, never, nil)
	for range 2 {
		stop := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					_ = os.WriteFile(w.path("log"), []byte("x"), 0o600)
				}
			}
		}()
		w.next()
		close(stop)
		<-ended
	}
}

// TestTreesUsualPace: the real numbers, on the real thing.
func TestTreesUsualPace(t *testing.T) {
	t.Parallel()
	root := realTemp(t)
	w := &watched{t: t, root: root}
	var err error
	if w.tr, err = NewTrees([]string{root}, Filter{Ext: []string{".py"}}, Options{Mode: native, Warn: w.warn.add}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.tr.Close)
	for i := range 5 {
		path := w.path(fmt.Sprintf("%d.py", i))
		write(t, path+".tmp", "x")
		rename(t, path+".tmp", path) // a single event, so that no load can tear it apart
		if c := w.next(); c.Path != path || c.Count != 1 {
			t.Errorf("change %q, %d files", c.Path, c.Count)
		}
	}
}

func TestTreesCloseLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var w warnings
	dir := mkdir(t, t.TempDir(), "root")
	for _, mode := range []Mode{native, polling, {Kind: Auto}} {
		tr, err := NewTrees([]string{dir}, Filter{}, Options{Mode: mode, Warn: w.add})
		if err != nil {
			t.Fatal(err)
		}
		tr.Close() // at once
		if tr, err = NewTrees([]string{dir}, Filter{}, Options{Mode: mode, Warn: w.add}); err != nil {
			t.Fatal(err)
		}
		// Until it is told: the clock of files is behind ours, so that the first may
		// seem to be older than the watch.
		clitest.Wait(t, "a change", func() bool {
			write(t, filepath.Join(dir, "x"), "y"+time.Now().String())
			select {
			case <-tr.Changes():
				return true
			default:
				return false
			}
		})
		write(t, filepath.Join(dir, "x"), "z")
		tr.Close() // with a change that nobody takes
		if _, err := NewTrees([]string{filepath.Join(dir, "none")}, Filter{}, Options{Mode: mode, Warn: w.add}); err == nil {
			t.Fatal("watched nothing")
		}
	}
}
