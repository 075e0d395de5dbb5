package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"ductor/internal/common/atomicfile"
)

// file is the log on the disk. lumberjack opens it, and renames it when it is
// full. The rest is ours, because lumberjack removes old ones in a goroutine
// that nobody can wait for, counts in megabytes, holds on to a file that somebody moved away or emptied, opens a
// new one without O_APPEND, leaves half a line when the disk is full, gives two
// files that are full in the same millisecond the same name, keeps all when
// told to keep none, and makes folders that everybody may read.
type file struct {
	path   string
	size   int64 // 0 is without end
	keep   int
	report *report

	out     lumberjack.Logger
	id      os.FileInfo // of what is open; nil if nothing is
	rotated time.Time
}

// endless is a size in megabytes that is never met.
const endless = 1 << 30

func newFile(path string, size int64, keep int, r *report) *file {
	return &file{path: path, size: size, keep: keep, report: r,
		out: lumberjack.Logger{Filename: path, MaxSize: endless}}
}

// Write writes whole lines, and begins a new file in front of the one that
// does not fit. It returns how many bytes of whole lines were written.
func (f *file) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if err := f.open(); err != nil {
			return n, err
		}
		part := f.fitting(p[n:])
		if len(part) == 0 {
			if err = f.rotate(); err == nil {
				continue
			}
			f.report.trouble(fmt.Errorf("the log grows beyond its size: %w", err))
			if err := f.open(); err != nil {
				return n, err
			}
			part = p[n:]
		}
		m, err := f.append(part)
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// fitting returns the lines that fit into the file: at least one if that is
// empty, none if it should be a new one's.
func (f *file) fitting(p []byte) []byte {
	have := f.id.Size()
	if f.size <= 0 || have+int64(len(p)) <= f.size {
		return p
	}
	if room := f.size - have; room > 0 {
		if end := bytes.LastIndexByte(p[:room], '\n') + 1; end > 0 {
			return p[:end]
		}
	}
	if have > 0 {
		return nil
	}
	first, _, _ := bytes.Cut(p, []byte{'\n'})
	return p[:min(len(first)+1, len(p))]
}

// append writes p, or what of its whole lines the disk takes.
func (f *file) append(p []byte) (int, error) {
	n, err := f.out.Write(p)
	if err == nil {
		return n, nil
	}
	whole := bytes.LastIndexByte(p[:n], '\n') + 1
	if n > whole {
		_ = os.Truncate(f.path, f.id.Size()+int64(whole))
	}
	f.close() // to be looked at anew: if the half line is still there, it is ended then
	return whole, err
}

// open makes sure that what is open is what has the name, and learns its size.
func (f *file) open() error {
	info, err := os.Stat(f.path)
	if f.id != nil && err == nil && os.SameFile(info, f.id) {
		f.id = info
		return nil
	}
	f.close()
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%q is not a file", f.path)
	}
	// lumberjack appends to a file that is there; one that it may not write it
	// would move away.
	if err := create(f.path); err != nil {
		return err
	}
	if _, err := f.out.Write(missingEnd(f.path)); err != nil {
		f.close()
		return err
	}
	f.prune()
	f.id, err = os.Stat(f.path)
	return err
}

// prune removes the oldest of the old ones. What cannot be removed is tried
// again at the next rotation.
func (f *file) prune() {
	names, _ := listOlder(f.path)
	for _, name := range names[:max(len(names)-f.keep, 0)] {
		_ = atomicfile.Remove(name)
	}
}

func create(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := atomicfile.OpenAppend(path, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// missingEnd returns what ends a line that was torn when its writer, or the
// machine, was stopped.
func missingEnd(path string) []byte {
	f, err := atomicfile.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	last := []byte{'\n'}
	if err != nil || info.Size() == 0 {
		return nil
	}
	if _, err := f.ReadAt(last, info.Size()-1); err != nil || last[0] == '\n' {
		return nil
	}
	return []byte{'\n'}
}

// rotate gives the file an older name and begins a new one.
func (f *file) rotate() error {
	if f.keep <= 0 {
		return os.Truncate(f.path, 0)
	}
	for !time.Now().Truncate(time.Millisecond).After(f.rotated) {
		time.Sleep(100 * time.Microsecond)
	}
	if err := f.moveAway(); err != nil {
		return err
	}
	err := f.out.Rotate()
	f.rotated = time.Now().Truncate(time.Millisecond)
	f.close() // it was opened without O_APPEND
	return err
}

func (f *file) close() {
	_ = f.out.Close()
	f.id = nil
}

// nameFormat is how lumberjack puts the time of a rotation, in UTC, between a
// name and its ending.
const nameFormat = "2006-01-02T15-04-05.000"

func split(path string) (dir, prefix, ext string) {
	dir, name := filepath.Split(path)
	ext = filepath.Ext(name)
	return dir, strings.TrimSuffix(name, ext) + "-", ext
}

// Globs match the names that a log gets when it is full, wherever they are:
// ours, and those that logrotate(8) gives it.
func Globs(path string) []string {
	_, prefix, ext := split(path)
	name := quoted(filepath.Base(path))
	return []string{quoted(prefix) + timeGlob() + quoted(ext), name + ".[0-9]*", name + "-[0-9]*"}
}

func timeGlob() string {
	var b strings.Builder
	for _, r := range nameFormat {
		if r >= '0' && r <= '9' {
			b.WriteString("[0-9]")
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func quoted(name string) string {
	var b strings.Builder
	for _, r := range name {
		if strings.ContainsRune(`\*?[]{}`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// older lists the files that the log was before, oldest first. A folder that is
// read while it changes may show a file and not one that came before it, so it
// is read twice: what the first reading saw the second one cannot miss, nor
// what is older than that.
func older(path string) ([]string, error) {
	seen, err := listOlder(path)
	if len(seen) == 0 {
		return nil, err
	}
	names, err := listOlder(path)
	end, found := slices.BinarySearch(names, seen[len(seen)-1])
	if found {
		end++
	}
	return names[:end], err
}

func listOlder(path string) (names []string, err error) {
	dir, prefix, ext := split(path)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		word, ok := strings.CutPrefix(e.Name(), prefix)
		word, ok2 := strings.CutSuffix(word, ext)
		if _, terr := time.Parse(nameFormat, word); ok && ok2 && terr == nil {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(names) // as the times in them
	return names, err
}
