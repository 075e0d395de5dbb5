package watch

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// scope is what the .gitignore files from the top of a repository down to a
// folder say. Folders without such a file share the scope of the one above.
type scope struct {
	outer *scope // nil at the top
	dir   string
	rules []rule
	sig   uint64 // of the files that the rules came from
}

// ignores reports whether something in a folder of the scope is ignored, if
// its folder is not. As in gitignore(5) the last rule of the innermost file
// that says anything decides.
func (s *scope) ignores(path, name string, isDir bool) bool {
	for ; s != nil; s = s.outer {
		rel := path
		if len(path) > len(s.dir) {
			rel = filepath.ToSlash(strings.TrimPrefix(path[len(s.dir):], string(filepath.Separator)))
		}
		for _, r := range slices.Backward(s.rules) {
			if r.matches(rel, name, isDir) {
				return !r.negated
			}
		}
	}
	return false
}

// repository makes git's own part of the scope of a folder that has a .git:
// what is above it belongs to somebody else. The user's global file is left
// out: it is named by git's configuration, whose includes and conditions only
// git knows, and speaks of the litter of editors, which is ignored anyway.
func repository(dir string) *scope {
	s := &scope{dir: dir}
	if exclude := filepath.Join(commonDir(filepath.Join(dir, ".git")), "info", "exclude"); exclude != "" {
		s.rules, s.sig = readRules(exclude)
	}
	return s
}

// commonDir follows the .git file of a worktree or submodule to the folder
// that has info/exclude.
func commonDir(dotgit string) string {
	dir := dotgit
	if to, ok := strings.CutPrefix(firstLine(dotgit), "gitdir: "); ok {
		dir = against(filepath.Dir(dotgit), to)
	}
	if to := firstLine(filepath.Join(dir, "commondir")); to != "" {
		dir = against(dir, to)
	}
	return dir
}

func against(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func firstLine(path string) string {
	line, _, _ := bytes.Cut(readSome(path), []byte("\n"))
	return strings.TrimRight(string(line), "\r")
}

// rulesMost bounds what is read of one file.
const rulesMost = 1 << 20

func readSome(path string) []byte {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() { // a pipe would make us wait
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, rulesMost))
	return data
}

func readRules(path string) ([]rule, uint64) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0
	}
	return parseRules(readSome(path)), signature(info)
}

// parseRules reads a .gitignore, as git's dir.c does.
func parseRules(data []byte) (rules []rule) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		text := strings.TrimSuffix(string(line), "\r")
		if strings.HasPrefix(text, "#") {
			continue
		}
		if r, ok := parseRule(trimSpaces(text)); ok {
			rules = append(rules, r)
		}
	}
	return rules
}

// trimSpaces removes the spaces at the end that no backslash keeps.
func trimSpaces(line string) string {
	end := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case ' ':
			continue
		case '\\':
			i++
		}
		end = i + 1
	}
	return line[:min(end, len(line))]
}

// enter returns the scope of a folder that has been read. It is kept for the
// events that come later.
func (s *sieve) enter(dir string, entries []os.DirEntry, outer *scope) *scope {
	if s.NoGitignore {
		return nil
	}
	has := func(name string) bool {
		_, found := slices.BinarySearchFunc(entries, name, func(e os.DirEntry, n string) int { return cmp.Compare(e.Name(), n) })
		return found
	}
	return s.scopeOf(dir, has(".git"), has(".gitignore"), outer)
}

func (s *sieve) scopeOf(dir string, repo, file bool, outer *scope) *scope {
	old := s.scopes[dir]
	made := outer
	if repo {
		made = repository(dir)
	}
	if file {
		if rules, sig := readRulesUnless(filepath.Join(dir, ".gitignore"), old); sig != 0 {
			made = &scope{outer: made, dir: dir, rules: rules, sig: sig}
		}
	}
	switch {
	case made == outer:
		if old != nil {
			delete(s.scopes, dir)
			s.turned = true
		}
		return outer
	case old.same(made):
		return old
	}
	s.turned = s.turned || !old.says(made)
	s.scopes[dir] = made
	return made
}

// readRulesUnless reads a file again only if it is another.
func readRulesUnless(path string, old *scope) ([]rule, uint64) {
	if info, err := os.Stat(path); err == nil && old != nil && old.sig == signature(info) {
		return old.rules, old.sig
	}
	return readRules(path)
}

// same reports that the old scope does as well as the new one.
func (s *scope) same(made *scope) bool {
	return s.says(made) && (s.outer == made.outer || s.outer != nil && made.outer != nil && s.outer.dir == s.dir && s.outer.same(made.outer))
}

func (s *scope) says(made *scope) bool {
	return s != nil && made != nil && s.sig == made.sig && s.dir == made.dir
}

// above makes the scope that a root begins with: that of the folders from the
// repository's top down to it. A root that this repository ignores is not its
// business, or nothing of what was asked for would be watched.
func (s *sieve) above(root string) *scope {
	if s.NoGitignore || exists(filepath.Join(root, ".git")) {
		return nil
	}
	var path []string
	for dir := filepath.Dir(root); ; dir = filepath.Dir(dir) {
		path = append(path, dir)
		if exists(filepath.Join(dir, ".git")) {
			break
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
	var sc *scope
	slices.Reverse(path)
	for i, dir := range path {
		sc = s.scopeOf(dir, i == 0, exists(filepath.Join(dir, ".gitignore")), sc)
		next := root
		if i+1 < len(path) {
			next = path[i+1]
		}
		if sc.ignores(next, filepath.Base(next), true) {
			return nil
		}
	}
	return sc
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
