package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ductor/internal/common/exitcode"
)

// points are the mount points in the container's own home.
func (q Query) points() []string {
	all := []string{".claude", ".codex"}
	dirs := []string{filepath.Join(q.Home, workspace)}
	for _, e := range q.Extra {
		dirs = append(dirs, filepath.Dir(e.Path))
	}
	for _, p := range dirs { // of an owner who is called node
		if rel, ok := below(p, homeInside); ok {
			all = append(all, rel)
		}
	}
	return all
}

func (q Query) makePoints() error {
	dir := filepath.Join(q.Home, own)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return exitcode.File(exitcode.CantCreat, fmt.Errorf("open the container's home: %w", err))
	}
	defer root.Close()
	for _, p := range q.points() {
		at := ""
		for part := range strings.SplitSeq(p, "/") {
			at = path.Join(at, part)
			if err := makePoint(root, at); err != nil {
				return exitcode.File(exitcode.CantCreat, fmt.Errorf("create a folder of %q: %w", dir, err))
			}
		}
	}
	return nil
}

// makePoint moves aside what is no folder, a link to one included: a command can
// put there what it likes, and would lock its bot out for ever. It tries again
// when somebody else does the same at the same time.
func makePoint(root *os.Root, name string) (err error) {
	for range 10 {
		var info fs.FileInfo
		switch info, err = root.Lstat(name); {
		case err == nil && info.IsDir():
			return nil
		case err == nil:
			err = setAside(root, name)
		case errors.Is(err, fs.ErrNotExist):
			err = root.Mkdir(name, 0o700)
		}
	}
	return err
}

// setAside renames what is no folder to a free name, and follows no link. An empty
// file holds that name: so nothing is overwritten, and what has become a folder
// meanwhile stays, as it cannot take the place of a file.
func setAside(root *os.Root, name string) error {
	for n := 1; ; n++ {
		free := fmt.Sprintf("%s.%d", name, n)
		f, err := root.OpenFile(free, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err = errors.Join(f.Close(), root.Rename(name, free)); err != nil {
			return errors.Join(err, root.Remove(free))
		}
		return nil
	}
}
