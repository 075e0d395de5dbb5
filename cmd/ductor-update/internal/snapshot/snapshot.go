// Package snapshot keeps a copy of what an installer changes in a virtual
// environment, so that it can be put back without a network and without Python.
//
// The copy is a folder DIR inside the environment, the prefix:
//
//	DIR/manifest.json  written last: without it the copy is not whole
//	DIR/copy/PART      as it was
//	DIR/undone/N/PART  what the N-th call of Restore found in its place
//
// Every step is a rename, or can be done again: a program that is killed, or a
// machine that loses power, leaves a state from which the next call goes on.
// One process at a time; the caller holds a lock.
package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/jsonout"
)

// maxManifest bounds the manifest, in bytes. It has a line for each part, and a
// name for each entry of a folder that holds DIR.
const maxManifest = 4 << 20

// step is called between any two changes on the disk; tests die in it.
var step = func() {}

type manifest struct {
	Restored bool   `json:"restored,omitempty"` // the copy was put back, all of it
	Parts    []part `json:"parts"`
}

type part struct {
	Path  string `json:"path"` // relative to the prefix, with slashes
	There bool   `json:"there"`
	// Mode is a folder's fs.FileMode. The folder in DIR/copy has u+w in addition:
	// only who may write a folder may move it to another one.
	Mode fs.FileMode `json:"mode,omitempty"`
	// Around is a folder that DIR lies in. It cannot be moved into DIR, so each of
	// its entries is a part, and Names are those that are no news.
	Around bool     `json:"around,omitempty"`
	Names  []string `json:"names,omitempty"`
}

func (p part) path() string { return filepath.FromSlash(p.Path) }

// Take copies parts of the environment into dir and flushes the copy to the
// disk. The parts are paths relative to prefix; one that is absent is remembered
// as absent. dir is an absolute path below prefix; its parent exists, dir does
// not. On an error nothing is left of it.
//
// Links are copied as links. Modes, times of modification, and for root owners
// are kept; extended attributes, and that two names are one file, are not. Pipes,
// sockets and devices are left out (Restore leaves them where they are), and so
// is what vanishes meanwhile.
//
// Errors: 69 for what Restore could not put back by a rename (another file
// system, a part that is a link to a folder, or behind one that leads out), 74 for what cannot be read, 73 for
// what cannot be written, 77 where that is for want of permission.
func Take(prefix, dir string, parts []string) error {
	all, err := plan(prefix, dir, parts)
	if err != nil {
		return err
	}
	step()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fail(exitcode.CantCreat, "create folder", dir, err)
	}
	if err := fill(prefix, dir, all); err != nil {
		return errors.Join(err, Remove(dir))
	}
	return nil
}

// fill flushes before the manifest says that all is there.
func fill(prefix, dir string, parts []part) error {
	home, err := os.Lstat(dir)
	if err != nil {
		return fail(exitcode.IOErr, "read", dir, err)
	}
	c := copier{dir: home}
	for i := range parts {
		if parts[i].Around {
			continue
		}
		if err := c.part(prefix, dir, &parts[i]); err != nil {
			return err
		}
	}
	step()
	if err := Sync(dir); err != nil {
		return err
	}
	return save(dir, manifest{Parts: parts})
}

// plan says what has to be copied, and refuses what could not be put back.
func plan(prefix, dir string, paths []string) (all []part, err error) {
	within, err := below(prefix, dir)
	if err != nil {
		return nil, err
	}
	real := make([]string, len(paths))
	for i, path := range paths {
		if !filepath.IsLocal(path) || covers(within, path) {
			return nil, exitcode.Errorf(exitcode.Software, "copy %q: not a part of the environment", path)
		}
		if real[i], err = canonical(prefix, filepath.Clean(path)); err != nil {
			return nil, err
		}
	}
	for _, path := range outermost(real) {
		if err := refuse(filepath.Join(prefix, path)); err != nil {
			return nil, err
		}
		if all, err = expand(all, prefix, within, path); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// below returns dir relative to prefix.
func below(prefix, dir string) (string, error) {
	within, err := filepath.Rel(prefix, dir)
	if err != nil || !filepath.IsAbs(dir) || within == "." || !filepath.IsLocal(within) {
		return "", exitcode.Errorf(exitcode.Software, "copy to %q: not a folder in %q", dir, prefix)
	}
	return within, nil
}

// canonical returns the path without links above its last element, because lib64
// may be a link to lib: under two names a part would be moved twice.
func canonical(prefix, path string) (string, error) {
	if path == "." {
		return path, nil
	}
	root, err := filepath.EvalSymlinks(prefix)
	if err != nil {
		return "", fail(exitcode.IOErr, "read", prefix, err)
	}
	above, err := filepath.EvalSymlinks(filepath.Join(prefix, filepath.Dir(path)))
	if err != nil {
		return path, nil // absent; else the copier will say what it is
	}
	rel, err := filepath.Rel(root, above)
	if err != nil || !filepath.IsLocal(rel) {
		return "", exitcode.Errorf(exitcode.Unavailable, "copy %q: a link leads out of %q", path, prefix)
	}
	return filepath.Join(rel, filepath.Base(path)), nil
}

// covers reports whether path is folder or lies in it.
func covers(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// outermost leaves out what lies in another part.
func outermost(paths []string) (all []string) {
	for _, path := range paths {
		if slices.ContainsFunc(all, func(p string) bool { return covers(p, path) }) {
			continue
		}
		all = slices.DeleteFunc(all, func(p string) bool { return covers(path, p) })
		all = append(all, path)
	}
	return all
}

// refuse: a link to a folder would be kept as a link, while an installer changes
// what is behind it; that copy would protect nothing.
func refuse(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // absent, or the copier will say what it is
	}
	if behind, err := os.Stat(path); err == nil && behind.IsDir() && !info.IsDir() {
		return exitcode.Errorf(exitcode.Unavailable, "copy %q: it is a link to a folder", path)
	}
	if !copied(info.Mode()) {
		return exitcode.Errorf(exitcode.Unavailable, "copy %q: neither a file nor a folder", path)
	}
	return nil
}

// copied reports whether a file of this kind is copied: to open a pipe would
// wait for its other end, and to open a device does whatever it does.
func copied(mode fs.FileMode) bool {
	return mode.IsRegular() || mode.IsDir() || mode.Type() == fs.ModeSymlink
}

// expand appends path, or the entries of a folder that DIR will lie in.
func expand(all []part, prefix, within, path string) ([]part, error) {
	slash := filepath.ToSlash(path)
	if !utf8.ValidString(slash) {
		return nil, exitcode.Errorf(exitcode.Unavailable, "copy %q: the name is not UTF-8", path)
	}
	if !covers(path, within) {
		return append(all, part{Path: slash}), nil
	}
	entries, err := os.ReadDir(filepath.Join(prefix, path))
	if err != nil {
		return nil, fail(exitcode.IOErr, "read", filepath.Join(prefix, path), err)
	}
	at := len(all)
	all = append(all, part{Path: slash, There: true, Around: true})
	for _, e := range entries {
		all[at].Names = append(all[at].Names, e.Name())
		if !copied(e.Type()) {
			continue
		}
		if all, err = expand(all, prefix, within, filepath.Join(path, e.Name())); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Whole reports whether dir holds a complete copy that has not been put back: an
// installer may have been started, and Restore undoes it. Where it is false, the
// environment is as it should be, and Remove is all there is to do.
func Whole(dir string) bool {
	m, err := load(dir)
	return err == nil && !m.Restored
}

// Remove deletes dir with whatever is left in it. An absent one is no error. A
// Restore that was cut short has to be finished first: files of the user's may
// still lie in dir.
func Remove(dir string) error {
	step()
	// First of all it is no longer whole, on the disk too: else half a copy would
	// be put back after a power cut.
	switch err := os.Remove(manifestPath(dir)); {
	case err == nil:
		flushFolder(dir)
	case !errors.Is(err, fs.ErrNotExist):
		return fail(exitcode.CantCreat, "remove", dir, err)
	}
	step()
	err := os.RemoveAll(dir)
	if errors.Is(err, fs.ErrPermission) {
		unlockAll(dir)
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fail(exitcode.CantCreat, "remove", dir, err)
	}
	return nil
}

// unlockAll lets its owner remove what lies in read-only folders. What cannot be
// unlocked, the removal will say.
func unlockAll(dir string) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, _ error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
}

func manifestPath(dir string) string { return filepath.Join(dir, "manifest.json") }

func save(dir string, m manifest) error {
	data, err := jsonout.Line(m)
	if err == nil && len(data) > maxManifest {
		err = fmt.Errorf("%d bytes, and %d are allowed", len(data), maxManifest)
	}
	if err != nil {
		return exitcode.Errorf(exitcode.Software, "describe the copy in %q: %w", dir, err)
	}
	step()
	if err := atomicfile.WriteSync(manifestPath(dir), data, 0o600); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	step()
	return nil
}

// load believes nothing: a manifest must not make us move files outside of the
// prefix.
func load(dir string) (m manifest, err error) {
	path := manifestPath(dir)
	data, err := atomicfile.Read(path, maxManifest)
	switch {
	case errors.Is(err, atomicfile.ErrNoFile):
		return m, exitcode.Errorf(exitcode.DataErr, "%w", err)
	case err != nil:
		return m, fail(exitcode.IOErr, "read", path, err)
	}
	raw := struct {
		Schema int `json:"schema"`
		*manifest
	}{manifest: &m}
	if err := json.Unmarshal(data, &raw); err != nil {
		return m, exitcode.Errorf(exitcode.DataErr, "read %q: %w", path, err)
	}
	if raw.Schema != jsonout.Schema {
		return m, exitcode.Errorf(exitcode.DataErr, "read %q: its schema is not %d", path, jsonout.Schema)
	}
	for _, p := range m.Parts {
		if !filepath.IsLocal(p.path()) || filepath.Clean(p.path()) != p.path() {
			return m, exitcode.Errorf(exitcode.DataErr, "read %q: %q is not a part of an environment", path, p.Path)
		}
	}
	return m, nil
}

// fail names the file once: the errors of package os name it too, or a
// temporary one.
func fail(code int, verb, path string, err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		err = p.Err
	case errors.As(err, &l):
		err = l.Err
	}
	return exitcode.File(code, fmt.Errorf("%s %q: %w", verb, path, err))
}
