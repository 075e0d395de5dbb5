package common_test

import (
	"bytes"
	"encoding/json"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pkg is what `go list` says of a package, as compiled for one system.
type pkg struct {
	ImportPath, Dir, Doc, Name string
	GoFiles, Imports, Deps     []string
}

func list(t *testing.T, goos string, patterns ...string) (pkgs []pkg) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Doc,Name,GoFiles,Imports,Deps"}, patterns...)...)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 { // not the folder of this test
			pkgs = append(pkgs, p)
		}
	}
	return pkgs
}

const common = "ductor/internal/common/"

var systems = []string{"linux", "darwin", "windows"}

// contract packages may have fewer than two tools as users: they are what the
// tools have to agree on. clitest is set-up of tests.
var contract = []string{"exitcode", "home", "sentinel", "clitest"}

// imports that a common package may have of its siblings; every other common
// package is a leaf, or has one.
var siblings = map[string][]string{
	"holder":   {"atomicfile", "exitcode", "jsonout", "lockfile", "process"}, // a record is an identity, in the envelope, beside a lock
	"cli":      {"buildinfo", "exitcode", "jsonout"},                         // help, errors and JSON in one voice
	"lockfile": {"exitcode"},
	"sentinel": {"atomicfile", "exitcode"},            // a malformed one is 65, whoever meets it
	"job":      {"process"},                           // whether the leader of a group lives
	"hold":     {"atomicfile", "lockfile", "process"}, // lines of identities, in a file that a lock guards
	"clitest":  {"process"},
}

// forbidden imports, each with its reason.
var forbidden = []struct{ importPath, allowedIn, reason string }{
	{"net/http", "^ductor/cmd/ductor-(update|sandbox)($|/)", "4 MB and an attack surface in programs that never use a network"},
	{"net", "^ductor/cmd/ductor-(update|sandbox)($|/)", "a supervisor is controlled by files, not by sockets"},
	{"github.com/docker/docker/client", "^ductor/cmd/ductor-sandbox($|/)", "10 MB, and kong keeps all of it"},
	{"github.com/alecthomas/kong", "^ductor/internal/common/cli$", "one wrapper handles its traps; below the verbs nobody sees flags"},
	{"testing", "^ductor/internal/common/clitest$", "it registers flags and belongs in no program"},
}

func TestCommonIsAFolderNotAPackage(t *testing.T) {
	files, _ := filepath.Glob("*.go")
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") {
			t.Errorf("%s: a file directly in internal/common belongs to no noun", f)
		}
	}
	for _, p := range list(t, "linux", "./...") {
		switch name := strings.TrimPrefix(p.ImportPath, common); name {
		case "util", "utils", "helper", "helpers", "shared", "types", "misc", "common":
			t.Errorf("package %s: name it for what it holds", name)
		}
	}
}

func TestCommonPackagesAreSmallLeaves(t *testing.T) {
	for _, goos := range systems {
		for _, p := range list(t, goos, "./...") {
			name := strings.TrimPrefix(p.ImportPath, common)
			// The verbs of the test language are one noun, and in no program.
			if lines := countLines(t, p); lines > 350 && name != "clitest" {
				t.Errorf("%s on %s: %d lines; about 300 are one noun, more are two", name, goos, lines)
			}
			for _, imp := range p.Imports {
				switch sib, isSib := strings.CutPrefix(imp, common); {
				case isSib && !slices.Contains(siblings[name], sib):
					t.Errorf("%s imports %s: common packages are leaves (see siblings in this test)", name, sib)
				case strings.HasPrefix(imp, "ductor/cmd/"):
					t.Errorf("%s imports a tool: %s", name, imp)
				}
			}
			checkDoc(t, name, p.Doc)
		}
	}
}

func countLines(t *testing.T, p pkg) (n int) {
	for _, f := range p.GoFiles {
		data, err := os.ReadFile(filepath.Join(p.Dir, f))
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(data, []byte("\n"))
	}
	return n
}

// checkDoc: a first sentence with "and" in it describes two packages.
func checkDoc(t *testing.T, name, doc string) {
	if doc == "" {
		t.Errorf("%s has no doc sentence", name)
	}
	first, _, _ := strings.Cut(doc, ". ")
	if regexp.MustCompile(`^Package \S+ .* and `).MatchString(first) {
		t.Errorf("%s: %q holds two nouns", name, first)
	}
}

func TestCommonPackagesHaveTwoUsers(t *testing.T) {
	users := map[string][]string{}
	for _, goos := range systems {
		for _, p := range list(t, goos, "ductor/cmd/...") {
			for _, dep := range p.Deps {
				tool := strings.Split(p.ImportPath, "/")[2]
				if name, ok := strings.CutPrefix(dep, common); ok && !slices.Contains(users[name], tool) {
					users[name] = append(users[name], tool)
				}
			}
		}
	}
	for _, p := range list(t, "linux", "./...") {
		name := strings.TrimPrefix(p.ImportPath, common)
		if len(users[name]) < 2 && !slices.Contains(contract, name) {
			t.Errorf("%s is used by %v only: it belongs into that tool", name, users[name])
		}
	}
}

func TestToolsNeverImportEachOther(t *testing.T) {
	for _, goos := range systems {
		for _, p := range list(t, goos, "ductor/cmd/...") {
			own := strings.Join(strings.Split(p.ImportPath, "/")[:3], "/")
			for _, imp := range p.Deps {
				if strings.HasPrefix(imp, "ductor/cmd/") && imp != own && !strings.HasPrefix(imp, own+"/") {
					t.Errorf("%s depends on %s: tools meet in exit codes, files and JSON", p.ImportPath, imp)
				}
			}
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	for _, goos := range systems {
		for _, p := range list(t, goos, "ductor/cmd/...", "ductor/internal/...") {
			for _, f := range forbidden {
				// kong brings net (for IP addresses); what we import ourselves is what counts.
				if slices.Contains(p.Imports, f.importPath) && !regexp.MustCompile(f.allowedIn).MatchString(p.ImportPath) {
					t.Errorf("%s imports %s: %s", p.ImportPath, f.importPath, f.reason)
				}
			}
		}
	}
}

// TestMainsAreThin: main is a seam, and everything behind it can be tested.
func TestMainsAreThin(t *testing.T) {
	for _, p := range list(t, "linux", "ductor/cmd/...") {
		if p.Name != "main" {
			continue
		}
		path := filepath.Join(p.Dir, "main.go")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(data, []byte("\n")); n > 40 {
			t.Errorf("%s has %d lines, 40 are allowed", path, n)
		}
		if _, err := parser.ParseFile(token.NewFileSet(), path, data, 0); err != nil {
			t.Error(err)
		}
		for _, f := range p.GoFiles {
			src, _ := os.ReadFile(filepath.Join(p.Dir, f))
			if f != "main.go" && bytes.Contains(src, []byte("os.Exit(")) {
				t.Errorf("%s: only main exits", f)
			}
		}
	}
}
