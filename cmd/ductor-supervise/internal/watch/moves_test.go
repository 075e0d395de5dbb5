package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestTreesFolderMoves(t *testing.T) {
	inModes(t, testFolderMoves)
}

func testFolderMoves(t *testing.T, mode Mode) {
	start := func(t *testing.T) (w *watched, out string) {
		t.Parallel()
		w = watchTree(t, mode, Filter{Ext: []string{".py"}}, withFile(t))
		return w, filepath.Join(filepath.Dir(w.root), "out")
	}
	t.Run("out and in", func(t *testing.T) {
		w, out := start(t)
		if c := w.once(func() { rename(t, w.path("pkg"), out) }); mode.Kind == Native {
			w.wantPath(c, "pkg", 1)
		} else {
			w.wantPath(c, "pkg/b.py", 2)
		}
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
		if mode.Kind == Native { // else it depends on whether a look comes between
			w.once(func() { rename(t, w.path("pkg"), out); rename(t, out, w.path("pkg")) })
		}
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

func TestTreesRootReplaced(t *testing.T) { inModes(t, testRootReplaced) }

func testRootReplaced(t *testing.T, mode Mode) {
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
			w := watchTree(t, mode, Filter{Ext: []string{".py"}}, withFile(t))
			out := filepath.Join(filepath.Dir(w.root), "out")
			for round := range 2 {
				_ = os.RemoveAll(out)
				if mode.Kind == Poll && name == "moved away and back" {
					continue // nothing has changed, unless a look comes between
				}
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
	inModes(t, testRootGone)
}

func testRootGone(t *testing.T, mode Mode) {
	w := watchTree(t, mode, Filter{}, nil)
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
func TestTreesLinkSwapped(t *testing.T) { inModes(t, testLinkSwapped) }

func testLinkSwapped(t *testing.T, mode Mode) {
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
	w.tr = startTrees(t, []string{link}, Filter{}, mode, w.warn.add, paceOf(mode))
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
	if mode.Kind == Poll {
		return
	}
	for _, dir := range w.tr.w.w.WatchList() { // or each deployment would cost some of the limit
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
			if w.tr, err = openTrees([]string{w.root}, Filter{}, Options{Mode: native, Warn: w.warn.add}, patient); err != nil {
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

// TestTreesLinkInside: a link below a root is not followed, but to turn it is
// a change, also if its name has none of the endings.
func TestTreesLinkInside(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		var one, two string
		w := watchTree(t, mode, Filter{Ext: []string{".py"}}, func(root string) {
			one, two = mkdir(t, filepath.Dir(root), "one"), mkdir(t, filepath.Dir(root), "two")
			write(t, filepath.Join(one, "a.py"), "x")
			if err := os.Symlink(one, filepath.Join(root, "current")); err != nil {
				t.Fatal(err)
			}
		})
		w.none(func() { write(t, filepath.Join(one, "a.py"), "y") })
		turn := func() { w.symlink(two, "next"); w.rename("next", "current") }
		if c := w.once(turn); c.Path != w.path("current") {
			t.Errorf("change of %q", c.Path)
		}
		w.none(func() { w.symlink(filepath.Join(one, "a.py"), "settings") }) // to a file, without the ending
	})
}
