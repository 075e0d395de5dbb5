package version

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ductor/internal/common/exitcode"
)

// TestOrder has the traps of PEP 440, oldest first; those in a row are equal.
func TestOrder(t *testing.T) {
	rows := [][]string{
		{"0.9"}, {"1.0.dev1"}, {"1.0a1.dev1"}, {"1.0a1", "1.0.alpha-1", "v1.0A1"}, {"1.0a9"}, {"1.0a10"}, {"1.0b1"},
		{"1.0rc1", "1.0c1", "1.0-preview1"}, {"1.0rc2"},
		{"1.0", "1", "1.0.0", "0!1"}, {"1.0+abc"}, {"1.0+abc.1", "1.0+ABC-1", "1.0+abc_01"}, {"1.0+5"}, {"1.0+10"},
		{"1.0.post1.dev1"}, {"1.0.post1", "1.0-1", "1.0.rev1", "1.0r1"}, {"1.1"}, {"1.10"}, {"20260223"}, {"1!0"},
	}
	for i, row := range rows {
		for j, other := range rows {
			for _, a := range row {
				for _, b := range other {
					want := min(max(i-j, -1), 1)
					if got := Compare(parse(t, a), parse(t, b)); got != want {
						t.Errorf("Compare(%q, %q) = %d, want %d", a, b, got, want)
					}
				}
			}
		}
	}
}

func TestNoVersion(t *testing.T) {
	var none Version
	if !none.IsZero() || none.String() != "" || none.IsPrerelease() || !none.Release().IsZero() {
		t.Errorf("%+v", none)
	}
	old := parse(t, "0.dev0")
	if Compare(none, old) != -1 || Compare(old, none) != 1 || Compare(none, none) != 0 {
		t.Error("no version is not the oldest")
	}
}

func TestRelease(t *testing.T) {
	for text, want := range map[string]string{"3.13.0rc1": "3.13.0", "3.12.1+debian": "3.12.1", "1!2.post3.dev4": "1!2"} {
		if got := parse(t, text).Release().String(); got != want {
			t.Errorf("the release of %q is %q, want %q", text, got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, text := range []string{"", " ", "v", "1.", "1..2", "1.0+", "1.0+a..b", "1.0+a.", "latest", "1.0;rm", "1.x", "1.0.po\u017ft1", "１.0", "1\x1b[31m"} {
		v, err := Parse(text)
		if exitcode.Of(err) != exitcode.DataErr || errors.Is(err, ErrTooLarge) {
			t.Errorf("Parse(%q) = %q, %v", text, v, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%q: an escape gets through: %q", text, err)
		}
	}
}

func TestNumbersBeyond64Bits(t *testing.T) {
	const big = "20260223123456789012345"
	for _, text := range []string{big + ".0", "1.0a" + big, "1.0.post" + big, "1.dev" + big, big + "!1", "1.0+" + big, "1.0+a-" + big} {
		v, err := Parse(text)
		if !errors.Is(err, ErrTooLarge) || exitcode.Of(err) != exitcode.DataErr || !strings.Contains(err.Error(), "64 bits") {
			t.Errorf("Parse(%q) = %q, %v", text, v, err)
		}
	}
	parse(t, "1.0+g"+big) // a word
}

func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	_, inVersion := Parse(long)
	_, inSpecifier := ParseSpecifiers(">=" + long)
	_, inTag := ParseTag(long)
	for _, err := range []error{inVersion, inSpecifier, inTag} {
		if err == nil || len(err.Error()) > 400 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
}

// TestSpecifiersThatTheLibraryTakes are not PEP 440's, or compared wrongly.
func TestSpecifiersThatTheLibraryTakes(t *testing.T) {
	for _, text := range []string{"*", "3.9", "=3.9", ">=3.9||>=3.10", ">=3.9>=3.8", ">=3.6.*", "~=3", "== 3.9 .*", "===", "==3.9.dev1.*"} {
		if s, err := ParseSpecifiers(text); exitcode.Of(err) != exitcode.DataErr {
			t.Errorf("ParseSpecifiers(%q) = %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", " ", ",", "~=v3.9", "~=3.09", "==v3.11.*", ">=3.9,", "===3.11.7"} {
		s, err := ParseSpecifiers(text)
		if err != nil || !s.Admits(parse(t, "3.11.7")) || s.String() != strings.TrimSpace(text) {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
}

// TestTags are in ascending order.
func TestTags(t *testing.T) {
	tags := []string{"v0.9", "v1.0.0-alpha", "1.0.0-rc.1", "v1.0.0-rc.2", "v1.0", "1.0.1", "v1.9.0", "v1.10.0", "v2"}
	for i, a := range tags {
		for j, b := range tags {
			x, errA := ParseTag(a)
			y, errB := ParseTag(b)
			if got := CompareTags(x, y); errA != nil || errB != nil || got != min(max(i-j, -1), 1) {
				t.Errorf("CompareTags(%q, %q) = %d, %v, %v", a, b, got, errA, errB)
			}
		}
	}
	var pre []string
	for _, s := range tags {
		if tag, _ := ParseTag(s); tag.IsPrerelease() {
			pre = append(pre, tag.String())
		}
	}
	if want := []string{"1.0.0-alpha", "1.0.0-rc.1", "1.0.0-rc.2"}; !slices.Equal(pre, want) {
		t.Errorf("pre-releases: %q", pre)
	}
	var none Tag
	one, _ := ParseTag("v0.0.0-0")
	if !none.IsZero() || none.IsPrerelease() || none.String() != "" || CompareTags(none, one) != -1 || CompareTags(one, none) != 1 || CompareTags(none, none) != 0 {
		t.Error("no tag is not the oldest")
	}
}

func TestTagErrors(t *testing.T) {
	for _, s := range []string{"", "v", "release-1.2", "vv1", "1.0.post1", "1!2", "99999999999999999999", "nightly", "v1\x1b[31m", "v1.0\n"} {
		tag, err := ParseTag(s)
		if exitcode.Of(err) != exitcode.DataErr {
			t.Errorf("ParseTag(%q) = %v, %v", s, tag, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%q: an escape gets through: %q", s, err)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("1.0", "1.0.0", "1.0.post1")
	f.Add("1!2.0a1.dev1+a.1", "1.0rc1", "v1-1+ubuntu_2")
	f.Add("18446744073709551616", "1.0+18446744073709551616", "1.0.po\u017ft1")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var vs []Version
		for _, s := range []string{a, b, c} {
			v, err := Parse(s)
			if err == nil {
				again, err := Parse(v.String())
				if err != nil || again.String() != v.String() || Compare(v, again) != 0 {
					t.Errorf("the normal form of %q is %q, and that of it %q, %v", s, v, again, err)
				}
			}
			vs = append(vs, v)
		}
		for _, x := range vs {
			for _, y := range vs {
				if Compare(x, y) != -Compare(y, x) {
					t.Errorf("%q and %q: %d and %d", x, y, Compare(x, y), Compare(y, x))
				}
			}
		}
		slices.SortFunc(vs, Compare)
		if Compare(vs[0], vs[1]) > 0 || Compare(vs[1], vs[2]) > 0 || Compare(vs[0], vs[2]) > 0 {
			t.Errorf("no order: %q", vs)
		}
	})
}

func FuzzSpecifiers(f *testing.F) {
	f.Add(">=3.9,!=3.10.*", "3.11.7")
	f.Add("~=1!2.0a1,===x", "1!2.0")
	f.Add("==1.0+a-1", "1.0+a.1")
	f.Add("~=1.0.post1.*,<2.dev0", "1.0.post1")
	f.Fuzz(func(t *testing.T, specifiers, text string) {
		s, err := ParseSpecifiers(specifiers)
		v, verr := Parse(text)
		if err != nil || verr != nil {
			return
		}
		admitted := s.Admits(v)
		both, err := ParseSpecifiers(specifiers + "," + specifiers)
		if err != nil || both.Admits(v) != admitted {
			t.Errorf("%q twice: %v, %v", specifiers, both, err)
		}
	})
}

func FuzzTag(f *testing.F) {
	f.Add("v1.2.3-rc.1+meta", "1.2")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, errA := ParseTag(a)
		y, errB := ParseTag(b)
		if (errA == nil) == x.IsZero() || (errB == nil) == y.IsZero() || CompareTags(x, y) != -CompareTags(y, x) {
			t.Errorf("%q, %q: %v, %v", a, b, x, y)
		}
	})
}
