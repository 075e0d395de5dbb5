package watch

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
)

// TestGitignoreLikeGit compares with git itself, on random trees and rules.
func TestGitignoreLikeGit(t *testing.T) {
	clitest.Need(t, "git")
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	cases, ignored := 0, 0
	for range rounds {
		dir := realTemp(t)
		run(t, dir, "git", "init", "-q")
		all := randomTree(t, rnd, dir)
		want := gitIgnored(t, dir, all)
		got := ours(t, dir, all)
		cases += len(all)
		ignored += len(want)
		if !slices.Equal(got, want) {
			t.Errorf("git ignores %q,\nwe          %q\n%s", want, got, rulesIn(dir, all))
		}
	}
	t.Logf("%d paths, %d of them ignored", cases, ignored)
	if ignored < cases/20 || ignored > cases*19/20 {
		t.Errorf("%d of %d paths are ignored, which tells little", ignored, cases)
	}
}

func run(t *testing.T, dir string, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() > 1) {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return out
}

// names are short and alike, so that rules hit.
var names = []string{"a", "b", "ab", "ba", "foo", "foobar", "a.py", "b.log", ".x", "[a]", "{a,b}", "a b", "a*", `b\`, "!a", "#b", "A", "7", "build"}

// randomTree makes folders, files and rules, and returns the paths below dir.
func randomTree(t *testing.T, rnd *rand.Rand, dir string) (all []string) {
	t.Helper()
	for range 60 {
		path := make([]string, 1+rnd.IntN(4))
		for i := range path {
			path[i] = names[rnd.IntN(len(names))]
		}
		full := filepath.Join(dir, filepath.Join(path...))
		if os.MkdirAll(filepath.Dir(full), 0o700) != nil {
			continue // a file is in the way
		}
		if rnd.IntN(3) == 0 {
			_ = os.Mkdir(full, 0o700)
		} else if !exists(full) {
			write(t, full, "")
		}
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			t.Error(err)
		case d.Name() == ".git":
			return filepath.SkipDir
		case d.IsDir() && (path == dir || rnd.IntN(3) == 0):
			write(t, filepath.Join(path, ".gitignore"), randomRules(rnd))
		case rnd.IntN(100) == 0 && path != dir:
			write(t, filepath.Join(dir, ".git/info/exclude"), randomRules(rnd))
		}
		if path != dir {
			rel, _ := filepath.Rel(dir, path)
			all = append(all, filepath.ToSlash(rel))
		}
		return nil
	})
	slices.Sort(all)
	return all
}

func randomRules(rnd *rand.Rand) string {
	var rules strings.Builder
	for range 1 + rnd.IntN(5) {
		rules.WriteString(randomRule(rnd))
		rules.WriteString([]string{"\n", "\n", "\n", "\r\n", " \n"}[rnd.IntN(5)])
	}
	return rules.String()
}

var atoms = []string{"*", "*", "**", "?", "a", "b", "foo", "o", ".py", ".log", "[ab]", "[!a]", "[^b]", "[a-f]", "[]a]", "[a", "[[:alpha:]]", "[[:digit:]b]",
	"[![:upper:]]", "[:a:]", "[[:nope:]]", "[z-a]", `\*`, `\[`, `\\`, `\`, `\a`, "{a,b}", "{", "}", " ", `\ `, "#", "!", ",", "build", "[/]", "[!-~]", `[\]]`, `[a\-z]`, "[a-]", "***"}

func randomRule(rnd *rand.Rand) string {
	if rnd.IntN(12) == 0 {
		return []string{"", "#comment", "!", "/", "//", "**", "**/", "/**", "!*/", "*", "a//b", "/a/", `\!a`, `\#b`, "a/", "**/a/**", "a/**/b"}[rnd.IntN(17)]
	}
	var rule strings.Builder
	if rnd.IntN(4) == 0 {
		rule.WriteString("!")
	}
	if rnd.IntN(5) == 0 {
		rule.WriteString("/")
	}
	for i := range 1 + rnd.IntN(3) {
		if i > 0 {
			rule.WriteString("/")
		}
		if rnd.IntN(3) == 0 {
			rule.WriteString(names[rnd.IntN(len(names))])
			continue
		}
		for range 1 + rnd.IntN(3) {
			rule.WriteString(atoms[rnd.IntN(len(atoms))])
		}
	}
	if rnd.IntN(5) == 0 {
		rule.WriteString("/")
	}
	return rule.String()
}

func gitIgnored(t *testing.T, dir string, all []string) (found []string) {
	t.Helper()
	list := filepath.Join(t.TempDir(), "list")
	write(t, list, strings.Join(all, "\x00"))
	out := run(t, dir, "sh", "-c", `git check-ignore --no-index -z --stdin <"$0"`, list)
	for name := range bytes.SplitSeq(out, []byte{0}) {
		if len(name) > 0 {
			found = append(found, string(name))
		}
	}
	slices.Sort(found)
	return found
}

// ours is what the scan leaves out, without the default list.
func ours(t *testing.T, dir string, all []string) (found []string) {
	t.Helper()
	s := newSieve(Filter{})
	s.names = nil
	if r, ok := parseRule(".git"); ok {
		s.names = append(s.names, r)
	}
	seen := map[string]bool{}
	scan(s, dir, dir, visitor{list: func(folder string, entries []os.DirEntry) {
		seen[folder] = true
		for _, e := range entries {
			seen[filepath.Join(folder, e.Name())] = true
		}
	}})
	for _, rel := range all {
		path := filepath.Join(dir, rel)
		if !seen[path] {
			found = append(found, rel)
		}
		// What events are judged by must agree with the scan.
		if s.ignored(dir, path, isDir(path), false) == seen[path] {
			t.Errorf("%q: seen is %v, and an event says the same of ignored", rel, seen[path])
		}
	}
	return found
}

func rulesIn(dir string, all []string) string {
	var text strings.Builder
	for _, rel := range append(all, ".git/info/exclude") {
		if data, err := os.ReadFile(filepath.Join(dir, rel)); err == nil && len(data) > 0 {
			fmt.Fprintf(&text, "%s: %q\n", rel, data)
		}
	}
	return text.String()
}
