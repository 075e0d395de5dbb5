package watch

import (
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// rule is one line of a .gitignore. The glob is matched by doublestar, which
// this program needs anyway; what git's globs mean that its do not, and the
// other way round, is in translate.
//
// The libraries that read .gitignore files would not do: on the trees and rules
// of TestGitignoreLikeGit they judge one path in 16 (go-git v5.19, which also
// brings 414 KB) or in 18 (sabhiram/go-gitignore, of 2021) otherwise than git.
type rule struct {
	prefix  string // without any special character
	glob    string // what follows it
	whole   bool   // on the path below the file's folder; else on the name alone
	negated bool
	folder  bool // matches folders only
	suffix  bool // the glob is a star with nothing special behind it, for a name
}

func (r rule) matches(rel, name string, isDir bool) bool {
	if r.folder && !isDir {
		return false
	}
	text := name
	if r.whole {
		text = rel
	}
	rest, ok := strings.CutPrefix(text, r.prefix)
	switch {
	case !ok:
		return false
	case r.glob == "":
		return rest == ""
	case r.suffix: // most are like *.log
		return strings.HasSuffix(rest, r.glob[1:])
	}
	ok, _ = doublestar.Match(r.glob, rest)
	return ok
}

// special are the characters that doublestar has a use for.
const special = `*?[\{}`

// parseRule reads a line of which nothing has to be trimmed any more.
func parseRule(line string) (r rule, ok bool) {
	line, r.negated = strings.CutPrefix(line, "!")
	line, r.folder = strings.CutSuffix(line, "/")
	if line == "" {
		return r, false
	}
	r.whole = strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	// Git compares what is in front of the first special character by itself,
	// so that in foo**/bar the stars stand at the beginning and match folders.
	n := strings.IndexAny(line, `*?[\`)
	if n < 0 {
		n = len(line)
	}
	r.prefix = line[:n]
	if r.glob, ok = translate(line[n:], r.whole); !ok {
		return r, false
	}
	r.suffix = !r.whole && strings.HasPrefix(r.glob, "*") && !strings.ContainsAny(r.glob[1:], special)
	return r, doublestar.ValidatePattern(r.glob)
}

// translate turns a glob of wildmatch, git's matcher, into one of doublestar:
// braces are not special to git, two stars are only as a part of a path, and
// a pair at the end matches what is below a folder, not the folder.
func translate(glob string, whole bool) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(glob); {
		switch c := glob[i]; c {
		case '\\':
			if i++; i == len(glob) {
				return "", false // git: matches nothing
			}
			literal(&out, glob[i])
			i++
		case '*':
			n := len(glob[i:]) - len(strings.TrimLeft(glob[i:], "*"))
			if whole && n > 1 && i+n == len(glob) && strings.HasPrefix(glob, "**") && strings.Trim(glob[:i], "*/") == "" && !strings.Contains("/"+glob, "/*/") {
				return "**", true // pairs alone match nothing, too
			}
			out.WriteString(stars(glob, i, n, whole))
			i += n
		case '[':
			class, n, ok := translateClass(glob[i:])
			if !ok {
				return "", false
			}
			out.WriteString(class)
			i += n
		case '?':
			out.WriteByte(c)
			i++
		default:
			literal(&out, c)
			i++
		}
	}
	return out.String(), true
}

func stars(glob string, i, n int, whole bool) string {
	end := glob[i+n:]
	switch {
	case n < 2 || !whole || i > 0 && glob[i-1] != '/' || end != "" && end[0] != '/' && !strings.HasPrefix(end, `\/`):
		return "*"
	case end == "" && i > 0:
		return "**/*"
	case end != "" && end[0] == '\\': // git looks for a plain slash where it lets two stars match nothing
		return "*/**"
	}
	return "**"
}

func literal(out *strings.Builder, c byte) {
	if strings.IndexByte(special, c) >= 0 {
		out.WriteByte('\\')
	}
	out.WriteByte(c)
}
