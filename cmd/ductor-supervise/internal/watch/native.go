package watch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// firstScan watches the roots that are not polled. What is written from the
// call of NewTrees on counts as changed.
func (t *Trees) firstScan() {
	for _, r := range t.roots {
		if !r.poll && t.limit == nil {
			t.watchParents(r)
			t.scan(r, r.real, t.since, nil)
		}
	}
}

// watchParents watches what tells that a root is replaced, and the .gitignore
// files between it and the top of its repository.
func (t *Trees) watchParents(r *root) {
	parents := []string{filepath.Dir(r.name), filepath.Dir(r.real)}
	t.sieve.above(r.real)
	for dir := range t.sieve.scopes {
		if inside(dir, r.real) && dir != r.real {
			parents = append(parents, dir)
		}
	}
	for _, d := range parents {
		if err := t.w.Add(d); err != nil && !t.limited(err) {
			t.warn("watch the parent of %q: %v; a replaced folder will not be noticed", r.name, Explain(err))
		}
	}
}

func (t *Trees) warn(format string, args ...any) {
	if t.opt.Warn != nil {
		t.opt.Warn(format, args...)
	}
}

// limited notes a limit of the system, which makes us poll.
func (t *Trees) limited(err error) bool {
	if isLimit(err) && t.limit == nil {
		t.limit = err
	}
	return t.limit != nil
}

// scan watches dir and all folders below it that count. Files that changed
// after since do: a file that was written before its folder was watched told
// nobody. The folders it met go to seen, unless that is nil.
func (t *Trees) scan(r *root, dir string, since time.Time, seen map[string]bool) {
	scan(t.sieve, r.real, dir, visitor{
		enter: func(dir string) bool {
			if _, known := t.dirs[dir]; !known {
				t.dirs[dir] = false
			}
			if seen != nil {
				seen[dir] = true
			}
			t.add(dir)
			// What comes late is noted to its end; a poller's first look sees the rest.
			return !t.closed() && (t.limit == nil || since.IsZero())
		},
		all: func(_ string, n int) {
			t.opened += n
			if err := crowded(t.opened + len(t.dirs)); err != nil {
				t.limited(err)
			}
		},
		list: func(dir string, files []os.DirEntry) {
			if len(files) > 0 {
				t.dirs[dir] = true
			}
			for _, e := range files {
				t.fresh(dir, e, since)
			}
		},
	})
}

func (t *Trees) add(dir string) {
	if t.limit != nil {
		return
	}
	if err := t.w.Add(dir); err != nil && !errors.Is(err, os.ErrNotExist) && !t.limited(err) {
		t.warn("watch %q: %v; changes in it will not be noticed", dir, Explain(err))
	}
}

// fresh lets a file count as changed if it was after since; the zero time is
// before everything.
func (t *Trees) fresh(dir string, e os.DirEntry, since time.Time) {
	now := time.Now()
	at := now
	if !since.IsZero() {
		var err error
		at, err = changedEntry(dir, e)
		if err != nil || !at.After(since) || at.After(now) { // by a clock that is wrong
			return
		}
		if at = at.Add(tick); at.After(now) {
			at = now
		}
	}
	t.burst.addAt(filepath.Join(dir, e.Name()), now, at)
}

// see judges one event.
func (t *Trees) see(ev fsnotify.Event) {
	if ev.Op == fsnotify.Chmod || ev.Name == "" { // also indexers and backups
		return
	}
	if base := filepath.Base(ev.Name); !t.filter.NoGitignore && (base == ".gitignore" || base == ".git") {
		t.stale[filepath.Dir(ev.Name)] = time.Now()
	}
	for _, r := range t.roots {
		switch {
		case r.poll:
		case inside(ev.Name, r.name) || inside(ev.Name, r.alias) || inside(ev.Name, r.real):
			r.doubt = true
		case inside(r.real, ev.Name):
			t.judge(r, ev)
		}
	}
}

// judge takes an event of something below a root.
func (t *Trees) judge(r *root, ev fsnotify.Event) {
	info, err := os.Lstat(ev.Name)
	folder := err == nil && info.IsDir()
	_, wasDir := t.dirs[ev.Name]
	if !wasDir && t.sieve.ignored(r.real, ev.Name, folder, err != nil) {
		return
	}
	moved := ev.Op.Has(fsnotify.Rename)
	switch {
	case wasDir && (!folder || moved):
		// A move ends the watch, even if by now the folder, or another of that
		// name, is there again.
		if t.forget(ev.Name, moved) {
			t.burst.add(ev.Name, time.Now())
		}
		if folder {
			t.scan(r, ev.Name, time.Time{}, nil)
		}
	case folder && ev.Op.Has(fsnotify.Create):
		t.scan(r, ev.Name, time.Time{}, nil)
	case !folder && (t.sieve.wanted(ev.Name) || err == nil && info.Mode()&os.ModeSymlink != 0 && isDir(ev.Name)):
		t.dirs[filepath.Dir(ev.Name)] = true
		t.burst.add(ev.Name, time.Now())
	}
}

// forget drops a folder that is no longer there, and reports whether there
// were files in it that count: that is a change, of which a move tells by the
// folder alone. What was below a folder that was removed has told so itself.
func (t *Trees) forget(dir string, below bool) (changed bool) {
	drop := func(d string) {
		changed = changed || t.dirs[d]
		delete(t.dirs, d)
		delete(t.sieve.scopes, d)
		t.w.Remove(d) // a moved folder is still watched, under its old name
	}
	if !below {
		drop(dir)
		return changed
	}
	for d := range t.dirs {
		if inside(dir, d) {
			drop(d)
		}
	}
	return changed
}

// checkRoots looks again at roots that something happened to, and reports
// whether all are there. Those that are count as replaced, even if the same
// folder has come back: a move ends its watch, and what was written meanwhile
// told nobody.
func (t *Trees) checkRoots() bool {
	ok := true
	for _, r := range t.roots {
		if !r.doubt || r.poll {
			continue
		}
		t.forget(r.real, true)
		if r.find() != nil {
			ok = false
			continue
		}
		r.doubt = false
		t.sieve.resolve()
		t.watchParents(r)
		t.scan(r, r.real, time.Time{}, nil)
	}
	return ok
}

// rescan follows an overflow: it is one change, since what was missed is
// unknown.
func (t *Trees) rescan() {
	for _, r := range t.roots {
		if !r.doubt && !r.poll {
			t.sweep(r, r.real, time.Now())
			t.burst.add(r.real, time.Now())
		}
	}
}

// refresh follows a change of .gitignore files. What they no longer name is
// watched from now on, and has not changed by that.
func (t *Trees) refresh() {
	for dir, at := range t.stale {
		for _, r := range t.roots {
			switch {
			case r.poll || r.doubt || t.limit != nil:
			case inside(r.real, dir):
				t.sweep(r, dir, at)
			case inside(dir, r.real):
				t.sweep(r, r.real, at)
			}
		}
		delete(t.stale, dir)
	}
}

// sweep scans a folder again that is watched, and ends the watches below it
// that have no reason any more. What was written after since has changed.
func (t *Trees) sweep(r *root, dir string, since time.Time) {
	if _, watched := t.dirs[dir]; !watched {
		return
	}
	seen := map[string]bool{}
	if t.scan(r, dir, since.Add(-tick), seen); t.limit != nil {
		return
	}
	for d := range t.dirs {
		if inside(dir, d) && !seen[d] && !slices.ContainsFunc(t.roots, func(o *root) bool { return o != r && inside(o.real, d) }) {
			t.forget(d, false)
		}
	}
}
