package version

import (
	"strings"

	pep440 "github.com/aquasecurity/go-pep440-version"

	"ductor/internal/common/exitcode"
)

// Specifiers is a set of conditions such as ">=3.9,!=3.10.*"; all must hold.
// The zero Specifiers admits every version.
type Specifiers struct {
	all  []condition
	text string
}

type condition struct {
	spec    pep440.Specifiers
	depth   int    // how many numbers are compared at most
	literal string // of "===", which compares text
}

// operators are in the order of trying: a longer one before its beginning.
var operators = []string{"===", "~=", "==", "!=", "<=", ">=", "<", ">"}

// ParseSpecifiers reads what requires-python holds. Installers take a project
// whose requires-python is malformed; whether to do so is up to the caller.
// Errors are DataErr.
func ParseSpecifiers(s string) (Specifiers, error) {
	specs := Specifiers{text: strings.TrimSpace(s)}
	for clause := range strings.SplitSeq(s, ",") {
		clause = strings.TrimSpace(clause)
		if clause == "" {
			continue // packaging allows ">=3,"
		}
		c, err := parseCondition(clause)
		if err != nil {
			return Specifiers{}, exitcode.Errorf(exitcode.DataErr, "specifier %.80q: %w", s, err)
		}
		specs.all = append(specs.all, c)
	}
	return specs, nil
}

// parseCondition hands the library normal forms only: it compares "==X.*" and
// "~=X" as text, and takes much that PEP 440 does not allow.
func parseCondition(clause string) (condition, error) {
	for _, op := range operators {
		rest, found := strings.CutPrefix(clause, op)
		if !found {
			continue
		}
		rest = strings.TrimSpace(rest)
		if op == "===" {
			return literal(clause, rest)
		}
		bare, wild := strings.CutSuffix(rest, ".*")
		v, err := Parse(bare)
		if err != nil {
			return condition{}, err
		}
		text := op + v.String()
		if wild {
			text += ".*"
		}
		spec, err := pep440.NewSpecifiers(text)
		if err != nil || wild && strings.ContainsAny(bare, " \t\n\r\f\v") {
			return condition{}, exitcode.Errorf(exitcode.DataErr, "%.80q is not a condition by PEP 440", clause)
		}
		return condition{spec: spec, depth: strings.Count(text, ".") + 1}, nil
	}
	return condition{}, exitcode.Errorf(exitcode.DataErr, "%.80q does not begin with a comparison", clause)
}

func literal(clause, rest string) (condition, error) {
	if rest == "" || strings.ContainsAny(rest, " \t\n\r\f\v") {
		return condition{}, exitcode.Errorf(exitcode.DataErr, "%.80q is not a condition by PEP 440", clause)
	}
	return condition{literal: rest}, nil
}

// Admits tells whether v meets all conditions. A pre-release is judged like
// any other version.
func (s Specifiers) Admits(v Version) bool {
	for _, c := range s.all {
		if !c.admits(v) {
			return false
		}
	}
	return true
}

func (c condition) admits(v Version) bool {
	if c.literal != "" {
		return strings.EqualFold(c.literal, v.String())
	}
	padded, err := pep440.Parse(v.padded(c.depth))
	return err == nil && c.spec.Check(padded)
}

// padded is v with a release of n numbers at least. The library finds that 3.9
// does not match "==3.9.0.*" otherwise.
func (v Version) padded(n int) string {
	end := strings.IndexFunc(v.text, func(r rune) bool { return !strings.ContainsRune("0123456789.!", r) })
	if end < 0 {
		end = len(v.text)
	}
	release := strings.TrimSuffix(v.text[:end], ".")
	missing := n - strings.Count(release, ".") - 1
	return release + strings.Repeat(".0", max(0, missing)) + v.text[len(release):]
}

// String is the text that was parsed.
func (s Specifiers) String() string { return s.text }
