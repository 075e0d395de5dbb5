package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
)

// Suffix is what a file of the user's gets where it must not have its own name.
const Suffix = ".ductor-undone"

// Restore puts the parts back as Take found them, and flushes that to the disk.
// What was absent then is moved away. It can be called again after it was
// killed, or has failed, at any point; after it has succeeded it does nothing.
// Folders have their modes again, and their times unless a file of the user's
// came back into them.
//
// Files of the user's in folders come back to their places: all that no
// installer wrote, as far as one can tell. An installer's are those that a
// RECORD lists, of the tree that is replaced or of the one that is put back (one
// that was killed has written no RECORD yet); what lies in a dist-info or an
// egg-info; __pycache__; pip's leftovers "~…" in site-packages. A part that is
// a file is the installer's as a whole.
//
// Two kinds get ".ductor-undone" appended to the name, so that nothing is lost:
//   - a file that is in both trees with different content. The old one keeps its
//     name, and the newer one lies beside it, because the old program is known to
//     work with the old one;
//   - Python code in site-packages that is not in the old tree. It may be of a
//     package whose installation was killed, and a new foo/__init__.py would take
//     the place of the old foo.py.
//
// Errors: 65 for a manifest that is torn or not ours, 74 for one that cannot be
// read, 73 (or 77) for what cannot be moved. On Windows a file in use cannot.
// Then what was moved away goes back, so that the parts stay of one kind.
func Restore(prefix, dir string) error {
	m, err := load(dir)
	if err != nil || m.Restored {
		return err
	}
	r := restoration{prefix: prefix, dir: dir, parts: m.Parts, undone: fresh(dir)}
	if r.within, err = below(prefix, dir); err != nil {
		return err
	}
	for _, act := range []func() error{r.check, r.clear, r.fill, r.returnFiles} {
		if err := act(); err != nil {
			return err
		}
	}
	if err := Sync(prefix); err != nil {
		return err
	}
	m.Restored = true
	if err := save(dir, m); !errors.Is(err, syscall.ENOSPC) { // all is done, and Remove makes room
		return err
	}
	return nil
}

type restoration struct {
	prefix, dir string
	within      string // dir, relative to prefix
	undone      string // where this call moves to
	parts       []part
	installed   map[string]bool // by key; see users.go
}

func (r *restoration) at(path string) string   { return filepath.Join(r.prefix, path) }
func (r *restoration) copy(path string) string { return filepath.Join(r.dir, "copy", path) }

// fresh is a folder for this call alone: what an earlier one moved away stays as
// it is, even if somebody has put something in its place again.
func fresh(dir string) string {
	all := generations(dir)
	return generation(dir, len(all))
}

func generation(dir string, n int) string { return filepath.Join(dir, "undone", strconv.Itoa(n)) }

func generations(dir string) (all []string) {
	for there(generation(dir, len(all))) {
		all = append(all, generation(dir, len(all)))
	}
	return all
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// check refuses a manifest of another place: a part that holds dir cannot be
// moved into it.
func (r *restoration) check() error {
	for _, p := range r.parts {
		if covers(r.within, p.path()) || covers(p.path(), r.within) != p.Around {
			return exitcode.Errorf(exitcode.DataErr, "read %q: %q is no part of %q", manifestPath(r.dir), p.Path, r.prefix)
		}
	}
	return nil
}

// clear moves away what the copy replaces, all of it or nothing.
func (r *restoration) clear() error {
	paths, err := r.replaced()
	if err != nil {
		return err
	}
	var back []func() error
	for _, path := range paths {
		undo, err := r.away(path)
		if err != nil {
			for _, undo := range slices.Backward(back) {
				err = errors.Join(err, undo())
			}
			return err
		}
		back = append(back, undo)
	}
	return nil
}

// replaced lists what has to go. A part whose copy is no longer there has been
// put back by an earlier call.
func (r *restoration) replaced() (paths []string, err error) {
	for _, p := range r.parts {
		switch {
		case p.Around:
			news, err := r.news(p)
			if err != nil {
				return nil, err
			}
			paths = append(paths, news...)
		case there(r.at(p.path())) && (!p.There || there(r.copy(p.path()))):
			paths = append(paths, p.path())
		}
	}
	return paths, nil
}

// news lists what has come into a folder around dir.
func (r *restoration) news(p part) (paths []string, err error) {
	entries, err := os.ReadDir(r.at(p.path()))
	if err != nil {
		return nil, fail(exitcode.IOErr, "read", r.at(p.path()), err)
	}
	for _, e := range entries {
		path := filepath.Join(p.path(), e.Name())
		if !slices.Contains(p.Names, e.Name()) && !covers(path, r.within) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// away moves what is at path, and returns how that is undone.
func (r *restoration) away(path string) (undo func() error, err error) {
	from, to := r.at(path), filepath.Join(r.undone, path)
	info, err := os.Lstat(from)
	if err != nil {
		return nil, fail(exitcode.IOErr, "read", from, err)
	}
	if err := makeFolders(filepath.Dir(to)); err != nil {
		return nil, err
	}
	if err := unlock(from, info); err != nil {
		return nil, err
	}
	lock := func() error { return relock(from, info.Mode()) }
	if err := move(from, to); err != nil {
		return nil, errors.Join(err, lock())
	}
	return func() error { return errors.Join(move(to, from), lock()) }, nil
}

// relock is the opposite of unlock.
func relock(path string, mode fs.FileMode) error {
	now, err := os.Lstat(path)
	if err == nil && now.IsDir() && now.Mode()&kept != mode&kept {
		step()
		err = os.Chmod(path, mode&kept)
	}
	if err != nil {
		return fail(exitcode.CantCreat, "change mode of", path, err)
	}
	return nil
}

// fill puts the copies in place.
func (r *restoration) fill() error {
	for _, p := range r.parts {
		if !p.There || p.Around {
			continue
		}
		if err := r.put(p); err != nil {
			return err
		}
	}
	return nil
}

func (r *restoration) put(p part) error {
	from, to := r.copy(p.path()), r.at(p.path())
	switch {
	case there(from):
		// A killed installer may have taken the folder with it.
		if err := makeFolders(filepath.Dir(to)); err != nil {
			return err
		}
		if err := move(from, to); err != nil {
			return err
		}
	case !there(to):
		return exitcode.Errorf(exitcode.DataErr, "restore %q: it is no longer in %q", to, r.dir)
	}
	if p.Mode == 0 {
		return nil
	}
	return relock(to, p.Mode)
}

func makeFolders(path string) error {
	step()
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fail(exitcode.CantCreat, "create folder", path, err)
	}
	return nil
}

// move renames. Where a folder cannot be renamed, each of its entries is: on
// overlayfs, the file system of containers, a folder of a lower layer cannot.
func move(from, to string) error {
	step()
	err := atomicfile.Rename(from, to)
	if info, serr := os.Lstat(from); errors.Is(err, syscall.EXDEV) && serr == nil && info.IsDir() {
		return moveEntries(from, to, info)
	}
	if err != nil {
		return fail(exitcode.CantCreat, "move", from, err)
	}
	return nil
}

func moveEntries(from, to string, info fs.FileInfo) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return fail(exitcode.IOErr, "read", from, err)
	}
	if err := makeFolders(to); err != nil {
		return err
	}
	if err := unlock(from, info); err != nil {
		return err
	}
	for _, e := range entries {
		if err := move(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	step()
	if err := os.Remove(from); err != nil {
		return fail(exitcode.CantCreat, "move", from, err)
	}
	return setAll(to, info)
}
