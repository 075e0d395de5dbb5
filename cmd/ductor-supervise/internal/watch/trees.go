package watch

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/fsnotify/fsnotify"
)

// Filter says which files count.
type Filter struct {
	Ext    []string // ".py"; none means all
	Ignore []string // globs (doublestar) on the path below the root, or on any name in it
	Own    []string // files and folders of ours, absolute: our own writing must not restart the bot
}

// defaultIgnore is what changes without anybody having changed a program:
// version control, caches, dependencies, and the temporaries of editors.
var defaultIgnore = []string{
	".git", ".hg", ".svn", ".jj", "__pycache__", "*.pyc", "node_modules", ".venv", "venv", ".tox",
	".mypy_cache", ".pytest_cache", ".ruff_cache", ".idea", ".vscode",
	"4913", "*~", "*.swp", "*.swo", "*.swx", ".#*", "#*#", "*.tmp", "*___jb_tmp___", "*___jb_old___", ".DS_Store",
}

// Check refuses globs that match nothing because they are malformed.
func (f Filter) Check() error {
	for _, g := range f.Ignore {
		if !doublestar.ValidatePattern(g) {
			return fmt.Errorf("%q is not a glob", g)
		}
	}
	return nil
}

// ignored reports whether the path below a root is on a list, or lies in a
// folder that is.
func (f Filter) ignored(root, path string) bool {
	if slices.ContainsFunc(f.Own, func(own string) bool { return path == own || strings.HasPrefix(path, own+string(filepath.Separator)) }) {
		return true
	}
	rel, err := filepath.Rel(root, path)
	if err != nil || rel == "." {
		return false
	}
	rel = filepath.ToSlash(rel)
	names := strings.Split(rel, "/")
	return slices.ContainsFunc(defaultIgnore, func(g string) bool { return anyName(g, names) }) ||
		slices.ContainsFunc(f.Ignore, func(g string) bool {
			ok, _ := doublestar.Match(strings.TrimSuffix(g, "/"), rel)
			return ok || anyName(strings.TrimSuffix(g, "/"), names)
		})
}

func anyName(glob string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		ok, _ := doublestar.Match(glob, n)
		return ok
	})
}

func (f Filter) wanted(path string) bool {
	return len(f.Ext) == 0 || slices.Contains(f.Ext, filepath.Ext(path))
}

// Change is one burst of changes.
type Change struct {
	Path  string    // the first file that changed
	Count int       // how many files
	Last  time.Time // when the last of them was seen
}

// Trees watches folders and all below them.
type Trees struct {
	roots   []root
	dirs    map[string]bool // watched folders; true: a wanted file was seen in it
	filter  Filter
	w       *fsnotify.Watcher
	warn    func(format string, args ...any)
	changes chan Change
	done    chan struct{}
	burst   burst
}

// root is a folder to watch. Its parent is watched too, because a folder that
// is replaced, and a link that is turned elsewhere, tell nothing themselves.
type root struct {
	name  string      // as it was given, absolute
	real  string      // where it leads
	ident os.FileInfo // nil while it is not there
	doubt bool        // something happened to it: look again
}

// NewTrees watches dirs. An error says which limit was met or which folder is
// not one.
func NewTrees(dirs []string, filter Filter, warn func(format string, args ...any)) (*Trees, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, Explain(err)
	}
	t := &Trees{dirs: map[string]bool{}, filter: filter, w: w, warn: warn, changes: make(chan Change), done: make(chan struct{})}
	for _, dir := range dirs {
		if err := t.addRoot(dir); err != nil {
			w.Close()
			return nil, err
		}
	}
	go t.run()
	return t, nil
}

// Changes delivers each burst once, when it has gone quiet.
func (t *Trees) Changes() <-chan Change { return t.changes }

// Close ends the watch.
func (t *Trees) Close() { close(t.done) }

func (t *Trees) addRoot(dir string) error {
	name, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("watch %q: %w", dir, err)
	}
	r := root{name: name}
	if err := r.find(); err != nil {
		return fmt.Errorf("watch %q: %w", dir, err)
	}
	if _, err := t.add(r, r.real, false); err != nil {
		return fmt.Errorf("watch %q: %w", dir, Explain(err))
	}
	for _, d := range []string{filepath.Dir(r.name), filepath.Dir(r.real)} {
		if err := t.w.Add(d); err != nil {
			t.warn("watch the parent of %q: %v; a replaced folder will not be noticed", dir, Explain(err))
		}
	}
	t.roots = append(t.roots, r)
	return nil
}

// find resolves the root anew.
func (r *root) find() (err error) {
	if r.real, err = filepath.EvalSymlinks(r.name); err != nil {
		return err
	}
	if r.ident, err = os.Stat(r.real); err != nil {
		return err
	}
	if !r.ident.IsDir() {
		return fmt.Errorf("is not a folder")
	}
	return nil
}

// add watches dir and all folders below it, and with note lets the files in
// them count as changed: a file that was made before its folder was watched
// told nobody. It returns the first error, having gone on with the rest.
func (t *Trees) add(r root, dir string, note bool) (count int, first error) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil: // gone again, or not ours to read
			return nil
		case t.filter.ignored(r.real, path):
			if d.IsDir() {
				return filepath.SkipDir
			}
		case d.IsDir():
			count++
			t.dirs[path] = t.dirs[path]
			if err := t.w.Add(path); err != nil && !os.IsNotExist(err) && first == nil {
				first = err
			}
		case t.filter.wanted(path):
			t.dirs[filepath.Dir(path)] = true
			if note {
				t.burst.add(path, time.Now())
			}
		}
		return nil
	})
	if first == nil {
		first = err
	}
	return count, first
}

// run collects events into bursts. It is the only goroutine that touches the
// state of Trees.
func (t *Trees) run() {
	defer t.w.Close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	lost := time.NewTicker(time.Second)
	lost.Stop()
	defer lost.Stop()
	for {
		if t.burst.active() {
			timer.Reset(time.Until(t.burst.due()))
		} else {
			timer.Stop()
		}
		select {
		case <-t.done:
			return
		case ev, ok := <-t.w.Events:
			if !ok {
				return
			}
			t.see(ev)
		case <-t.w.Errors: // overflow: what was missed is unknown, so one scan and one change
			t.rescan()
		case <-lost.C:
		case <-timer.C:
			if t.burst.active() && t.burst.settled(time.Now()) {
				select {
				case t.changes <- t.burst.take():
				case <-t.done:
					return
				}
			}
		}
		if t.checkRoots() {
			lost.Stop()
		} else {
			lost.Reset(time.Second)
		}
	}
}

// see judges one event.
func (t *Trees) see(ev fsnotify.Event) {
	for i := range t.roots {
		r := &t.roots[i]
		if ev.Name == r.name || ev.Name == r.real {
			r.doubt = true
			continue
		}
		if !strings.HasPrefix(ev.Name, r.real+string(filepath.Separator)) || t.filter.ignored(r.real, ev.Name) {
			continue
		}
		if ev.Op == fsnotify.Chmod { // also indexers and backups
			continue
		}
		info, err := os.Lstat(ev.Name)
		if err == nil && info.IsDir() {
			if ev.Op.Has(fsnotify.Create) {
				t.addLate(*r, ev.Name)
			}
			continue
		}
		if _, wasDir := t.dirs[ev.Name]; err != nil && wasDir {
			t.forget(ev.Name)
		} else if t.filter.wanted(ev.Name) {
			t.dirs[filepath.Dir(ev.Name)] = true
			t.burst.add(ev.Name, time.Now())
		}
	}
}

// forget drops a folder that was removed or moved away, which is a change if
// there were wanted files in it: a move tells of the folder alone.
func (t *Trees) forget(dir string) {
	changed := false
	for d, held := range t.dirs {
		if d == dir || strings.HasPrefix(d, dir+string(filepath.Separator)) {
			changed = changed || held
			delete(t.dirs, d)
			_ = t.w.Remove(d) // a moved folder is still watched, under its old name
		}
	}
	if changed {
		t.burst.add(dir, time.Now())
	}
}

func (t *Trees) addLate(r root, dir string) {
	if _, err := t.add(r, dir, true); err != nil {
		t.warn("watch %q: %v; changes in it will not be noticed", dir, Explain(err))
	}
}

// checkRoots looks again at roots that something happened to, and reports
// whether all are there. One that was replaced is watched anew, as a change.
func (t *Trees) checkRoots() bool {
	ok := true
	for i := range t.roots {
		r := &t.roots[i]
		if !r.doubt {
			continue
		}
		before := *r
		if err := r.find(); err != nil {
			r.ident, ok = nil, false
			continue
		}
		r.doubt = false
		if before.ident == nil || before.real != r.real || !os.SameFile(before.ident, r.ident) {
			t.addLate(*r, r.real)
			_ = t.w.Add(filepath.Dir(r.real))
		}
	}
	return ok
}

// rescan watches what is not watched yet and counts as one change.
func (t *Trees) rescan() {
	for _, r := range t.roots {
		if !r.doubt {
			t.addLate(r, r.real)
			t.burst.add(r.real, time.Now())
		}
	}
}
