package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrNoFile is returned for what cannot be one of our files: a pipe, whose
// opening would wait for a writer, a folder, a device, or something huge.
var ErrNoFile = errors.New("not a small file")

// Read returns the content of a regular file of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("read %q: %w", path, ErrNoFile)
	}
	return data, err
}

// Open opens a regular file for reading, and never waits. It stands in nobody's
// way: the file can be renamed and removed, on Windows too.
func Open(path string) (*os.File, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("read %q: %w", path, ErrNoFile)
	}
	return f, nil
}

// OpenAppend opens a file to be appended to, and creates it if it is not there.
// It can be renamed and removed while it is open, on Windows too.
func OpenAppend(path string, perm os.FileMode) (*os.File, error) { return openAppend(path, perm) }
