// Package version orders versions: of Python packages by PEP 440, of GitHub
// releases by their tags.
//
// The two orders must not be mixed. Of 2,000 pairs of PEP 440 versions, one
// made for tags judges 1,110 wrongly.
package version

import (
	"errors"
	"strconv"
	"strings"

	pep440 "github.com/aquasecurity/go-pep440-version"

	"ductor/internal/common/exitcode"
)

// ErrTooLarge is in the chain of Parse's error when a version is legal, but
// has a number of more than 64 bits.
var ErrTooLarge = errors.New("has a number of more than 64 bits")

// Version is one version by PEP 440. The zero Version is no version.
//
// Comparing writes to memory that copies of a Version share, so a Version
// belongs to one goroutine.
type Version struct {
	parsed pep440.Version
	text   string // normal form
}

// Parse reads any spelling that PEP 440 allows: "v1.0-RC1" is 1.0rc1.
//
// Two things that Python's packaging takes are refused, as DataErr: numbers of
// more than 64 bits (ErrTooLarge; packaging has no limit), and letters outside
// ASCII that are equal to ASCII ones when case is ignored.
func Parse(s string) (Version, error) {
	text, err := localForm(strings.Trim(s, " \t\n\r\f\v"))
	if err != nil {
		return Version{}, exitcode.Errorf(exitcode.DataErr, "version %.80q %w", s, err)
	}
	parsed, err := pep440.Parse(text)
	if errors.Is(err, strconv.ErrRange) {
		return Version{}, exitcode.Errorf(exitcode.DataErr, "version %.80q %w", s, ErrTooLarge)
	}
	if err != nil || !ascii(text) {
		return Version{}, exitcode.Errorf(exitcode.DataErr, "%.80q is not a version by PEP 440", s)
	}
	return Version{parsed, parsed.String()}, nil
}

// localForm normalises the part after "+". The library takes "-" and "_" for
// parts of a word there, keeps leading zeros, and would order a number beyond
// 64 bits as a word.
func localForm(s string) (string, error) {
	public, local, has := strings.Cut(s, "+")
	if !has || local == "" || strings.Trim(local[len(local)-1:], "-_.") == "" {
		return s, nil // no local part, or one that the library refuses
	}
	words := strings.Split(strings.NewReplacer("-", ".", "_", ".").Replace(local), ".")
	for i, w := range words {
		if w == "" || strings.Trim(w, "0123456789") != "" {
			continue
		}
		n, err := strconv.ParseUint(w, 10, 64)
		if err != nil {
			return "", ErrTooLarge
		}
		words[i] = strconv.FormatUint(n, 10)
	}
	return public + "+" + strings.Join(words, "."), nil
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0
}

// String is the normal form, as an index shows it.
func (v Version) String() string { return v.text }

// IsZero tells the absence of a version.
func (v Version) IsZero() bool { return v.text == "" }

// IsPrerelease is true for aN, bN, rcN and devN.
func (v Version) IsPrerelease() bool { return v.parsed.IsPreRelease() }

// Release is the version without pre, post, dev and local parts. Installers
// hold requires-python against that of the interpreter.
func (v Version) Release() Version {
	base, err := Parse(v.parsed.BaseVersion())
	if err != nil {
		return Version{} // of the zero Version only
	}
	return base
}

// Compare is -1 if a is older than b, 0 if they are equal (1.0 and 1.0.0 are),
// and 1 if it is newer. The zero Version is older than all others.
func Compare(a, b Version) int {
	switch {
	case a.text == b.text:
		return 0
	case a.IsZero():
		return -1
	case b.IsZero():
		return 1
	}
	return a.parsed.Compare(b.parsed)
}
