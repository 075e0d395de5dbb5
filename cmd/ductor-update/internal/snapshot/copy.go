package snapshot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
)

// kept are the bits of a mode that a copy has too.
const kept = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// copier copies trees.
type copier struct {
	dir fs.FileInfo // where to; never copied itself, by whatever path it is met
}

// part copies one part and notes what it was.
func (c copier) part(prefix, dir string, p *part) error {
	to := filepath.Join(dir, "copy", p.path())
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fail(exitcode.CantCreat, "create folder", filepath.Dir(to), err)
	}
	from := filepath.Join(prefix, p.path())
	if above, err := os.Stat(filepath.Dir(from)); err == nil && !sameDevice(above, c.dir) {
		return exitcode.Errorf(exitcode.Unavailable, "copy %q: it is on another file system", from)
	}
	if err := c.tree(from, to); err != nil {
		return err
	}
	info, err := os.Lstat(to)
	if err != nil {
		return nil // absent
	}
	p.There = true
	if info.IsDir() {
		p.Mode = info.Mode() & (kept | fs.ModeDir)
		return unlock(to, info)
	}
	return nil
}

// unlock lets the owner of a folder move it, and change what is in it.
func unlock(path string, info fs.FileInfo) error {
	if !info.IsDir() || info.Mode()&0o700 == 0o700 {
		return nil
	}
	if err := os.Chmod(path, info.Mode()&kept|0o700); err != nil {
		return fail(exitcode.CantCreat, "change mode of", path, err)
	}
	return nil
}

// tree copies whatever is at from. Python programs that run write and remove
// .pyc files at any time, so what is gone is no error.
func (c copier) tree(from, to string) error {
	info, err := os.Lstat(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fail(exitcode.IOErr, "read", from, err)
	case os.SameFile(info, c.dir) || !copied(info.Mode()):
		return nil
	}
	step()
	switch {
	case info.IsDir():
		return c.folder(from, to, info)
	case info.Mode().IsRegular():
		return copyFile(from, to)
	}
	return copyLink(from, to, info)
}

// folder sets the mode last: nothing can be put into a read-only folder.
func (c copier) folder(from, to string, info fs.FileInfo) error {
	if !sameDevice(info, c.dir) {
		return exitcode.Errorf(exitcode.Unavailable, "copy %q: it is on another file system", from)
	}
	entries, err := os.ReadDir(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fail(exitcode.IOErr, "read", from, err)
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return fail(exitcode.CantCreat, "create folder", to, err)
	}
	for _, e := range entries {
		if err := c.tree(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return setAll(to, info)
}

// copyFile takes attributes from the open file, which may be another one than
// was looked at before.
func copyFile(from, to string) error {
	in, err := atomicfile.Open(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fail(exitcode.IOErr, "read", from, err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return fail(exitcode.IOErr, "read", from, err)
	}
	if err := pour(in, to); err != nil {
		return err
	}
	return setAll(to, info)
}

// pour copies between two files of the system, which may then share the blocks.
func pour(in *os.File, to string) error {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fail(exitcode.CantCreat, "create", to, err)
	}
	if _, err = io.Copy(out, in); err == nil {
		err = settle(out)
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok && p.Path == in.Name() {
		return fail(exitcode.IOErr, "read", in.Name(), err)
	}
	if err != nil {
		return fail(exitcode.CantCreat, "write", to, err)
	}
	return nil
}

func copyLink(from, to string, info fs.FileInfo) error {
	target, err := os.Readlink(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fail(exitcode.IOErr, "read", from, err)
	}
	err = os.Symlink(target, to)
	if err == nil {
		err = setOwner(to, info)
	}
	if err == nil {
		err = setLinkTime(to, info.ModTime())
	}
	if err != nil {
		return fail(exitcode.CantCreat, "create link", to, err)
	}
	return nil
}

// setAll gives a copy the attributes of what it is one of. The time counts: a
// .pyc is valid for a source of one time only.
func setAll(path string, info fs.FileInfo) error {
	err := setMode(path, info)
	if err == nil {
		err = os.Chtimes(path, time.Time{}, info.ModTime())
	}
	if err != nil {
		return fail(exitcode.CantCreat, "set attributes of", path, err)
	}
	return nil
}

// setMode sets the owner first, because that clears setuid bits. What is right
// already is left alone: not every file system has owners and modes.
func setMode(path string, info fs.FileInfo) error {
	if err := setOwner(path, info); err != nil {
		return err
	}
	now, err := os.Lstat(path)
	if err != nil || now.Mode()&kept == info.Mode()&kept {
		return err
	}
	return os.Chmod(path, info.Mode()&kept)
}
