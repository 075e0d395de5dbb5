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
	parents := []string{filepath.Dir(r.real)}
	for _, l := range r.links {
		parents = append(parents, filepath.Dir(l))
	}
	for _, d := range above(parents) {
		if t.addParent(d) != nil && t.limit != nil {
			return
		}
	}
	t.sieve.above(r.real)
	for dir := range t.sieve.scopes {
		if inside(dir, r.real) && dir != r.real {
			parents = append(parents, dir)
		}
	}
	for _, d := range parents {
		if err := t.addParent(d); err != nil && t.limit == nil {
			t.warn("watch the parent of %q: %v; a replaced folder will not be noticed", r.name, Explain(err))
		}
	}
}

func (t *Trees) addParent(dir string) error {
	err := t.w.Add(dir)
	if err == nil {
		t.parents[dir] = true
	} else {
		t.limited(err)
	}
	return err
}

// above are all folders above those, as far as they are watched here.
func above(dirs []string) (all []string) {
	for _, d := range dirs {
		for up := filepath.Dir(d); watchAbove && up != d; d, up = up, filepath.Dir(up) {
			all = append(all, up)
		}
	}
	return all
}

// uproot puts a root in doubt to which something was done, or to a folder above
// it. What was watched below that is somewhere else now, and fsnotify would
// leave its watches in the kernel, where they are limited, if their names were
// added again.
func (t *Trees) uproot(r *root, path string) {
	r.doubt = true
	for d := range t.parents {
		if inside(path, d) {
			delete(t.parents, d)
			t.w.Remove(d)
		}
	}
}

func (t *Trees) warn(format string, args ...any) {
	if t.opt.Warn != nil {
		t.opt.Warn(format, args...)
	}
}

// complain warns of the first of many in full, and counts those that follow.
func (t *Trees) complain(format string, args ...any) {
	if !t.muted.IsZero() {
		t.more++
		return
	}
	t.warn(format, args...)
	t.muted = time.Now().Add(time.Second)
}

// sumUp tells how many complaints were not told.
func (t *Trees) sumUp() {
	if t.muted.IsZero() || time.Now().Before(t.muted) {
		return
	}
	if t.more > 0 {
		t.warn("changes in %d more folders will not be noticed", t.more)
	}
	t.more, t.muted = 0, time.Time{}
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
	err := t.w.Add(dir)
	known := t.refused[dir]
	delete(t.refused, dir)
	if err == nil || errors.Is(err, os.ErrNotExist) || t.limited(err) {
		return
	}
	if errors.Is(err, os.ErrPermission) {
		t.refused[dir] = true
	}
	if !known {
		t.complain("watch %q: %v; changes in it will not be noticed", dir, Explain(err))
	}
}

// fresh lets a file count as changed if it was after since; the zero time is
// before everything.
func (t *Trees) fresh(dir string, e os.DirEntry, since time.Time) {
	path := filepath.Join(dir, e.Name())
	if since.IsZero() {
		t.burst.add(path, time.Now())
	} else if at, err := changedEntry(dir, e); err == nil {
		t.addSince(path, at, since)
	}
}

// addSince lets something count that changed after since.
func (t *Trees) addSince(path string, at, since time.Time) {
	now := time.Now()
	if !at.After(since) || at.After(now) { // by a clock that is wrong
		return
	}
	if at = at.Add(tick); at.After(now) {
		at = now
	}
	t.burst.addAt(path, now, at)
}

// see judges one event.
func (t *Trees) see(ev fsnotify.Event) {
	if ev.Op == fsnotify.Chmod || ev.Name == "" { // also indexers and backups
		t.admitted(ev.Name)
		return
	}
	if base := filepath.Base(ev.Name); !t.filter.NoGitignore && (base == ".gitignore" || base == ".git") {
		t.stale[filepath.Dir(ev.Name)] = time.Now()
	}
	for _, r := range t.roots {
		switch {
		case r.poll:
		case r.under(ev.Name):
			t.uproot(r, ev.Name)
		case inside(r.real, ev.Name):
			t.judge(r, ev)
		}
	}
}

// admitted scans a folder that could not be read when it came: whoever copies
// as root gives it to its owner later.
func (t *Trees) admitted(dir string) {
	for _, r := range t.roots {
		if t.refused[dir] && inside(r.real, dir) {
			t.scan(r, dir, time.Time{}, nil)
		}
	}
}

// judge takes an event of something below a root. What does not count by its
// name alone is passed over without a look at the disk, so that a flood of it
// does not make the system's queue run over.
func (t *Trees) judge(r *root, ev fsnotify.Event) {
	_, wasDir := t.dirs[ev.Name]
	if !wasDir && t.sieve.never(filepath.Base(ev.Name), ev.Op.Has(fsnotify.Create)) {
		return
	}
	info, err := os.Lstat(ev.Name)
	folder := err == nil && info.IsDir()
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
		delete(t.refused, d)
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

// rescan follows an overflow. What was missed shows by the times of files, and
// of folders: from those something was removed, or moved. Files that do not
// count may be what made the queue run over, so that alone is no change.
func (t *Trees) rescan() {
	now := time.Now()
	for dir := range t.dirs {
		if info, err := os.Lstat(dir); err == nil {
			t.addSince(dir, info.ModTime(), t.whole.Add(-tick))
		}
	}
	for _, r := range t.roots {
		switch {
		case r.doubt || r.poll:
		case r.replaced():
			r.doubt = true
		default:
			t.sweep(r, r.real, t.whole)
		}
	}
	t.whole = now
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
