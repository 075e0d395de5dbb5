package watch

import (
	"errors"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// visitor is told what a scan meets.
type visitor struct {
	enter func(dir string) bool                 // before a folder is read; false ends the scan
	list  func(dir string, files []os.DirEntry) // what counts in it and is no folder, by name
	fail  func(dir string, err error)           // it could not be read
	all   func(dir string, n int)               // how many entries it has at all
}

// scan looks at dir, which lies in a root and is not ignored, and at all
// folders below it that are not. It follows no links: a loop of them would
// have no end. It reports false when it was ended.
func scan(s *sieve, root, dir string, v visitor) bool {
	return s.scan(root, dir, s.scopeFor(root, dir), v)
}

func (s *sieve) scan(root, dir string, outer *scope, v visitor) bool {
	if v.enter != nil && !v.enter(dir) {
		return false
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		if v.fail != nil && !errors.Is(err, fs.ErrNotExist) {
			v.fail(dir, err)
		}
		return true
	}
	if v.all != nil {
		v.all(dir, len(entries))
	}
	sc := s.enter(dir, entries, outer)
	if dir == root {
		s.tops[root] = sc
	}
	var folders []string
	files := entries[:0]
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case s.skips(root, path, e.IsDir(), sc):
		case e.IsDir():
			folders = append(folders, path)
		case s.counts(dir, e):
			files = append(files, e)
		}
	}
	if v.list != nil {
		v.list(dir, files)
	}
	for _, path := range folders {
		if !s.scan(root, path, sc, v) {
			return false
		}
	}
	return true
}

// scopeFor returns the scope around a folder of a root.
func (s *sieve) scopeFor(root, dir string) *scope {
	for dir != root {
		if dir = filepath.Dir(dir); dir == root {
			return s.tops[root]
		}
		if sc := s.scopes[dir]; sc != nil {
			return sc
		}
	}
	return s.above(root)
}

var seed = maphash.MakeSeed()

// signature is another for a file that was written, cut, or replaced. That it
// may be entered or executed by others does not count.
func signature(info os.FileInfo) uint64 {
	return maphash.Comparable(seed, [3]uint64{uint64(info.ModTime().UnixNano()), uint64(info.Size()), inode(info)})
}

// tick is how much behind our clock the times of files may be.
const tick = 10 * time.Millisecond
