package version

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// golden calls do with each row of a table that golden.py wrote, and demands
// that there are enough.
func golden(t *testing.T, name string, enough int, do func(cells []string)) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	unescape := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t")
	rows := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")[1:]
	if len(rows) < enough {
		t.Fatalf("%s has %d rows", name, len(rows))
	}
	for _, row := range rows {
		cells := strings.Split(row, "\t")
		for i := range cells {
			cells[i] = unescape.Replace(cells[i])
		}
		do(cells)
	}
}

func parse(t *testing.T, s string) Version {
	t.Helper()
	v, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestOrderIsThatOfPackaging(t *testing.T) {
	perSet := map[string]int{}
	golden(t, "pairs.tsv", 6000, func(c []string) {
		want, err := strconv.Atoi(c[3])
		if err != nil {
			t.Fatal(err)
		}
		perSet[c[0]]++
		a, b := parse(t, c[1]), parse(t, c[2])
		if got := Compare(a, b); got != want {
			t.Errorf("%s: Compare(%q, %q) = %d, want %d", c[0], c[1], c[2], got, want)
		}
		if got := Compare(b, a); got != -want {
			t.Errorf("%s: Compare(%q, %q) = %d, want %d", c[0], c[2], c[1], got, -want)
		}
	})
	if perSet["A"] < 2000 || perSet["B"] < 2000 || perSet["C"] < 2000 {
		t.Errorf("pairs in the sets: %v", perSet)
	}
}

// TestParseIsThatOfPackaging compares what is taken, what is refused, the
// normal form, and what is a pre-release.
func TestParseIsThatOfPackaging(t *testing.T) {
	huge := regexp.MustCompile(`[0-9]{20}`)
	golden(t, "strings.tsv", 2000, func(c []string) {
		v, err := Parse(c[0])
		switch {
		case errors.Is(err, ErrTooLarge) && huge.MatchString(c[1]):
		case c[1] == "-" && err == nil:
			t.Errorf("Parse(%q) = %q, want an error", c[0], v)
		case c[1] != "-" && (err != nil || v.String() != c[1]):
			t.Errorf("Parse(%q) = %q, %v, want %q", c[0], v, err, c[1])
		case c[1] != "-" && v.IsPrerelease() != (c[2] == "1"):
			t.Errorf("%q: pre-release %v", c[0], v.IsPrerelease())
		}
	})
}

func TestSpecifiersAreThoseOfPackaging(t *testing.T) {
	golden(t, "specifiers.tsv", 4000, func(c []string) {
		s, err := ParseSpecifiers(c[0])
		if (err != nil) != (c[2] == "-") {
			t.Errorf("ParseSpecifiers(%q): %v, packaging says %s", c[0], err, c[2])
			return
		}
		if got := err == nil && s.Admits(parse(t, c[1])); got != (c[2] == "1") {
			t.Errorf("%q admits %q: %v", c[0], c[1], got)
		}
	})
}
