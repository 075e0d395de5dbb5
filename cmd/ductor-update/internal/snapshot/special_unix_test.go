//go:build unix

package snapshot

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

// TestPipesAndSockets are neither opened nor lost, whoever made them.
func TestPipesAndSockets(t *testing.T) {
	e := newEnv(t)
	must(t, syscall.Mkfifo(e.at("bin/before"), 0o600))
	before := e.look()
	e.take()
	must(t, syscall.Mkfifo(e.at(site+"/ductor_bot/later"), 0o600))
	e.upgrade()
	users := e.use()
	users[site+"/ductor_bot/later"], users["bin/before"] = "", ""
	e.restore()
	e.check(before, users)
	if info, err := os.Lstat(e.at(site + "/ductor_bot/later")); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Error(info, err)
	}
}

// TestPartsThatCannotBeKept are refused while there is still a choice.
func TestPartsThatCannotBeKept(t *testing.T) {
	e := newEnv(t)
	must(t, syscall.Mkfifo(e.at("pipe"), 0o600), os.Symlink("lib", e.at("lib64")), os.Symlink(t.TempDir(), e.at("out")))
	for _, part := range []string{"pipe", "lib64", "out", "out/x"} {
		if err := Take(e.prefix, e.dir, []string{"bin", part}); exitcode.Of(err) != exitcode.Unavailable || there(e.dir) {
			t.Errorf("%s: %v", part, err)
		}
	}
	must(t, Take(e.prefix, e.dir, []string{"."})) // a link among others is one
}

// TestTwoNamesOfOneFolder: Fedora's lib64 is a link to lib.
func TestTwoNamesOfOneFolder(t *testing.T) {
	e := newEnv(t)
	must(t, os.Symlink("lib", e.at("lib64")))
	before := e.look()
	must(t, Take(e.prefix, e.dir, append([]string{"lib64/python3.11/site-packages"}, parts...)))
	e.upgrade()
	users := e.use()
	e.restore()
	e.check(before, users)
}

// TestNotThroughALink: a file of the user's does not leave the environment.
func TestNotThroughALink(t *testing.T) {
	e := newEnv(t)
	outside := t.TempDir()
	must(t, os.Symlink(outside, e.at("bin/data")))
	before := e.look()
	e.take()
	must(t, os.Remove(e.at("bin/data")))
	e.write("bin/data/x", "mine")
	e.restore()
	e.check(before, map[string]string{"bin/data" + Suffix + "/x": "mine"})
	if names, err := os.ReadDir(outside); err != nil || len(names) > 0 {
		t.Error(names, err)
	}
}

// TestReadOnlyFolders, the parts themselves among them, and files that come
// back into them.
func TestReadOnlyFolders(t *testing.T) {
	asUser(t)
	e := userEnv(t)
	for _, p := range []string{"bin", site + "/ductor_bot/deep", site} {
		must(t, os.Chmod(e.at(p), 0o555))
	}
	t.Cleanup(func() { unlockAll(e.prefix) })
	before := e.look()
	e.take()
	must(t, os.Chmod(e.at("bin"), 0o755))
	e.write("bin/note", "a note")
	must(t, os.Chmod(e.at("bin"), 0o555), os.Chmod(e.at(site+"/ductor_bot/deep"), 0o755))
	e.write(site+"/ductor_bot/deep/er/y.txt", "mine", site+"/ductor_bot/deep/er/x.txt", "changed")
	must(t, os.Chmod(e.at(site+"/ductor_bot/deep"), 0))
	e.restore()
	e.check(before, map[string]string{"bin/note": "a note", site + "/ductor_bot/deep/er/y.txt": "mine"})
	must(t, Remove(e.dir))
}

func TestUnreadable(t *testing.T) {
	asUser(t)
	for _, p := range []string{"bin/activate", site + "/ductor_bot/deep"} {
		e := userEnv(t)
		must(t, os.Chmod(e.at(site), 0o555), os.Chmod(e.at(p), 0))
		t.Cleanup(func() { unlockAll(e.prefix) })
		if err := Take(e.prefix, e.dir, parts); exitcode.Of(err) != exitcode.NoPerm || there(e.dir) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// TestCannotBeMoved: when one part cannot be moved, none is, and a later call
// can.
func TestCannotBeMoved(t *testing.T) {
	asUser(t)
	e := userEnv(t)
	before := e.look()
	must(t, Take(e.prefix, e.dir, []string{"bin", "share", "pipx_metadata.json", site}))
	e.upgrade()
	users := e.use()
	must(t, os.Chmod(e.at("bin"), 0o555), os.Chmod(e.at("lib/python3.11"), 0o555))
	t.Cleanup(func() { unlockAll(e.prefix) })
	used := e.look()
	if err := Restore(e.prefix, e.dir); exitcode.Of(err) != exitcode.NoPerm || !Whole(e.dir) {
		t.Error(err)
	}
	if d := diff(used, e.look(), above...); d != "" {
		t.Error(d)
	}
	must(t, os.Chmod(e.at("lib/python3.11"), 0o755))
	e.restore()
	e.check(before, users)
}

func TestRandomAsUser(t *testing.T) {
	asUser(t)
	for range 10 {
		random(t, userEnv(t), newRand(t))
	}
}

// TestDeep is deeper than anybody nests.
func TestDeep(t *testing.T) {
	e := newEnv(t)
	deep := site
	for range 300 {
		deep = filepath.Join(deep, "d")
	}
	e.write(deep+"/x", "x")
	before := e.look()
	e.take()
	e.remove(site)
	e.restore()
	e.check(before, nil)
	must(t, Remove(e.dir))
}

// TestRealVenv works again, with the pip that was half gone.
func TestRealVenv(t *testing.T) {
	clitest.Need(t, "python3")
	prefix := filepath.Join(t.TempDir(), "my venv")
	if out, err := exec.Command("/usr/bin/python3", "-m", "venv", prefix).CombinedOutput(); err != nil {
		clitest.Lacking(t, "venv", "apt-get install python3-venv; "+string(out))
	}
	version := func() (string, error) {
		out, err := exec.Command(filepath.Join(prefix, "bin", "python"), "-m", "pip", "--version").CombinedOutput()
		return string(out), err
	}
	want, err := version()
	must(t, err)
	dir := filepath.Join(prefix, ".undo")
	folders, err := filepath.Glob(filepath.Join(prefix, "lib", "python*", "site-packages"))
	if err != nil || len(folders) != 1 {
		t.Fatal(folders, err)
	}
	rel, err := filepath.Rel(prefix, folders[0])
	must(t, err)
	before := look(t, prefix, dir)
	must(t, Take(prefix, dir, []string{rel, "bin", "pipx_metadata.json"}))
	breakHalf(t, folders[0])
	if out, err := version(); err == nil {
		t.Fatalf("not broken: %s", out)
	}
	must(t, Restore(prefix, dir))
	if d := diff(before, look(t, prefix, dir), "lib", filepath.Dir(rel)); d != "" {
		t.Error(d)
	}
	if got, err := version(); err != nil || got != want {
		t.Errorf("%q, %v; before %q", got, err, want)
	}
	must(t, Remove(dir))
}

// breakHalf removes every other file, among them the entry of pip.
func breakHalf(t *testing.T, folder string) {
	t.Helper()
	n := 0
	must(t, filepath.WalkDir(folder, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			if n++; n%2 == 0 || e.Name() == "__main__.py" {
				err = os.Remove(path)
			}
		}
		return err
	}))
}
