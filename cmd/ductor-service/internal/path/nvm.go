package path

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ductor/internal/common/atomicfile"
)

// nvm has no shims, only folders with versions in their names: what its shell
// function does for a new shell is done here (nvm.sh: nvm_resolve_alias,
// nvm_version).

const (
	maxAlias   = 1024 // bytes of an alias file; a version has ten
	maxAliases = 32   // that lead from one to the next
)

// nvmDefault is the folder of programs of the version that new shells get, or
// "" if there is none, or if they get the system's.
func nvmDefault(root string) string {
	if root == "" {
		return ""
	}
	dir := filepath.Join(root, "versions", "node")
	v := choose(follow(func(name string) string { return alias(root, name) }, "default"), installed(dir))
	if v.name == "" {
		return ""
	}
	return filepath.Join(dir, v.name, "bin")
}

// version is the name of a folder, and its numbers: v9 comes before v22.
type version struct {
	name    string
	numbers []int
}

// installed are the versions whose node is there.
func installed(dir string) []version {
	entries, _ := os.ReadDir(dir)
	var have []version
	for _, e := range entries {
		n := numbers(e.Name())
		if n != nil && e.Name()[0] == 'v' && executable(filepath.Join(dir, e.Name(), "bin", "node")) {
			have = append(have, version{e.Name(), n})
		}
	}
	return have
}

// alias is what an alias file says, or "" if there is none that says something.
func alias(root, name string) string {
	if !filepath.IsLocal(name) {
		return ""
	}
	data, err := atomicfile.Read(filepath.Join(root, "alias", filepath.FromSlash(name)), maxAlias)
	if err != nil {
		return ""
	}
	for _, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return ""
}

// follow goes from alias to alias (default, lts/*, lts/jod, v22.14.0) to a word
// that is none. "" means that they lead nowhere.
func follow(alias func(string) string, name string) string {
	for range maxAliases {
		next := alias(name)
		if next == "" {
			return name
		}
		name = next
	}
	return ""
}

// choose is the highest installed version that a word means. If there is none,
// it is less strict than nvm, which then has no node at all: the same major
// version (aliases of LTS lines name the last one that nvm has heard of), or
// any (node, stable, no alias, one that makes no sense).
func choose(word string, have []version) version {
	if word == "system" {
		return version{}
	}
	want := numbers(word)
	for n := len(want); n >= 0; n-- {
		if v := highest(have, want[:n]); v.name != "" {
			return v
		}
	}
	return version{}
}

// highest is the highest version that starts with these numbers.
func highest(have []version, prefix []int) (best version) {
	for _, v := range have {
		if len(v.numbers) >= len(prefix) && slices.Equal(v.numbers[:len(prefix)], prefix) && slices.Compare(v.numbers, best.numbers) > 0 {
			best = v
		}
	}
	return best
}

// numbers reads 22, v22.1 or v22.14.0; nil means that it is something else.
func numbers(word string) []int {
	var all []int
	for _, part := range strings.Split(strings.TrimPrefix(word, "v"), ".") {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil
		}
		all = append(all, int(n))
	}
	return all
}
