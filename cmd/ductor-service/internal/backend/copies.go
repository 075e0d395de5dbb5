package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// keepCopy writes what is about to be replaced beside it, under the first free
// name that ends in .bak, .bak.1, .bak.2 …: a copy of before may be all that is
// left of something.
func keepCopy(path string, data []byte) (string, error) {
	for n, name := 0, path+".bak"; ; n, name = n+1, fmt.Sprintf("%s.bak.%d", path, n+1) {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = f.Write(data)
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(name)
			return "", err
		}
		return name, nil
	}
}

// removeCopies takes back what keepCopy made.
func removeCopies(paths []string) {
	for _, p := range paths {
		_ = os.Remove(p)
	}
}
