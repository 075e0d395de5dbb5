package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Filter says which files count. What is ignored by any of its parts is, even
// if it has one of the endings.
type Filter struct {
	Ext         []string // ".py", ".d.ts"; none means all
	Ignore      []string // globs (doublestar) on the path below the root, or on any name in it; with / or ./ in front on the path alone
	Own         []string // files and folders of ours, absolute: our own writing must not restart the bot
	NoGitignore bool     // do not ask .gitignore files
}

// defaultIgnore is what changes without anybody having changed a program, in
// the language of .gitignore.
var defaultIgnore = []string{
	// Version control, caches, dependencies.
	".git", ".hg", ".svn", ".jj", "__pycache__", "*.pyc", "node_modules", ".venv", "venv", ".tox", ".nox",
	".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".idea", ".vscode",
	// The names by which sentinels and markers are taken away.
	"*.taken[0-9]*",
	// What ductor-update keeps until an upgrade is proven.
	".ductor-update-*",
	// Temporaries: of vim (swap files, and the file by which it tries whether
	// it may), of Emacs (locks, autosaves), backups of nearly all, JetBrains,
	// VS Code, Kate, GNOME, Kakoune, Zed and whatever uses Rust's tempfile,
	// programs that append .tmp or .tmp.PID, LibreOffice.
	"4913", "*.sw[a-px]", "*.swpx", ".#*", "#*#", "*~", "*___jb_tmp___", "*___jb_old___", "*___jb_bak___",
	"*.vsctmp", "*.kate-swp", ".goutputstream-*", ".*.kak.??????", ".tmp??????", "*.tmp", "*.tmp.[0-9]*", ".~lock.*",
	// What file systems and desktops leave.
	".nfs[0-9a-f]*", ".fuse_hidden*", ".DS_Store", "._*", ".directory", "Thumbs.db", "desktop.ini",
}

// Check refuses globs that match nothing because they are malformed.
func (f Filter) Check() error {
	for _, g := range f.Ignore {
		if !doublestar.ValidatePattern(g) {
			return fmt.Errorf("%q is not a glob", g)
		}
	}
	return nil
}

// sieve is a Filter at work. It belongs to one goroutine.
type sieve struct {
	Filter
	given    Filter // of which the other is what came of it
	anchored []string
	names    []rule
	scopes   map[string]*scope // of the folders that begin one
	tops     map[string]*scope // in which roots lie
	turned   bool              // some scope has changed
}

func newSieve(f Filter) *sieve {
	s := &sieve{Filter: f, given: f, scopes: map[string]*scope{}, tops: map[string]*scope{}}
	s.resolve()
	for _, line := range defaultIgnore {
		if r, ok := parseRule(line); ok {
			s.names = append(s.names, r)
		}
	}
	return s
}

// resolve finds out where paths lead now. Links are turned elsewhere.
func (s *sieve) resolve() {
	s.Own, s.Ignore, s.anchored = resolved(s.given.Own), nil, nil
	for _, g := range s.given.Ignore {
		if filepath.IsAbs(g) {
			g = filepath.ToSlash(g) // of Windows, where a backslash quotes nothing then
		}
		g = strings.TrimSuffix(g, "/")
		switch {
		case strings.HasPrefix(g, "./"):
			s.anchored = append(s.anchored, g[1:])
		case strings.HasPrefix(g, "/") || filepath.IsAbs(g):
			for _, path := range resolved([]string{g}) {
				s.anchored = append(s.anchored, filepath.ToSlash(path))
			}
		default:
			s.Ignore = append(s.Ignore, g)
		}
	}
}

// skips reports whether something is ignored whose folder is not.
func (s *sieve) skips(root, path string, isDir bool, sc *scope) bool {
	name := filepath.Base(path)
	return slices.ContainsFunc(s.Own, func(own string) bool { return inside(own, path) }) ||
		slices.ContainsFunc(s.names, func(r rule) bool { return r.matches(name, name, isDir) }) ||
		s.globbed(root, path, name) || sc.ignores(path, name, isDir)
}

func (s *sieve) globbed(root, path, name string) bool {
	if len(s.Ignore)+len(s.anchored) == 0 {
		return false
	}
	rel, err := filepath.Rel(root, path)
	rel, path = filepath.ToSlash(rel), filepath.ToSlash(path)
	return err == nil && (slices.ContainsFunc(s.Ignore, func(g string) bool {
		return doublestar.MatchUnvalidated(g, rel) || doublestar.MatchUnvalidated(g, name)
	}) || slices.ContainsFunc(s.anchored, func(g string) bool {
		return doublestar.MatchUnvalidated(g, "/"+rel) || doublestar.MatchUnvalidated(g, path)
	}))
}

// ignored reports whether something below a root is ignored, or lies in a
// folder that is. What is gone may have been a folder.
func (s *sieve) ignored(root, path string, isDir, gone bool) bool {
	sc := s.tops[root]
	for at := len(root); at < len(path); {
		end := strings.IndexByte(path[at+1:], filepath.Separator)
		if end < 0 {
			return s.skips(root, path, isDir, sc) || gone && s.skips(root, path, true, sc)
		}
		at += 1 + end
		if s.skips(root, path[:at], true, sc) {
			return true
		}
		if own := s.scopes[path[:at]]; own != nil {
			sc = own
		}
	}
	return false
}

// wanted reports whether a file's ending is one that counts. An ending may have
// more than one dot.
func (s *sieve) wanted(name string) bool {
	return len(s.Ext) == 0 || slices.ContainsFunc(s.Ext, func(ext string) bool { return strings.HasSuffix(name, ext) })
}

// never reports whether a name alone is enough to tell that it does not count:
// only what is new may be a folder, or a link to one, that is not known yet.
func (s *sieve) never(name string, created bool) bool {
	return !created && !s.wanted(name) || slices.ContainsFunc(s.names, func(r rule) bool { return r.matches(name, name, false) })
}

// counts reports whether an entry of a folder, which is not one itself, is to
// be watched. A link that leads to a folder is, by whatever name: it may be
// what a deployment turns. What is behind it is not.
func (s *sieve) counts(dir string, e os.DirEntry) bool {
	if s.wanted(e.Name()) {
		return true
	}
	return e.Type()&os.ModeSymlink != 0 && isDir(filepath.Join(dir, e.Name()))
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// inside reports whether path is dir or lies below it.
func inside(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, dir) && (path[len(dir)] == filepath.Separator || strings.HasSuffix(dir, string(filepath.Separator)))
}

// resolved adds what our own paths are without links, as events name them. A
// file need not be there yet.
func resolved(own []string) []string {
	all := slices.Clone(own)
	for _, path := range own {
		for dir, rest := path, ""; dir != filepath.Dir(dir); dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
			if real, err := filepath.EvalSymlinks(dir); err == nil {
				if found := filepath.Join(real, rest); found != path {
					all = append(all, found)
				}
				break
			}
		}
	}
	return all
}
