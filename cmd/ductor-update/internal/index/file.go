package index

import (
	"strconv"
	"strings"
)

// archives are the endings of source distributions that pip unpacks.
var archives = []string{".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz", ".tar.lzma", ".tar"}

// dist is what the name of a file says.
type dist struct {
	version string
	tags    []string // python, abi, platform of a wheel; nil for a source distribution
}

// parseFileName takes the names of wheels and source distributions of one
// project, and refuses those of another.
func parseFileName(name, project string) (dist, bool) {
	if stem, isWheel := strings.CutSuffix(name, ".whl"); isWheel {
		parts := strings.Split(stem, "-")
		if len(parts) != 5 && (len(parts) != 6 || strings.Trim(parts[2][:min(1, len(parts[2]))], "0123456789") != "") {
			return dist{}, false
		}
		return dist{strings.ReplaceAll(parts[1], "_", "-"), parts[len(parts)-3:]}, normalName(parts[0]) == project
	}
	for _, ending := range archives {
		stem, found := strings.CutSuffix(name, ending)
		if !found {
			continue
		}
		for i, r := range stem { // the name may have dashes too
			if r == '-' && normalName(stem[:i]) == project {
				return dist{version: stem[i+1:]}, true
			}
		}
		return dist{}, false
	}
	return dist{}, false
}

// system is what wheels are made for.
type system struct {
	minor int    // of Python 3, -1 if it is not known
	goos  string // of the interpreter
}

// fits judges a wheel by its tags (PEP 425), roughly: it takes the interpreter
// for a CPython 3, and looks neither at the processor nor at the age of the
// system's C library.
func (d dist) fits(s system) bool {
	if d.tags == nil {
		return true
	}
	return anyOf(d.tags[2], s.fitsPlatform) && anyOf(d.tags[0], func(python string) bool {
		return anyOf(d.tags[1], func(abi string) bool { return s.fitsPython(python, abi) })
	})
}

func anyOf(tags string, ok func(string) bool) bool {
	for tag := range strings.SplitSeq(tags, ".") {
		if ok(tag) {
			return true
		}
	}
	return false
}

func (s system) fitsPlatform(tag string) bool {
	switch s.goos {
	case "windows":
		return tag == "any" || strings.HasPrefix(tag, "win")
	case "darwin":
		return tag == "any" || strings.HasPrefix(tag, "macosx_")
	}
	return tag == "any" || strings.Contains(tag, "linux")
}

// fitsPython: "py3", "py39" and up to this Python; "cp39" exactly, or up to
// this one when the ABI is the stable one.
func (s system) fitsPython(python, abi string) bool {
	rest, pure := strings.CutPrefix(python, "py3")
	if !pure {
		var c bool
		if rest, c = strings.CutPrefix(python, "cp3"); !c {
			return false
		}
	}
	if rest == "" || s.minor < 0 {
		return pure || s.minor < 0
	}
	minor, err := strconv.Atoi(rest)
	switch {
	case err != nil:
		return false
	case pure && abi == "none", abi == "abi3":
		return minor <= s.minor
	}
	return minor == s.minor
}
