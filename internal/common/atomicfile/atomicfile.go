// Package atomicfile handles small files that are replaced as a whole.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
)

// Write makes path hold data with the permissions perm: a temporary file in
// the same folder is renamed over it, so a reader sees the old content or the
// new one, never a part. It does not outlive a power cut; WriteSync does.
// The temporary name is ours alone, so that two writers do not mix.
func Write(path string, data []byte, perm os.FileMode) error {
	return write(path, data, perm, false)
}

// WriteSync is Write with the data flushed to the disk before the rename: for
// what must be there after a power cut (sentinels, update state).
func WriteSync(path string, data []byte, perm os.FileMode) error {
	return write(path, data, perm, true)
}

func write(path string, data []byte, perm os.FileMode, sync bool) error {
	tmp := tempName(path)
	f, err := create(tmp, perm)
	if err != nil {
		return fmt.Errorf("write %q: %w", path, pathless(err))
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = Rename(tmp, path)
	}
	if err != nil {
		_ = Remove(tmp)
		return fmt.Errorf("write %q: %w", path, pathless(err))
	}
	if sync {
		syncDir(filepath.Dir(path))
	}
	return nil
}

// Rename is os.Rename, and Remove os.Remove. On Windows they try again for a
// second where somebody has the file open.
func Rename(from, to string) error {
	return patiently(func() error { return os.Rename(from, to) })
}

// Take renames a file within its folder. Of several callers that take the same
// one exactly one succeeds; the others get fs.ErrNotExist.
func Take(path, to string) error {
	return patiently(func() error { return take(path, to) })
}

// Remove removes a file; see Rename.
func Remove(path string) error {
	return patiently(func() error { return os.Remove(path) })
}

// create makes the temporary file, and never follows a link that somebody put
// in its place. What has its name is of a process that had our PID, and died.
func create(tmp string, perm os.FileMode) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := os.OpenFile(tmp, flags, perm)
	if errors.Is(err, fs.ErrExist) && Remove(tmp) == nil {
		f, err = os.OpenFile(tmp, flags, perm)
	}
	return f, err
}

// writes counts the writes of this process: its PID alone would let two
// goroutines share a temporary file, and one rename what the other has begun.
var writes atomic.Uint64

func tempName(path string) string {
	unique := strconv.Itoa(os.Getpid()) + "-" + strconv.FormatUint(writes.Add(1), 10)
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+unique+".tmp")
}

// pathless drops the temporary name, which means nothing to a reader.
func pathless(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// syncDir makes the rename itself durable. Not every file system allows it,
// and then there is nothing better to do.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}
