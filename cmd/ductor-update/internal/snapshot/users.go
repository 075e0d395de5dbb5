package snapshot

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
)

// maxRecord bounds a RECORD, in bytes; that of a large package has 2 MB.
const maxRecord = 64 << 20

// returnFiles moves the files of the user's from what was replaced back to their
// places. Each is one rename, so nothing is ever in no place.
func (r *restoration) returnFiles() error {
	all := generations(r.dir)
	r.installed = map[string]bool{}
	for _, p := range r.parts {
		r.readRecords(r.prefix, p)
		for _, base := range all {
			r.readRecords(base, p)
		}
	}
	for _, base := range all {
		for _, p := range r.parts {
			if err := r.returnPart(base, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// returnPart begins with the entries of a folder, because a part that is a file
// is an installer's. The old entries of a folder around dir are parts.
func (r *restoration) returnPart(base string, p part) error {
	info, err := os.Lstat(filepath.Join(base, p.path()))
	if err != nil || !info.IsDir() {
		return nil
	}
	return r.returnFolder(base, p.path(), p.path(), p.Names)
}

// returnFolder looks for files of the user's in the folder path of base, which
// go into the folder `to` of the environment.
func (r *restoration) returnFolder(base, path, to string, except []string) error {
	if info, err := os.Lstat(r.at(to)); err == nil && !info.IsDir() { // not through a link either
		to = r.free(to, fs.FileInfo.IsDir)
	}
	entries, err := readFolder(filepath.Join(base, path))
	if err != nil {
		return err
	}
	if len(entries) == 0 { // the user's: wheels have no empty folders
		return r.makeLike(base, path, to)
	}
	for _, e := range entries {
		sub := filepath.Join(path, e.Name())
		if slices.Contains(except, e.Name()) || r.isInstalled(sub, e.IsDir()) {
			continue
		}
		if err := r.returnEntry(base, sub, filepath.Join(to, e.Name()), e.IsDir()); err != nil {
			return err
		}
	}
	return nil
}

// readFolder also makes the folder one that can be emptied.
func readFolder(path string) ([]fs.DirEntry, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fail(exitcode.IOErr, "read", path, err)
	}
	if err := unlock(path, info); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fail(exitcode.IOErr, "read", path, err)
	}
	return entries, nil
}

// returnEntry decides under which name something comes back.
func (r *restoration) returnEntry(base, path, to string, folder bool) error {
	_, err := os.Lstat(r.at(to))
	switch absent := errors.Is(err, fs.ErrNotExist); {
	case folder:
		return r.returnFolder(base, path, to, nil)
	case err != nil && !absent:
		return fail(exitcode.IOErr, "read", r.at(to), err)
	case absent && !isCode(path):
		return r.returnFile(base, path, to)
	case !absent && same(filepath.Join(base, path), r.at(to)):
		return nil
	}
	return r.returnFile(base, path, r.free(to, func(fs.FileInfo) bool { return false }))
}

// free is a name beside path that nothing has, or something that will do.
func (r *restoration) free(path string, willDo func(fs.FileInfo) bool) string {
	name := path + Suffix
	for n := 2; ; n++ {
		info, err := os.Lstat(r.at(name))
		if err != nil || willDo(info) {
			return name
		}
		name = path + Suffix + "." + strconv.Itoa(n)
	}
}

func (r *restoration) returnFile(base, path, to string) error {
	if err := r.makeLike(base, filepath.Dir(path), filepath.Dir(to)); err != nil {
		return err
	}
	return place(filepath.Join(base, path), r.at(to))
}

// place moves something into a folder that may be read-only. A kill just before
// that is so again leaves it writable for its owner.
func place(from, to string) error {
	err := move(from, to)
	folder := filepath.Dir(to)
	info, serr := os.Lstat(folder)
	if !errors.Is(err, fs.ErrPermission) || serr != nil || info.Mode()&0o700 == 0o700 || unlock(folder, info) != nil {
		return err
	}
	return errors.Join(move(from, to), relock(folder, info.Mode()))
}

// makeLike makes the folder `to` with owner and mode of the folder path of base,
// and those above it. It gets its name when it is finished.
func (r *restoration) makeLike(base, path, to string) error {
	if there(r.at(to)) {
		return nil
	}
	if err := r.makeLike(base, filepath.Dir(path), filepath.Dir(to)); err != nil {
		return err
	}
	info, err := os.Lstat(filepath.Join(base, path))
	if err != nil {
		return fail(exitcode.IOErr, "read", filepath.Join(base, path), err)
	}
	tmp := filepath.Join(r.dir, "new")
	_ = os.Remove(tmp) // of a call that was killed
	err = os.Mkdir(tmp, 0o700)
	if err == nil {
		err = setMode(tmp, info)
	}
	if err != nil {
		return fail(exitcode.CantCreat, "create folder", r.at(to), err)
	}
	return place(tmp, r.at(to))
}

// isInstalled reports whether an installer wrote what is at path. A RECORD lists
// no folders: a folder of that name is another thing, and may hold anything.
func (r *restoration) isInstalled(path string, folder bool) bool {
	name := filepath.Base(path)
	switch ext := filepath.Ext(name); {
	case ext == ".dist-info", ext == ".egg-info", name == "__pycache__":
		return true
	case strings.HasPrefix(name, "~") && isSite(filepath.Base(filepath.Dir(path))):
		return true
	}
	return !folder && r.installed[key(path)]
}

func isSite(name string) bool {
	return strings.EqualFold(name, "site-packages") || strings.EqualFold(name, "dist-packages")
}

// code are the endings of what Python imports, or obeys (.pth).
var code = []string{".py", ".pyc", ".pyw", ".so", ".pyd", ".dll", ".dylib", ".pth", ".egg", ".egg-link"}

func isCode(path string) bool {
	above := strings.Split(filepath.Dir(path), string(filepath.Separator))
	return slices.ContainsFunc(above, isSite) && slices.Contains(code, strings.ToLower(filepath.Ext(path)))
}

// key makes paths comparable.
func key(path string) string {
	if runtime.GOOS == "windows" {
		return strings.ToLower(path)
	}
	return path
}

// readRecords notes what the RECORDs in a part list. What cannot be read lists
// nothing; then more is kept than need be.
func (r *restoration) readRecords(base string, p part) {
	root := filepath.Join(base, p.path())
	_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case e != nil && p.Around && path == r.dir:
			return filepath.SkipDir
		case err != nil || !e.IsDir() || filepath.Ext(path) != ".dist-info":
			return nil
		}
		if site, err := filepath.Rel(base, filepath.Dir(path)); err == nil {
			data, _ := atomicfile.Read(filepath.Join(path, "RECORD"), maxRecord)
			r.note(site, data)
		}
		return filepath.SkipDir
	})
}

// note adds the paths of a RECORD, which are relative to site-packages, or
// absolute. What lies outside of the environment is not ours.
func (r *restoration) note(site string, record []byte) {
	lines := csv.NewReader(bytes.NewReader(record))
	lines.FieldsPerRecord, lines.LazyQuotes, lines.ReuseRecord = -1, true, true
	for {
		fields, err := lines.Read()
		if err == io.EOF {
			return
		}
		if err != nil || len(fields) == 0 {
			continue
		}
		path := filepath.Join(site, filepath.FromSlash(fields[0]))
		if filepath.IsAbs(fields[0]) {
			path, _ = filepath.Rel(r.prefix, fields[0])
		}
		if filepath.IsLocal(path) {
			r.installed[key(path)] = true
		}
	}
}

// same reports whether two files have the same content. What cannot be read is
// not the same.
func same(a, b string) bool {
	x, errA := os.Lstat(a)
	y, errB := os.Lstat(b)
	switch {
	case errA != nil || errB != nil || x.Mode().Type() != y.Mode().Type():
		return false
	case x.Mode().Type() == fs.ModeSymlink:
		to, errA := os.Readlink(a)
		other, errB := os.Readlink(b)
		return errA == nil && errB == nil && to == other
	case !x.Mode().IsRegular() || x.Size() != y.Size():
		return false
	}
	return sameContent(a, b)
}

func sameContent(a, b string) bool {
	f, err := atomicfile.Open(a)
	if err != nil {
		return false
	}
	defer f.Close()
	g, err := atomicfile.Open(b)
	if err != nil {
		return false
	}
	defer g.Close()
	bufF, bufG := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errF := io.ReadFull(f, bufF)
		m, errG := io.ReadFull(g, bufG)
		if !bytes.Equal(bufF[:n], bufG[:m]) {
			return false
		}
		if errF != nil || errG != nil { // the end of both, or no answer
			return ended(errF) && ended(errG)
		}
	}
}

func ended(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }
