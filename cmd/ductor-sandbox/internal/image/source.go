package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"ductor/internal/common/exitcode"
)

// Dockerfile is what is built where the user names no other.
//
//go:embed Dockerfile.sandbox
var Dockerfile []byte

const (
	maxDockerfile = 1 << 20
	maxContext    = 256 << 20 // it is built in memory
)

// inContext is the Dockerfile's name in what the daemon gets: one that no
// folder of a user's has.
const inContext = ".ductor.dockerfile"

// Source is what an image is built from.
type Source struct {
	Path string // of the Dockerfile; "" is the one in this program

	// Context is a folder whose files COPY can take, for tests. The program
	// sends the Dockerfile and nothing else: a folder would need .dockerignore,
	// would put secrets into layers, and would have to be part of the hash.
	Context string
}

// Hash is the SHA-256 of the Dockerfile, in hex: the label LabelDockerfile. It
// says nothing about base images or packages, which change behind it.
func (s Source) Hash() (string, error) {
	data, err := s.read()
	if err != nil {
		return "", err
	}
	return hash(data), nil
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// read returns the Dockerfile. The codes are 64 for a path that names none, 65
// for a file that cannot be one, 77 for a forbidden one.
func (s Source) read() ([]byte, error) {
	if s.Path == "" {
		return Dockerfile, nil
	}
	// A FIFO would block at open, a device has no end.
	switch info, err := os.Stat(s.Path); {
	case errors.Is(err, fs.ErrPermission):
		return nil, exitcode.File(exitcode.Usage, err)
	case err != nil:
		return nil, exitcode.Errorf(exitcode.Usage, "read Dockerfile %q: %w", s.Path, bare(err))
	case info.IsDir():
		return nil, exitcode.Errorf(exitcode.Usage, "read Dockerfile %q: it is a folder", s.Path).WithHint("name the file in it")
	case !info.Mode().IsRegular():
		return nil, exitcode.Errorf(exitcode.Usage, "read Dockerfile %q: it is no regular file", s.Path)
	}
	return readFile(s.Path)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, exitcode.File(exitcode.Usage, fmt.Errorf("read Dockerfile %q: %w", path, bare(err)))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDockerfile+1))
	switch {
	case err != nil:
		return nil, exitcode.Errorf(exitcode.IOErr, "read Dockerfile %q: %w", path, bare(err))
	case len(data) > maxDockerfile:
		return nil, exitcode.Errorf(exitcode.DataErr, "read Dockerfile %q: larger than %d KiB", path, maxDockerfile>>10)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, exitcode.Errorf(exitcode.DataErr, "read Dockerfile %q: it is empty", path)
	case bytes.IndexByte(data, 0) >= 0:
		return nil, exitcode.Errorf(exitcode.DataErr, "read Dockerfile %q: it is not text", path)
	}
	return data, nil
}

// bare drops the operation and path from an error that is quoted already.
func bare(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// pack makes the archive that the daemon builds from. Times and owners are
// left out, so that equal content is equal for the daemon's cache.
func (s Source) pack(dockerfile []byte) (*bytes.Buffer, error) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	if err := addFile(tw, inContext, 0o644, dockerfile); err != nil {
		return nil, err
	}
	if s.Context != "" {
		if err := addFolder(tw, s.Context, &buf); err != nil {
			return nil, fmt.Errorf("pack folder %q: %w", s.Context, err)
		}
	}
	return &buf, tw.Close()
}

func addFile(tw *tar.Writer, name string, mode int64, data []byte) error {
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := tw.Write(data)
	return err
}

// addFolder takes regular files, folders and symbolic links, in the order of
// their names.
func addFolder(tw *tar.Writer, dir string, sofar *bytes.Buffer) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return addEntry(tw, path, filepath.ToSlash(rel), d, sofar)
	})
}

func addEntry(tw *tar.Writer, path, name string, d fs.DirEntry, sofar *bytes.Buffer) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch {
	case d.IsDir():
		return tw.WriteHeader(&tar.Header{Name: name + "/", Mode: 0o755, Typeflag: tar.TypeDir})
	case d.Type() == fs.ModeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return tw.WriteHeader(&tar.Header{Name: name, Linkname: target, Mode: 0o777, Typeflag: tar.TypeSymlink})
	case !d.Type().IsRegular():
		return fmt.Errorf("%q is no file", name)
	case int64(sofar.Len())+info.Size() > maxContext:
		return fmt.Errorf("larger than %d MiB", maxContext>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return addFile(tw, name, 0o644|int64(info.Mode().Perm()&0o111), data)
}
