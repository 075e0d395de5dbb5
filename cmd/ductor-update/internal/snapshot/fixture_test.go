package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// entry is all that can be seen of a file.
type entry struct {
	mode    fs.FileMode
	time    time.Time
	content string // or what a link points to
}

func (e entry) String() string { return fmt.Sprintf("%v %v %.40q", e.mode, e.time.UTC(), e.content) }

type tree map[string]entry

// look reads everything below prefix, without dir. Pipes are not opened.
func look(t *testing.T, prefix, dir string) tree {
	t.Helper()
	all := tree{}
	must(t, filepath.WalkDir(prefix, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == prefix {
			return err
		}
		if path == dir {
			return filepath.SkipDir
		}
		rel, _ := filepath.Rel(prefix, path)
		all[filepath.ToSlash(rel)] = lookAt(t, path)
		return nil
	}))
	return all
}

func lookAt(t *testing.T, path string) entry {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	e := entry{mode: info.Mode(), time: info.ModTime()}
	switch {
	case info.Mode().IsRegular():
		data, err := os.ReadFile(path)
		must(t, err)
		e.content = string(data)
	case info.Mode().Type() == fs.ModeSymlink:
		e.content, err = os.Readlink(path)
		must(t, err)
		if runtime.GOOS == "windows" {
			e.time = time.Time{}
		}
	}
	return e
}

// diff compares; the times of the folders in touched do not count.
func diff(want, got tree, touched ...string) string {
	var out strings.Builder
	names := slices.Sorted(maps.Keys(want))
	for name := range got {
		if _, ok := want[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		w, inWant := want[name]
		g, inGot := got[name]
		if slices.Contains(touched, name) {
			w.time, g.time = time.Time{}, time.Time{}
		}
		if inWant != inGot || w.mode != g.mode || w.content != g.content || !w.time.Equal(g.time) {
			fmt.Fprintf(&out, "%s:\n\twant %v %v\n\tgot  %v %v\n", name, inWant, w, inGot, g)
		}
	}
	return out.String()
}

const site = "lib/python3.11/site-packages"

var parts = []string{site, "bin", "share", "pipx_metadata.json"}

// above are the folders that parts come and go in.
var above = []string{"lib", "lib/python3.11"}

// env is an environment by hand.
type env struct {
	t           *testing.T
	prefix, dir string
	parts       []string
}

func newEnv(t *testing.T) env { return envIn(t, t.TempDir()) }

func envIn(t *testing.T, tmp string) env {
	t.Helper()
	e := env{t, filepath.Join(tmp, "größe 1"), filepath.Join(tmp, "größe 1", ".undo"), parts}
	e.write("bin/ductor", "#!python old", "bin/activate", "# venv", "pipx_metadata.json", "{old}", "pyvenv.cfg", "home = /usr/bin",
		site+"/ductor_bot/__init__.py", "old", site+"/ductor_bot/gone.py", "gone in the new version", site+"/ductor_bot/deep/er/x.txt", "x",
		site+"/ductor_bot/__pycache__/__init__.pyc", "old bytes", site+"/ductor_bot/table.txt", "the bot's, old",
		site+"/six.py", "six", site+"/mine.py", "the user's, before", site+"/kind", "a file")
	e.record("ductor-1.0", "ductor_bot/__init__.py", "ductor_bot/gone.py", "ductor_bot/deep/er/x.txt", "six.py", "kind", "../../../bin/ductor")
	must(t, os.MkdirAll(e.at(site+"/empty"), 0o755))
	return e
}

func (e env) at(path string) string { return filepath.Join(e.prefix, filepath.FromSlash(path)) }

// write takes pairs of path and content. The times are old, and have nanoseconds.
func (e env) write(pairs ...string) {
	e.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		path := e.at(pairs[i])
		at := time.Unix(1_600_000_000+int64(i), 123_456_700)
		must(e.t, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(pairs[i+1]), 0o644), os.Chtimes(path, at, at))
	}
}

// record writes the dist-info of a package.
func (e env) record(name string, files ...string) {
	info := name + ".dist-info/"
	list := ""
	for _, f := range append(files, info+"METADATA", info+"RECORD") {
		list += "\"" + f + "\",sha256=x,1\n"
	}
	e.write(site+"/"+info+"METADATA", "Version: "+name, site+"/"+info+"RECORD", list)
}

func (e env) remove(paths ...string) {
	e.t.Helper()
	for _, p := range paths {
		unlockAll(e.at(p))
		must(e.t, os.RemoveAll(e.at(p)))
	}
}

func (e env) look() tree { return look(e.t, e.prefix, e.dir) }

func (e env) take() { e.t.Helper(); must(e.t, Take(e.prefix, e.dir, e.parts)) }

func (e env) restore() {
	e.t.Helper()
	must(e.t, Restore(e.prefix, e.dir))
	if Whole(e.dir) {
		e.t.Error("still whole after it was put back")
	}
}

// upgrade does what an installer, the bot and its user do.
func (e env) upgrade() {
	e.remove(site+"/ductor-1.0.dist-info", site+"/ductor_bot/gone.py", site+"/kind", site+"/ductor_bot/__pycache__")
	e.write("bin/ductor", "#!python new", "bin/ductor-extra", "new script", "pipx_metadata.json", "{new}", "share/man/ductor.1", "page",
		site+"/ductor_bot/__init__.py", "new", site+"/ductor_bot/new.py", "new", site+"/ductor_bot/__pycache__/new.pyc", "new",
		site+"/kind/listed.txt", "new", site+"/~uctor_bot/x.txt", "leftover of pip", site+"/newdep/__init__.py", "new")
	e.record("ductor-2.0", "ductor_bot/__init__.py", "ductor_bot/new.py", "kind/listed.txt", "newdep/__init__.py", "../../../bin/ductor",
		"../../../bin/ductor-extra", "../../../share/man/ductor.1", e.at("share/absolute"))
	e.write("share/absolute", "listed so")
}

// use leaves files of the user's, and returns what has to be there after the
// environment was put back, by path.
func (e env) use() (users map[string]string) {
	before := []string{"bin/note", "a note", "share/mine/note", "another", site + "/ductor_bot/data/db", "rows", site + "/newdep/cache", "rows"}
	aside := []string{site + "/plug.py", "code", site + "/ductor_bot/table.txt", "the bot's, newer", site + "/kind/users", "in a folder that was a file",
		site + "/mine.py", "the user's, changed"}
	e.write(before...)
	e.write(aside...)
	must(e.t, os.MkdirAll(e.at(site+"/ductor_bot/data/void"), 0o755))
	users = map[string]string{}
	for i := 0; i < len(before); i += 2 {
		users[before[i]] = before[i+1]
	}
	for i := 0; i < len(aside); i += 2 {
		users[aside[i]+Suffix] = aside[i+1]
	}
	delete(users, site+"/kind/users"+Suffix)
	users[site+"/kind"+Suffix+"/users"] = "in a folder that was a file"
	return users
}

// check fails unless the environment is as before, and has the user's files.
func (e env) check(before tree, users map[string]string) {
	e.t.Helper()
	got := e.look()
	touched := slices.Clone(above)
	for name, content := range users {
		if got[name].content != content {
			e.t.Errorf("%s: %q, not %q", name, got[name].content, content)
		}
		for ; name != "."; name = filepath.ToSlash(filepath.Dir(name)) {
			if _, ok := before[name]; !ok {
				delete(got, name)
			}
			touched = append(touched, name)
		}
	}
	delete(got, site+"/ductor_bot/data/void")
	if d := diff(before, got, touched...); d != "" {
		e.t.Error(d)
	}
}
