package path

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWindows: PATH comes from the registry there, and stays as it is.
func TestWindows(t *testing.T) {
	home := t.TempDir()
	dir := func(words ...string) string { return filepath.Join(append([]string{home}, words...)...) }
	env := map[string]string{"APPDATA": dir("Roaming"), "LOCALAPPDATA": dir("Local"), "NVM_SYMLINK": dir("nodejs")}
	r := Recipe{Home: home, GOOS: "windows", Getenv: func(k string) string { return env[k] }}
	for _, d := range []string{dir("own"), dir("sys"), dir("Roaming", "npm"), dir("Local", "Volta", "bin"), dir(".local", "bin"), dir(".bun", "bin"), dir("Roaming", "fnm", "aliases", "default"), dir("nodejs")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.Own = []string{dir("own"), dir("none")}
	caller := []string{`%SystemRoot%\system32`, dir("sys"), `Z:\later`, `"C:\a`, `b"`}
	r.Caller = strings.Join(caller, ";") + ";;" + strings.ToUpper(dir("sys")) + ";" + strings.ToUpper(dir("NodeJS"))
	want := append([]string{dir("own")}, caller...)
	want = append(want, strings.ToUpper(dir("nodejs")), dir("Roaming", "npm"), dir("Local", "Volta", "bin"), dir(".local", "bin"), dir(".bun", "bin"), dir("Roaming", "fnm", "aliases", "default"))
	if got := r.Folders(); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if r.Path() != strings.Join(want, ";") {
		t.Error(r.Path())
	}
}

func TestWindowsWithNothing(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := errors.Join(os.MkdirAll("npm", 0o755), os.MkdirAll(filepath.Join("aliases", "default"), 0o755)); err != nil {
		t.Fatal(err)
	}
	r := Recipe{Home: dir, GOOS: "windows", Getenv: func(string) string { return "" }, Caller: "C:\\Windows"}
	if got := r.Folders(); !slices.Equal(got, []string{"C:\\Windows"}) {
		t.Errorf("%q", got)
	}
}

func TestHas(t *testing.T) {
	for dir, want := range map[string]bool{
		"/p/node_modules/.bin": true, "/p/node_modules/.bin/x": true, "/p/node_modules/x/.bin": false, "/p/xnode_modules/.bin": false, "/p/node_modules": false, "": false,
	} {
		if got := has(dir, "node_modules", ".bin"); got != want {
			t.Errorf("%q: %v", dir, got)
		}
	}
}
