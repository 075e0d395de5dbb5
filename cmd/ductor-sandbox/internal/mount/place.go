package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"ductor/internal/common/exitcode"
)

// place is a path of the host with its symbolic links resolved, as far as it
// exists. Places are compared by what the system says is the same file, because
// names differ where case does not matter, and where a folder is mounted twice.
type place struct {
	path  string
	infos []fs.FileInfo // of path, its parent, … the root; nil where missing
}

// disk remembers what one plan has looked at: a hundred paths share their
// parents, and asking ten times for each took longer than the rest of a status.
type disk struct {
	infos map[string]look
	real  map[string]string
}

type look struct {
	info fs.FileInfo
	err  error
}

func newDisk() *disk { return &disk{infos: map[string]look{}, real: map[string]string{}} }

func (d *disk) lstat(p string) (fs.FileInfo, error) {
	l, ok := d.infos[p]
	if !ok {
		l.info, l.err = os.Lstat(p)
		d.infos[p] = l
	}
	return l.info, l.err
}

// locate resolves p, which is absolute. A part that does not exist is kept as it
// is written.
func (d *disk) locate(p string) (place, error) {
	resolved, err := d.resolve(filepath.Clean(p))
	if err != nil {
		e := exitcode.File(exitcode.Unavailable, fmt.Errorf("resolve mount %q: %w", p, err))
		if e.Code == exitcode.Unavailable { // a loop of links
			e = e.WithID("mount_missing")
		}
		return place{}, e
	}
	at := place{path: resolved}
	for dir := resolved; ; dir = filepath.Dir(dir) {
		info, err := d.lstat(dir) // no links are left in it
		if err != nil {
			info = nil
		}
		at.infos = append(at.infos, info)
		if dir == filepath.Dir(dir) {
			return at, checkPath("mount", resolved)
		}
	}
}

func (d *disk) resolve(p string) (string, error) {
	if real, ok := d.real[p]; ok {
		return real, nil
	}
	real, err := d.follow(p)
	if err == nil {
		d.real[p] = real
	}
	return real, err
}

func (d *disk) follow(p string) (string, error) {
	if p == filepath.Dir(p) {
		return p, nil
	}
	parent, err := d.resolve(filepath.Dir(p))
	if err != nil {
		return "", err
	}
	real := filepath.Join(parent, filepath.Base(p))
	info, err := d.lstat(real)
	if err == nil && info.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0 || runtime.GOOS == "windows" { // it also gives names their case
		var followed string
		if followed, err = filepath.EvalSymlinks(real); err == nil {
			return followed, nil
		}
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return real, nil
	}
	return "", err
}

func (p place) exists() bool { return p.infos[0] != nil && p.infos[0].Mode()&fs.ModeSymlink == 0 }

func (p place) isDir() bool { return p.exists() && p.infos[0].IsDir() }

// within reports whether p is o, or lies below it.
func (p place) within(o place) bool {
	dir := p.path
	for _, info := range p.infos {
		if dir == o.path || info != nil && o.exists() && os.SameFile(info, o.infos[0]) {
			return true
		}
		dir = filepath.Dir(dir)
	}
	return false
}

// below returns the path from dir to p with slashes, "." for dir itself; ok is
// false if p is somewhere else. It compares names only.
func below(p, dir string) (rel string, ok bool) {
	rel, err := filepath.Rel(dir, p)
	rel = filepath.ToSlash(rel)
	return rel, err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
