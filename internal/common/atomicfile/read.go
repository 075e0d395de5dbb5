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

// Open opens a regular file for reading, and never waits.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("read %q: %w", path, ErrNoFile)
	}
	return f, nil
}
