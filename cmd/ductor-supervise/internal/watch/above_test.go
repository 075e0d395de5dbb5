//go:build unix

package watch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"ductor/internal/common/clitest"
)

// turn lets a link lead elsewhere, as "ln -sfn" does.
func turn(t *testing.T, link, to string) {
	t.Helper()
	_ = os.Remove(link)
	if err := os.Symlink(to, link); err != nil {
		t.Fatal(err)
	}
}

// TestChangeAboveRoot: a root is another one when a link on the way to it is
// turned, or a folder above it is replaced.
func TestChangeAboveRoot(t *testing.T) {
	for name, tt := range map[string]struct {
		root string
		make func(t *testing.T, top string, n int) // what is there, and is made anew
	}{
		"link above": {"current/app", func(t *testing.T, top string, n int) {
			rel := "rel" + string(rune('0'+n))
			withFile(t)(mkdir(t, top, rel, "app"))
			turn(t, filepath.Join(top, "current"), rel)
		}},
		"link to a link": {"current/app", func(t *testing.T, top string, n int) {
			rel := "rel" + string(rune('0'+n))
			withFile(t)(mkdir(t, top, "releases", rel, "app"))
			turn(t, filepath.Join(mkdir(t, top, "names"), "newest"), "../releases/"+rel)
			if n == 0 {
				turn(t, filepath.Join(top, "current"), "names/newest")
			}
		}},
		"folder above": {"srv/app/src", func(t *testing.T, top string, n int) {
			withFile(t)(mkdir(t, top, "new/app/src"))
			if n > 0 {
				rename(t, filepath.Join(top, "srv"), filepath.Join(top, "old"+string(rune('0'+n))))
			}
			rename(t, filepath.Join(top, "new"), filepath.Join(top, "srv"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if !watchAbove && name == "folder above" {
				t.Skip("folders above are not watched")
			}
			t.Parallel()
			top := realTemp(t)
			tt.make(t, top, 0)
			w := &watched{t: t, root: filepath.Join(top, tt.root)}
			real := func() {
				var err error
				if w.root, err = filepath.EvalSymlinks(filepath.Join(top, tt.root)); err != nil {
					t.Fatal(err)
				}
			}
			w.tr = startTrees(t, []string{w.root}, Filter{}, native, w.warn.add, patient)
			real()
			for n := 1; n < 4; n++ {
				w.once(func() { tt.make(t, top, n); real() })
				w.wantPath(w.once(func() { w.write("pkg/sub/c.py") }), "pkg/sub/c.py", 1)
				old := filepath.Join(top, "old"+string(rune('0'+n)), "app/src")
				w.none(func() { _ = os.Rename(old, old+".away") }) // nobody's business any more
			}
		})
	}
}

// elsewhere runs the test again without privilege, if we have any: all folders
// can be read with it.
func elsewhere(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return false
	}
	clitest.Need(t, "namespaces")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("unshare", "--user", self, "-test.run", "^"+t.Name()+"$").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return true
}

// TestRefusedFolder: one that could not be read when it came is watched when it
// can be.
func TestRefusedFolder(t *testing.T) {
	if elsewhere(t) {
		return
	}
	w := watchTree(t, native, Filter{}, withFile(t))
	dir := w.path("new")
	if err := os.Mkdir(dir, 0); err != nil {
		t.Fatal(err)
	}
	clitest.Wait(t, "a warning", func() bool { return strings.Contains(w.warn.String(), dir) })
	w.once(func() {
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "a.py"), "x")
	})
	w.wantPath(w.once(func() { w.write("new/a.py") }), "new/a.py", 1)
}

// TestManyRefusedFolders: a warning for each of thousands would be all that
// there is to read.
func TestManyRefusedFolders(t *testing.T) {
	if elsewhere(t) {
		return
	}
	w := watchTree(t, native, Filter{}, func(root string) {
		for _, name := range strings.Split(strings.Repeat("x", 20), "") {
			root = filepath.Join(root, name)
			mkdir(t, root)
			if err := os.Mkdir(filepath.Join(root, "none"), 0); err != nil {
				t.Fatal(err)
			}
		}
	})
	clitest.Wait(t, "the sum", func() bool { return strings.Contains(w.warn.String(), "changes in 19 more folders") })
	if n := strings.Count(w.warn.String(), "\n"); n != 1 {
		t.Errorf("%d more warnings: %s", n, &w.warn)
	}
}

// idle returns when all that was told is judged.
func (w *watched) idle() { w.tr.w.w.Events <- fsnotify.Event{} }

// TestOverflowWithoutChange: files that do not count may make the queue run
// over, all day long.
func TestOverflowWithoutChange(t *testing.T) {
	w := watchTree(t, native, Filter{Ext: []string{".py"}}, withFile(t))
	w.none(func() { w.tr.w.w.Errors <- fsnotify.ErrEventOverflow; w.idle() })
}

// TestOverflowHidesNothing: what was lost with it is found.
func TestOverflowHidesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		deaf string
		do   func(w *watched)
		want string
	}{
		"written": {"pkg", func(w *watched) { w.write("pkg/b.py") }, "pkg/b.py"},
		"removed": {"pkg/sub", func(w *watched) { w.remove("pkg/sub/c.py") }, "pkg/sub"},
		"moved, with its old times": {"pkg", func(w *watched) {
			past := time.Now().Add(-time.Hour)
			_ = os.Chtimes(w.path("../old"), past, past)
			w.remove("pkg/sub")
			w.rename("../old", "pkg/sub")
		}, "pkg"},
		"root replaced": {"..", func(w *watched) {
			w.rename(".", "../was")
			w.rename("../was/../old", ".")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watchTree(t, native, Filter{}, func(root string) {
				withFile(t)(root)
				withFile(t)(mkdir(t, root, "../old"))
			})
			w.idle()
			if err := w.tr.w.w.Remove(w.path(tt.deaf)); err != nil {
				t.Fatal(err)
			}
			tt.do(w)
			w.tr.w.w.Errors <- fsnotify.ErrEventOverflow
			c := w.next()
			if tt.want != "" && c.Path != w.path(tt.want) {
				t.Errorf("change of %q", c.Path)
			}
			w.wantPath(w.once(func() { w.write("pkg/sub/c.py") }), "pkg/sub/c.py", 1)
		})
	}
}
