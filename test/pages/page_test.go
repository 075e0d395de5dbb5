// Package pages_test compares the pages with the programs, in both directions:
// what a program has and its page does not say is a defect, and so is what the
// page says and the program does not have.
package pages_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
)

func TestMain(m *testing.M) {
	// Under the race detector every program sleeps for a second before it exits.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	clitest.Main(m)
}

// page is a man page, as lines of mdoc.
type page struct {
	name  string // as in man/
	lines []string
}

func readPage(t *testing.T, name string) page {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(clitest.Root(), "man", name))
	if err != nil {
		t.Fatal(err)
	}
	return page{name, strings.Split(string(data), "\n")}
}

// section returns the lines of a section, its subsections included.
func (p page) section(t *testing.T, title string) page {
	t.Helper()
	return p.cut(t, ".Sh ", title)
}

// subsection returns the lines of a subsection.
func (p page) subsection(t *testing.T, title string) page {
	t.Helper()
	return p.cut(t, ".Ss ", title)
}

func (p page) cut(t *testing.T, macro, title string) page {
	t.Helper()
	start := slices.Index(p.lines, macro+title)
	if start < 0 {
		t.Fatalf("%s has no %q", p.name, macro+title)
	}
	rest := p.lines[start+1:]
	end := slices.IndexFunc(rest, func(l string) bool {
		return strings.HasPrefix(l, ".Sh ") || macro == ".Ss " && strings.HasPrefix(l, ".Ss ")
	})
	if end < 0 {
		end = len(rest)
	}
	return page{p.name + ", " + title, rest[:end]}
}

// titles lists the subsections.
func (p page) titles() (titles []string) {
	for _, l := range p.lines {
		if title, ok := strings.CutPrefix(l, ".Ss "); ok {
			titles = append(titles, title)
		}
	}
	return titles
}

// find returns the first group of each line that matches.
func (p page) find(pattern string) (found []string) {
	re := regexp.MustCompile(pattern)
	for _, l := range p.lines {
		if m := re.FindStringSubmatch(l); m != nil {
			found = append(found, m[1])
		}
	}
	return found
}

// item returns the lines of the item that starts with head.
func (p page) item(t *testing.T, head string) page {
	t.Helper()
	start := slices.IndexFunc(p.lines, func(l string) bool { return l == head || strings.HasPrefix(l, head+" ") })
	if start < 0 {
		t.Fatalf("%s has no %q", p.name, head)
	}
	rest := p.lines[start+1:]
	end := slices.IndexFunc(rest, func(l string) bool { return strings.HasPrefix(l, ".It ") || strings.HasPrefix(l, ".Ss ") })
	if end < 0 {
		end = len(rest)
	}
	return page{p.name + ", " + head, rest[:end]}
}

// fields lists the keys that a part of a page describes.
func fields(p page) []string { return p.find(`^\.It Va (.*)`) }

var flagWord = regexp.MustCompile(`(?:^| )-([a-z][a-z-]*)(?: |$)`)

// flags lists the long options in lines that match the pattern, up to the
// group.
func (p page) flags(pattern string) (names []string) {
	for _, words := range p.find(pattern) {
		for _, word := range strings.Split(words, " ") {
			if m := flagWord.FindStringSubmatch(word); m != nil && len(m[1]) > 1 {
				names = append(names, m[1])
			}
		}
	}
	return names
}

// same compares two sets and names what is in one of them only.
func same(t *testing.T, what, whereA string, a []string, whereB string, b []string) {
	t.Helper()
	if len(a)+len(b) == 0 {
		t.Errorf("%s: nothing found in %s nor in %s", what, whereA, whereB)
	}
	for _, x := range missing(a, b) {
		t.Errorf("%s: %q is in %s, but not in %s", what, x, whereA, whereB)
	}
	for _, x := range missing(b, a) {
		t.Errorf("%s: %q is in %s, but not in %s", what, x, whereB, whereA)
	}
}

// missing returns what of a is not in b.
func missing(a, b []string) (only []string) {
	for _, x := range a {
		if !slices.Contains(b, x) && !slices.Contains(only, x) {
			only = append(only, x)
		}
	}
	return only
}

// tools lists the folders of cmd/.
func tools(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(clitest.Root(), "cmd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// constants returns the values of the string constants of a type in a source
// file: of packages that are internal to a tool.
func constants(t *testing.T, path, typeName string) (values []string) {
	t.Helper()
	for _, decl := range parse(t, path).Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			if id, ok := v.Type.(*ast.Ident); ok && id.Name == typeName {
				for _, e := range v.Values {
					values = append(values, text(e)...)
				}
			}
		}
	}
	return values
}

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(clitest.Root(), path), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// text returns the string literals below a node.
func text(n ast.Node) (values []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				values = append(values, s)
			}
		}
		return true
	})
	return values
}
