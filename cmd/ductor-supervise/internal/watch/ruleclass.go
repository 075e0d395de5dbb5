package watch

import (
	"strings"
	"unicode/utf8"
)

// posixClasses are those that wildmatch knows, for ASCII.
var posixClasses = map[string]string{
	"alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "blank": " \t", "cntrl": "\x01-\x1f\x7f", "digit": "0-9", "graph": "!-~",
	"lower": "a-z", "print": " -~", "punct": "!-/:-@[-`{-~", "space": "\t-\r ", "upper": "A-Z", "xdigit": "0-9A-Fa-f",
}

// translateClass turns the bracket expression at the beginning of glob into one
// of doublestar, and returns how long it was. One that is not closed, or names
// a class that does not exist, matches nothing.
func translateClass(glob string) (class string, n int, ok bool) {
	i, negated := 1, false
	if i < len(glob) && (glob[i] == '!' || glob[i] == '^') {
		i, negated = 2, true
	}
	var set classSet
	for begin := i; i < len(glob); {
		if glob[i] == ']' && i > begin {
			return set.glob(negated), i + 1, true
		}
		if name, n, isClass := className(glob[i:]); isClass {
			if posixClasses[name] == "" {
				return "", 0, false
			}
			set.addAll(posixClasses[name])
			i += n
			continue
		}
		lo, hi, next := classRange(glob, i)
		set.add(lo, hi)
		i = next
	}
	return "", 0, false
}

// className reads [:NAME:].
func className(glob string) (name string, n int, ok bool) {
	rest, ok := strings.CutPrefix(glob, "[:")
	end := strings.IndexByte(rest, ']')
	if !ok || end < 1 || rest[end-1] != ':' {
		return "", 0, false
	}
	return rest[:end-1], end + 3, true
}

// classRange reads a character, or two with a dash between.
func classRange(glob string, i int) (lo, hi rune, next int) {
	lo, next = classChar(glob, i)
	if next+1 < len(glob) && glob[next] == '-' && glob[next+1] != ']' {
		hi, next = classChar(glob, next+1)
		return lo, hi, next
	}
	return lo, lo, next
}

// classChar reads one character, in front of which may be a backslash.
func classChar(glob string, i int) (rune, int) {
	if glob[i] == '\\' && i+1 < len(glob) {
		i++
	}
	r, n := utf8.DecodeRuneInString(glob[i:])
	return r, i + n
}

// classSet is a set of characters.
type classSet struct{ ranges [][2]rune }

func (s *classSet) add(lo, hi rune) {
	if lo <= hi {
		s.ranges = append(s.ranges, [2]rune{lo, hi})
	}
}

// addAll takes pairs with a dash between, and single characters.
func (s *classSet) addAll(spec string) {
	for i := 0; i < len(spec); i++ {
		if i+2 < len(spec) && spec[i+1] == '-' {
			s.add(rune(spec[i]), rune(spec[i+2]))
			i += 2
		} else {
			s.add(rune(spec[i]), rune(spec[i]))
		}
	}
}

// glob never lets the set match a slash, as it is with git and not with
// doublestar.
func (s *classSet) glob(negated bool) string {
	var out strings.Builder
	if negated {
		out.WriteString(`[^\/`)
	} else {
		out.WriteString("[\\\x00") // which is in no name, for sets that are empty
	}
	for _, r := range s.ranges {
		if !negated && r[0] <= '/' && '/' <= r[1] {
			writeRange(&out, r[0], '/'-1)
			r[0] = '/' + 1
		}
		writeRange(&out, r[0], r[1])
	}
	out.WriteByte(']')
	return out.String()
}

func writeRange(out *strings.Builder, lo, hi rune) {
	if lo > hi {
		return
	}
	out.WriteByte('\\')
	out.WriteRune(lo)
	if hi > lo {
		out.WriteString(`-\`)
		out.WriteRune(hi)
	}
}
