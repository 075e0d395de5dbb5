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

// patient is a pace at which a loaded machine does not tear a burst apart, so
// that "exactly one" can be asserted.
var patient = pace{first: 400 * time.Millisecond, most: 400 * time.Millisecond, hole: 400 * time.Millisecond, end: time.Hour}

func startTrees(dirs []string, filter Filter, warn func(string, ...any), p pace) (*Trees, error) {
	tr, err := openTrees(dirs, filter, warn, p)
	if err == nil {
		go tr.run()
	}
	return tr, err
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
func watchTree(t *testing.T, filter Filter, fill func(root string)) *watched {
	t.Helper()
	return watchAs(t, filter, patient, fill, func(root string) string { return root })
}

func watchAs(t *testing.T, filter Filter, p pace, fill func(root string), name func(root string) string) *watched {
	t.Helper()
	w := &watched{t: t, root: mkdir(t, realTemp(t), "root")}
	if fill != nil {
		fill(w.root)
	}
	var err error
	if w.tr, err = startTrees([]string{name(w.root)}, filter, w.warn.add, p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.tr.Close)
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

func (w *watched) remove(rel string) {
	w.t.Helper()
	if err := os.RemoveAll(w.path(rel)); err != nil {
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

// TestTreesSaves: each way of saving a file is one change, of that file.
func TestTreesSaves(t *testing.T) {
	for name, save := range map[string]func(w *watched){
		"write in place": func(w *watched) {
			f, err := os.OpenFile(w.path("a.py"), os.O_WRONLY, 0)
			if err != nil {
				w.t.Fatal(err)
			}
			defer f.Close()
			for range 3 {
				fmt.Fprint(f, "more")
			}
		},
		"append": func(w *watched) {
			f, err := os.OpenFile(w.path("a.py"), os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				w.t.Fatal(err)
			}
			defer f.Close()
			fmt.Fprint(f, "more")
		},
		"truncate and write": func(w *watched) { w.write("a.py") },
		"atomic": func(w *watched) {
			w.write("a.py.tmp")
			rename(w.t, w.path("a.py.tmp"), w.path("a.py"))
		},
		"vim": func(w *watched) {
			w.write("4913") // it tries whether it may
			w.remove("4913")
			rename(w.t, w.path("a.py"), w.path("a.py~"))
			w.write("a.py")
			if err := os.Chmod(w.path("a.py"), 0o600); err != nil {
				w.t.Fatal(err)
			}
			w.remove("a.py~")
		},
		"jetbrains": func(w *watched) {
			w.write("a.py___jb_tmp___")
			rename(w.t, w.path("a.py"), w.path("a.py___jb_old___"))
			rename(w.t, w.path("a.py___jb_tmp___"), w.path("a.py"))
			w.remove("a.py___jb_old___")
		},
		"emacs": func(w *watched) {
			if err := os.Symlink("me@host:1", w.path(".#a.py")); err != nil {
				w.t.Fatal(err)
			}
			w.write("#a.py#")
			rename(w.t, w.path("a.py"), w.path("a.py~"))
			w.write("a.py")
			w.remove("#a.py#")
			w.remove(".#a.py")
		},
		"deleted": func(w *watched) { w.remove("a.py") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watchTree(t, Filter{}, withFile(t))
			before := time.Now()
			c := w.once(func() { save(w) })
			if w.wantPath(c, "a.py", 1); c.Last.Before(before) || c.Last.After(time.Now()) {
				t.Errorf("seen at %s", c.Last)
			}
		})
	}
}

func TestTreesIgnores(t *testing.T) {
	t.Parallel()
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
		"touch":                 {Filter{}, func(w *watched) { _ = os.Chtimes(w.path("a.py"), time.Now(), time.Now()) }},
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
		"all but the extension": {Filter{Ext: []string{".py", ".toml"}}, func(w *watched) { w.write("x.txt"); w.write("py"); w.write("x.pyx"); w.remove("x.txt") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watchTree(t, tt.filter, withFile(t))
			w.none(func() { tt.do(w) })
		})
	}
}

func TestTreesExtension(t *testing.T) {
	t.Parallel()
	w := watchTree(t, Filter{Ext: []string{".toml", ".py"}}, withFile(t))
	c := w.once(func() { w.write("x.txt"); w.write("pkg/x.toml") })
	w.wantPath(c, "pkg/x.toml", 1)
}

// TestTreesOwnFiles: what we write ourselves must not restart the bot, by
// whatever name our home was given.
func TestTreesOwnFiles(t *testing.T) {
	t.Parallel()
	top := realTemp(t)
	link := filepath.Join(top, "link")
	if err := os.Symlink(filepath.Join(top, "home"), link); err != nil {
		t.Fatal(err)
	}
	home := mkdir(t, top, "home")
	for _, own := range []string{home, link} {
		t.Run(filepath.Base(own), func(t *testing.T) {
			w := &watched{t: t, root: home}
			var err error
			filter := Filter{Own: []string{filepath.Join(own, "run"), filepath.Join(own, "restart-requested")}} // not there yet
			if w.tr, err = startTrees([]string{own}, filter, w.warn.add, patient); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.tr.Close)
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
	t.Parallel()
	w := watchTree(t, Filter{Ext: []string{".py"}}, nil)
	c := w.once(func() { write(t, filepath.Join(mkdir(t, w.root, "a/b/c"), "x.py"), "x") })
	w.wantPath(c, "a/b/c/x.py", 1)
	w.wantPath(w.once(func() { w.write("a/b/c/y.py") }), "a/b/c/y.py", 1)
	w.wantPath(w.once(func() { w.write("a/b/z.py") }), "a/b/z.py", 1)
}

func TestTreesThousandFiles(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"written", "moved in"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := watchTree(t, Filter{}, nil)
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
	}
}

func TestTreesFolderMoves(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (w *watched, out string) {
		t.Parallel()
		w = watchTree(t, Filter{Ext: []string{".py"}}, withFile(t))
		return w, filepath.Join(filepath.Dir(w.root), "out")
	}
	t.Run("out and in", func(t *testing.T) {
		w, out := start(t)
		w.wantPath(w.once(func() { rename(t, w.path("pkg"), out) }), "pkg", 1)
		w.none(func() { write(t, filepath.Join(out, "b.py"), "z"); write(t, filepath.Join(out, "sub/c.py"), "z") })
		if c := w.once(func() { rename(t, out, w.path("pkg")) }); c.Count != 2 {
			t.Errorf("%d files came back, want 2", c.Count)
		}
		w.wantPath(w.once(func() { w.write("pkg/sub/c.py") }), "pkg/sub/c.py", 1)
	})
	t.Run("without wanted files", func(t *testing.T) {
		w, out := start(t)
		w.none(func() { write(t, filepath.Join(mkdir(t, w.root, "doc/x"), "x.md"), "x") })
		w.none(func() { rename(t, w.path("doc"), out) })
	})
	t.Run("within", func(t *testing.T) {
		w, _ := start(t)
		w.once(func() { rename(t, w.path("pkg"), w.path("lib")) })
		w.wantPath(w.once(func() { w.write("lib/sub/c.py") }), "lib/sub/c.py", 1)
		w.wantPath(w.once(func() { w.write("lib/new.py") }), "lib/new.py", 1)
	})
	t.Run("away and back at once", func(t *testing.T) {
		w, out := start(t)
		w.once(func() { rename(t, w.path("pkg"), out); rename(t, out, w.path("pkg")) })
		w.wantPath(w.once(func() { w.write("pkg/b.py") }), "pkg/b.py", 1)
		w.wantPath(w.once(func() { w.write("pkg/sub/c.py") }), "pkg/sub/c.py", 1)
	})
	t.Run("swapped", func(t *testing.T) {
		w, out := start(t)
		write(t, filepath.Join(mkdir(t, out+".new/sub"), "c.py"), "x")
		w.once(func() { rename(t, w.path("pkg"), out); rename(t, out+".new", w.path("pkg")) })
		w.none(func() { write(t, filepath.Join(out, "sub/c.py"), "old"); write(t, filepath.Join(out, "b.py"), "old") })
		w.wantPath(w.once(func() { w.write("pkg/sub/c.py") }), "pkg/sub/c.py", 1)
	})
	t.Run("removed and made again", func(t *testing.T) {
		w, _ := start(t)
		w.once(func() { w.remove("pkg"); write(t, filepath.Join(mkdir(t, w.root, "pkg/sub"), "c.py"), "x") })
		w.wantPath(w.once(func() { w.write("pkg/sub/c.py") }), "pkg/sub/c.py", 1)
		w.wantPath(w.once(func() { w.remove("pkg/sub/c.py") }), "pkg/sub/c.py", 1)
	})
	t.Run("becomes a file", func(t *testing.T) {
		w, _ := start(t)
		w.once(func() { w.remove("pkg") })
		w.none(func() { w.write("pkg") }) // without the extension
		w.once(func() { w.remove("pkg"); write(t, filepath.Join(mkdir(t, w.root, "pkg"), "b.py"), "x") })
	})
}

func TestTreesRootReplaced(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(w *watched, out string){
		"removed and made again": func(w *watched, _ string) {
			w.remove(".")
			withFile(w.t)(mkdir(w.t, w.root))
		},
		"moved, made again": func(w *watched, out string) {
			rename(w.t, w.root, out)
			withFile(w.t)(mkdir(w.t, w.root))
		},
		"swapped": func(w *watched, out string) {
			withFile(w.t)(mkdir(w.t, out+".new"))
			rename(w.t, w.root, out)
			rename(w.t, out+".new", w.root)
		},
		"moved away and back": func(w *watched, out string) {
			rename(w.t, w.root, out)
			rename(w.t, out, w.root)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watchTree(t, Filter{Ext: []string{".py"}}, withFile(t))
			out := filepath.Join(filepath.Dir(w.root), "out")
			for round := range 2 {
				_ = os.RemoveAll(out)
				w.once(func() { replace(w, out) })
				if _, err := os.Stat(out); err == nil { // the old tree says nothing any more
					w.none(func() { write(t, filepath.Join(out, "pkg/sub/c.py"), fmt.Sprint(round)) })
				}
				w.wantPath(w.once(func() { w.write("pkg/sub/c.py") }), "pkg/sub/c.py", 1)
			}
		})
	}
}

// TestTreesRootGone: what happens beside a root that is not there is nobody's
// business, and its return is seen.
func TestTreesRootGone(t *testing.T) {
	t.Parallel()
	w := watchTree(t, Filter{}, nil)
	if err := os.Remove(w.root); err != nil { // empty: no change
		t.Fatal(err)
	}
	sibling := mkdir(t, filepath.Dir(w.root), "sibling")
	write(t, filepath.Join(filepath.Dir(w.root), "x.py"), "x")
	write(t, filepath.Join(sibling, "x.py"), "x")
	mkdir(t, w.root)
	w.none(func() {})
}

// TestTreesLinkSwapped: a deployment that turns a link to the next release.
func TestTreesLinkSwapped(t *testing.T) {
	t.Parallel()
	top := realTemp(t)
	release := func(name string) string {
		dir := mkdir(t, top, name)
		withFile(t)(dir)
		return dir
	}
	a, b := release("a"), release("b")
	link := filepath.Join(top, "links", "current")
	mkdir(t, top, "links")
	if err := os.Symlink(a, link); err != nil {
		t.Fatal(err)
	}
	w := &watched{t: t, root: a}
	var err error
	if w.tr, err = startTrees([]string{link}, Filter{}, w.warn.add, patient); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.tr.Close)
	w.wantPath(w.once(func() { w.write("pkg/b.py") }), "pkg/b.py", 1)
	old := w.root
	w.root = b
	w.once(func() {
		if err := os.Symlink(b, link+".new"); err != nil {
			t.Fatal(err)
		}
		rename(t, link+".new", link)
	})
	w.none(func() { write(t, filepath.Join(old, "pkg/b.py"), "old") })
	w.wantPath(w.once(func() { w.write("pkg/b.py") }), "pkg/b.py", 1)
	for _, dir := range w.tr.w.WatchList() { // or each deployment would cost some of the limit
		if inside(old, dir) {
			t.Errorf("%s is watched still", dir)
		}
	}
}

// TestTreesMovesSeenLate: when the first event of a move is judged, the folder
// may be back, or another in its place. The watch of the old one ends all the
// same.
func TestTreesMovesSeenLate(t *testing.T) {
	t.Parallel()
	for name, move := range map[string]func(w *watched, out string){
		"folder away and back": func(w *watched, out string) {
			rename(w.t, w.path("pkg"), out)
			rename(w.t, out, w.path("pkg"))
		},
		"folder swapped": func(w *watched, out string) {
			withFile(w.t)(mkdir(w.t, out+".new"))
			rename(w.t, w.path("pkg"), out)
			rename(w.t, out+".new/pkg", w.path("pkg"))
		},
		"root away and back": func(w *watched, out string) {
			rename(w.t, w.root, out)
			rename(w.t, out, w.root)
		},
		"root swapped": func(w *watched, out string) {
			withFile(w.t)(mkdir(w.t, out+".new"))
			rename(w.t, w.root, out)
			rename(w.t, out+".new", w.root)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &watched{t: t, root: mkdir(t, realTemp(t), "root")}
			withFile(t)(w.root)
			mkdir(t, w.path("pkg/extra")) // the other one has no such folder
			var err error
			if w.tr, err = openTrees([]string{w.root}, Filter{}, w.warn.add, patient); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.tr.Close)
			out := filepath.Join(filepath.Dir(w.root), "out")
			w.once(func() { move(w, out); go w.tr.run() })
			for _, rel := range []string{"a.py", "pkg/b.py", "pkg/sub/c.py"} {
				w.wantPath(w.once(func() { w.write(rel) }), rel, 1)
			}
			extra, _ := filepath.Glob(filepath.Join(filepath.Dir(w.root), "out", "*", "extra"))
			more, _ := filepath.Glob(filepath.Join(out, "extra"))
			w.none(func() {
				for _, dir := range append(extra, more...) {
					write(t, filepath.Join(dir, "x.py"), "old")
				}
			})
		})
	}
}

func TestTreesSeveralRoots(t *testing.T) {
	t.Parallel()
	top := realTemp(t)
	w := &watched{t: t, root: mkdir(t, top, "one")}
	two, inner := mkdir(t, top, "two"), mkdir(t, top, "one", "inner")
	var err error
	if w.tr, err = startTrees([]string{w.root, two, inner}, Filter{}, w.warn.add, patient); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.tr.Close)
	w.sentinel(two)
	w.sentinel(inner) // in two roots, and one change
	w.once(func() { w.remove("inner"); mkdir(t, inner) })
	w.sentinel(inner)
}

func TestTreesRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "x")
	for _, bad := range []string{filepath.Join(dir, "none"), filepath.Join(dir, "file")} {
		if tr, err := NewTrees([]string{dir, bad}, Filter{}, t.Errorf); err == nil {
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
	if w.tr, err = openTrees([]string{w.root}, Filter{}, w.warn.add, patient); err != nil {
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
	w := watchAs(t, Filter{}, never, nil, func(root string) string { return root })
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
	if w.tr, err = NewTrees([]string{root}, Filter{Ext: []string{".py"}}, w.warn.add); err != nil {
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
	for range 2 {
		tr, err := NewTrees([]string{dir}, Filter{}, w.add)
		if err != nil {
			t.Fatal(err)
		}
		tr.Close() // at once
		if tr, err = NewTrees([]string{dir}, Filter{}, w.add); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "x"), "y")
		select {
		case <-tr.Changes():
		case <-time.After(clitest.Patience):
			t.Fatal("no change")
		}
		write(t, filepath.Join(dir, "x"), "z")
		tr.Close() // with a change that nobody takes
		if _, err := NewTrees([]string{filepath.Join(dir, "none")}, Filter{}, w.add); err == nil {
			t.Fatal("watched nothing")
		}
	}
}
