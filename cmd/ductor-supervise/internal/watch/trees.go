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
// version control, caches, dependencies, the temporaries of editors, and the
// names by which sentinels and markers are taken away.
var defaultIgnore = []string{
	".git", ".hg", ".svn", ".jj", "__pycache__", "*.pyc", "node_modules", ".venv", "venv", ".tox",
	".mypy_cache", ".pytest_cache", ".ruff_cache", ".idea", ".vscode",
	"4913", "*~", "*.swp", "*.swo", "*.swx", ".#*", "#*#", "*.tmp", "*.taken[0-9]*", "*___jb_tmp___", "*___jb_old___", ".DS_Store",
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
	if slices.ContainsFunc(f.Own, func(own string) bool { return inside(own, path) }) {
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

// inside reports whether path is dir or lies below it.
func inside(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, dir+string(filepath.Separator))
}

// resolved adds what our own paths are without links, as events name them. A
// file need not be there yet.
func resolved(own []string) []string {
	all := slices.Clone(own)
	for _, path := range own {
		for dir, rest := path, ""; dir != filepath.Dir(dir); dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
			if real, err := filepath.EvalSymlinks(dir); err == nil {
				all = append(all, filepath.Join(real, rest))
				break
			}
		}
	}
	return all
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
	name  string // as it was given, absolute
	real  string // where it leads, or led while it was there
	doubt bool   // something happened to it: look again
}

// NewTrees watches dirs. An error says which limit was met or which folder is
// not one.
func NewTrees(dirs []string, filter Filter, warn func(format string, args ...any)) (*Trees, error) {
	t, err := openTrees(dirs, filter, warn, usual)
	if err == nil {
		go t.run()
	}
	return t, err
}

// openTrees watches, but does not listen yet.
func openTrees(dirs []string, filter Filter, warn func(format string, args ...any), p pace) (*Trees, error) {
	filter.Own = resolved(filter.Own)
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, Explain(err)
	}
	t := &Trees{dirs: map[string]bool{}, filter: filter, w: w, warn: warn,
		changes: make(chan Change), done: make(chan struct{}), burst: burst{pace: p}}
	for _, dir := range dirs {
		if err := t.addRoot(dir); err != nil {
			w.Close()
			return nil, err
		}
	}
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
	if err := t.add(r, r.real, false); err != nil {
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

// find resolves the root anew, or leaves it as it was.
func (r *root) find() error {
	real, err := filepath.EvalSymlinks(r.name)
	if err != nil {
		return err
	}
	info, err := os.Stat(real)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("is not a folder")
	}
	r.real = real
	return nil
}

// add watches dir and all folders below it, and with note lets the files in
// them count as changed: a file that was made before its folder was watched
// told nobody. It returns the first error, having gone on with the rest.
func (t *Trees) add(r root, dir string, note bool) (first error) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil: // gone again, or not ours to read
			return nil
		case t.filter.ignored(r.real, path):
			if d.IsDir() {
				return filepath.SkipDir
			}
		case d.IsDir():
			if _, known := t.dirs[path]; !known {
				t.dirs[path] = false
			}
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
	return first
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
			select { // what is known already comes first, since it may prolong the burst
			case ev := <-t.w.Events:
				t.see(ev)
			default:
				if !t.deliver() {
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

// deliver hands over a burst that is over, and reports false when nobody
// listens any more.
func (t *Trees) deliver() bool {
	if !t.burst.active() || !t.burst.settled(time.Now()) {
		return true
	}
	select {
	case t.changes <- t.burst.take():
		return true
	case <-t.done:
		return false
	}
}

// see judges one event.
func (t *Trees) see(ev fsnotify.Event) {
	if ev.Op == fsnotify.Chmod || ev.Name == "" { // also indexers and backups
		return
	}
	for i := range t.roots {
		r := &t.roots[i]
		switch {
		case inside(ev.Name, r.name) || inside(ev.Name, r.real):
			r.doubt = true
		case inside(r.real, ev.Name) && !t.filter.ignored(r.real, ev.Name):
			t.judge(*r, ev)
		}
	}
}

// judge takes an event of something below a root.
func (t *Trees) judge(r root, ev fsnotify.Event) {
	info, err := os.Lstat(ev.Name)
	isDir := err == nil && info.IsDir()
	_, wasDir := t.dirs[ev.Name]
	moved := ev.Op.Has(fsnotify.Rename)
	switch {
	case wasDir && (!isDir || moved):
		// A move ends the watch, even if by now the folder, or another of that
		// name, is there again.
		if t.forget(ev.Name) {
			t.burst.add(ev.Name, time.Now())
		}
		if isDir {
			t.addLate(r, ev.Name)
		}
	case isDir && ev.Op.Has(fsnotify.Create):
		t.addLate(r, ev.Name)
	case !isDir && t.filter.wanted(ev.Name):
		t.dirs[filepath.Dir(ev.Name)] = true
		t.burst.add(ev.Name, time.Now())
	}
}

// forget drops a folder that was removed or moved away, and reports whether
// there were wanted files in it: that is a change, of which a move tells by the
// folder alone.
func (t *Trees) forget(dir string) (changed bool) {
	for d, held := range t.dirs {
		if inside(dir, d) {
			changed = changed || held
			delete(t.dirs, d)
			_ = t.w.Remove(d) // a moved folder is still watched, under its old name
		}
	}
	return changed
}

func (t *Trees) addLate(r root, dir string) {
	if err := t.add(r, dir, true); err != nil {
		t.warn("watch %q: %v; changes in it will not be noticed", dir, Explain(err))
	}
}

// checkRoots looks again at roots that something happened to, and reports
// whether all are there. Those that are count as replaced, even if the same
// folder has come back: a move ends its watch, and what was written meanwhile
// told nobody.
func (t *Trees) checkRoots() bool {
	ok := true
	for i := range t.roots {
		r := &t.roots[i]
		if !r.doubt {
			continue
		}
		t.forget(r.real)
		if r.find() != nil {
			ok = false
			continue
		}
		r.doubt = false
		t.addLate(*r, r.real)
		for _, d := range []string{filepath.Dir(r.name), filepath.Dir(r.real)} {
			_ = t.w.Add(d)
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
