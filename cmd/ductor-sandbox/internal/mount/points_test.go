package mount

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestNoCommandLocksItsBotOut by what it puts in the place of a mount point, and
// nothing of it is lost or followed.
func TestNoCommandLocksItsBotOut(t *testing.T) {
	w := newWorld(t)
	home := filepath.Join(w.Home, "sandbox", "home")
	at := func(name string) string { return filepath.Join(home, name) }
	w.Extra = []Extra{{Path: homeInside + "/a/b/src"}, {Path: homeInside + "/top"}}
	w.dir("elsewhere")
	for name, make := range map[string]func(string) error{
		"a file":                 func(p string) error { return os.WriteFile(p, []byte("mine"), 0o400) },
		"a link to nowhere":      func(p string) error { return os.Symlink("nowhere", p) },
		"a link to itself":       func(p string) error { return os.Symlink(filepath.Base(p), p) },
		"a link out":             func(p string) error { return os.Symlink(w.at("elsewhere"), p) },
		"a link to a new folder": func(p string) error { return os.Symlink("../../../elsewhere/new", p) },
	} {
		if err := os.RemoveAll(home); err != nil {
			t.Fatal(err)
		}
		if err := w.Make(); err != nil {
			t.Fatal(err)
		}
		w.dir(at(".codex.2"), at(".codex.4"))
		w.file(at(".codex.1"))
		w.link(w.at("elsewhere/new"), at(".codex.3")) // free for who follows it
		points := map[string]string{".claude": ".claude.1", ".codex": ".codex.5", "a": "a.1"}
		before := map[string]fs.FileInfo{}
		for point := range points {
			if err := os.RemoveAll(at(point)); err != nil {
				t.Fatal(err)
			}
			if err := make(at(point)); err != nil {
				t.Fatal(err)
			}
			before[point], _ = os.Lstat(at(point))
		}
		for range 2 { // the second time there is nothing to do
			if err := w.Make(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for point, aside := range points {
			if info, err := os.Lstat(at(point)); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
				t.Errorf("%s, %s: %v, %v", name, point, info, err)
			}
			if info, err := os.Lstat(at(aside)); err != nil || !os.SameFile(info, before[point]) {
				t.Errorf("%s: %s was lost: %v", name, point, err)
			}
		}
		if info, err := os.Lstat(at("a/b")); err != nil || !info.IsDir() {
			t.Errorf("%s: a/b: %v", name, err)
		}
		if data, err := os.ReadFile(at(".codex.1")); string(data) != "x" {
			t.Errorf("%s: what was there is %q, %v", name, data, err)
		}
		if entries, err := os.ReadDir(w.at("elsewhere")); err != nil || len(entries) > 0 {
			t.Errorf("%s: a link was followed: %v, %v", name, entries, err)
		}
		if entries, err := os.ReadDir(home); err != nil || len(entries) != 3+3+4 {
			t.Errorf("%s: %v, %v", name, entries, err)
		}
	}
}

// TestManyMakeTheSame: each call goes on, and what was there is moved once.
func TestManyMakeTheSame(t *testing.T) {
	w := newWorld(t)
	home := filepath.Join(w.Home, "sandbox", "home")
	for range 50 {
		if err := os.RemoveAll(home); err != nil {
			t.Fatal(err)
		}
		w.dir(home)
		w.link("nowhere", filepath.Join(home, ".codex"))
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := w.Make(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		links := 0
		entries, err := os.ReadDir(home)
		for _, e := range entries {
			if e.Type()&fs.ModeSymlink != 0 {
				links++
			}
		}
		if err != nil || links != 1 || len(entries) != 3 {
			t.Errorf("%v, %v", entries, err)
		}
	}
}
