package version

import (
	hashicorp "github.com/hashicorp/go-version"

	"ductor/internal/common/exitcode"
)

// Tag is the version that a tag of a Git repository names: "v1.2.3",
// "1.2.3-rc.1". It is never a version by PEP 440.
type Tag struct {
	parsed *hashicorp.Version
}

// ParseTag reads a whole tag by the rules of semver, with or without a leading
// "v", and with one number or more instead of three. Tags with anything in
// front ("release-1.2") are refused. Errors are DataErr.
func ParseTag(s string) (Tag, error) {
	parsed, err := hashicorp.NewVersion(s)
	if err != nil {
		return Tag{}, exitcode.Errorf(exitcode.DataErr, "tag %.80q is not a version", s)
	}
	return Tag{parsed}, nil
}

// String is the version without "v", and with three numbers at least; the
// zero Tag is "".
func (t Tag) String() string {
	if t.parsed == nil {
		return ""
	}
	return t.parsed.String()
}

// IsZero tells the absence of a tag.
func (t Tag) IsZero() bool { return t.parsed == nil }

// IsPrerelease is true for "1.0.0-rc.1".
func (t Tag) IsPrerelease() bool { return t.parsed != nil && t.parsed.Prerelease() != "" }

// CompareTags is -1, 0 or 1 by the order of semver; the zero Tag is older than
// all others.
func CompareTags(a, b Tag) int {
	switch {
	case a.parsed == nil && b.parsed == nil:
		return 0
	case a.parsed == nil:
		return -1
	case b.parsed == nil:
		return 1
	}
	return a.parsed.Compare(b.parsed)
}
