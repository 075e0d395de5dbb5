package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ductor/internal/common/exitcode"
)

func TestRestore(t *testing.T) {
	e := newEnv(t)
	before := e.look()
	e.take()
	if d := diff(before, e.look()); d != "" {
		t.Errorf("Take changed the environment:\n%s", d)
	}
	if !Whole(e.dir) {
		t.Error("not whole")
	}
	e.upgrade()
	users := e.use()
	e.restore()
	e.check(before, users)
	if _, err := os.Stat(e.at(site + "/ductor_bot/data/void")); err != nil {
		t.Error(err)
	}
	after := e.look()
	e.restore()
	if d := diff(after, e.look()); d != "" {
		t.Errorf("a second time:\n%s", d)
	}
	must(t, Remove(e.dir), Remove(e.dir))
	if there(e.dir) {
		t.Error("not removed")
	}
}

// TestKilledInstaller: without a RECORD of the new version its files are still
// told from the user's, and its modules hide none of the old ones.
func TestKilledInstaller(t *testing.T) {
	e := newEnv(t)
	before := e.look()
	e.take()
	e.upgrade()
	e.remove(site+"/ductor-2.0.dist-info", "bin/ductor-extra", "share", site+"/kind")
	e.write(site+"/six/__init__.py", "would hide six.py")
	e.restore()
	e.check(before, map[string]string{site + "/six/__init__.py" + Suffix: "would hide six.py", site + "/ductor_bot/new.py" + Suffix: "new",
		site + "/newdep/__init__.py" + Suffix: "new"})
}

// TestEverythingIsGone, even the folders above the parts.
func TestEverythingIsGone(t *testing.T) {
	e := newEnv(t)
	before := e.look()
	e.take()
	e.remove("lib", "bin", "pipx_metadata.json")
	e.restore()
	e.check(before, nil)
}

// TestPartsOfAnotherKind: what is a folder now was a file, and the other way round.
func TestPartsOfAnotherKind(t *testing.T) {
	e := newEnv(t)
	before := e.look()
	e.take()
	e.remove("bin", "pipx_metadata.json")
	e.write("bin", "a file", "pipx_metadata.json/users", "kept")
	e.restore()
	e.check(before, map[string]string{"pipx_metadata.json" + Suffix + "/users": "kept"})
}

// TestSomethingCameBack: what was put in place of a part between a call that
// was killed and the next one has user's files, too.
func TestSomethingCameBack(t *testing.T) {
	e := newEnv(t)
	before := e.look()
	e.take()
	e.upgrade()
	users := e.use()
	if !killed(func() { _ = Restore(e.prefix, e.dir) }, until(func() bool { return !there(e.at("bin")) })) {
		t.Fatal("bin was never away")
	}
	e.write("bin/note", "a newer note", "bin/other", "other")
	users["bin/note"+Suffix], users["bin/other"] = "a newer note", "other"
	e.restore()
	e.check(before, users)
}

// TestNamesThatAreTaken: two files of the user's never become one.
func TestNamesThatAreTaken(t *testing.T) {
	e := newEnv(t)
	e.write("bin/activate"+Suffix, "older")
	before := e.look()
	e.take()
	e.write("bin/activate", "newer", "bin/activate"+Suffix+".2", "not moved over")
	e.restore()
	e.check(before, map[string]string{"bin/activate" + Suffix + ".2": "newer", "bin/activate" + Suffix + ".2" + Suffix: "not moved over"})
}

// TestPartAroundDir: dir lies in a part, and a part in the one around it.
func TestPartAroundDir(t *testing.T) {
	for _, whole := range []string{".", "lib"} {
		t.Run(whole, func(t *testing.T) {
			e := newEnv(t)
			e.dir = e.at("lib/python3.11/.undo")
			before := e.look()
			must(t, Take(e.prefix, e.dir, []string{site, whole, "bin", "./bin/../bin", "share", "pipx_metadata.json"}))
			if there(filepath.Join(e.dir, "copy", "lib", "python3.11", ".undo")) {
				t.Error("dir was copied")
			}
			e.upgrade()
			users := e.use()
			e.write("lib/python3.11/note", "beside dir", "lib/data/note", "above dir")
			users["lib/python3.11/note"], users["lib/data/note"] = "beside dir", "above dir"
			e.restore()
			e.check(before, users)
		})
	}
}

func TestTakeRefuses(t *testing.T) {
	e := newEnv(t)
	must(t, os.Mkdir(e.at("there"), 0o755))
	for _, c := range []struct {
		dir, part string
		code      int
	}{
		{e.dir, "../x", exitcode.Software},
		{e.dir, e.at("bin"), exitcode.Software},
		{e.dir, "", exitcode.Software},
		{e.dir, ".undo", exitcode.Software},
		{e.dir, ".undo/copy", exitcode.Software},
		{e.prefix, "bin", exitcode.Software},
		{filepath.Dir(e.prefix), "bin", exitcode.Software},
		{".undo", "bin", exitcode.Software},
		{e.at("there"), "bin", exitcode.CantCreat},
		{e.at("absent/undo"), "bin", exitcode.CantCreat},
	} {
		before := e.look()
		if err := Take(e.prefix, c.dir, []string{c.part}); exitcode.Of(err) != c.code {
			t.Errorf("%q into %q: %v (%d)", c.part, c.dir, err, exitcode.Of(err))
		}
		if d := diff(before, e.look()); d != "" {
			t.Error(d)
		}
	}
}

func TestManifests(t *testing.T) {
	good := `{"schema":1,"parts":[{"path":"bin","there":true}]}`
	for name, c := range map[string]struct {
		manifest string
		code     int
	}{
		"above":          {strings.ReplaceAll(good, "bin", "../x"), exitcode.DataErr},
		"hidden above":   {strings.ReplaceAll(good, "bin", "bin/../../x"), exitcode.DataErr},
		"not clean":      {strings.ReplaceAll(good, "bin", "bin/../lib"), exitcode.DataErr},
		"absolute":       {strings.ReplaceAll(good, "bin", "/etc"), exitcode.DataErr},
		"no path":        {strings.ReplaceAll(good, "bin", ""), exitcode.DataErr},
		"the prefix":     {strings.ReplaceAll(good, "bin", "."), exitcode.DataErr},
		"dir":            {strings.ReplaceAll(good, "bin", ".undo"), exitcode.DataErr},
		"in dir":         {strings.ReplaceAll(good, "bin", ".undo/copy"), exitcode.DataErr},
		"not around dir": {strings.ReplaceAll(good, `"bin"`, `"bin","around":true`), exitcode.DataErr},
		"torn":           {good[:30], exitcode.DataErr},
		"empty":          {"", exitcode.DataErr},
		"another schema": {strings.Replace(good, "1", "2", 1), exitcode.DataErr},
		"another type":   {`{"schema":1,"parts":"bin"}`, exitcode.DataErr},
		"huge":           {good + strings.Repeat(" ", maxManifest), exitcode.DataErr},
		"without copy":   {strings.ReplaceAll(good, "bin", "gone"), exitcode.DataErr},
		"unknown keys":   {strings.Replace(good, "1", `1,"new":{}`, 1), exitcode.OK},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			before := e.look()
			must(t, os.Mkdir(e.dir, 0o700), os.WriteFile(manifestPath(e.dir), []byte(c.manifest), 0o600))
			if err := Restore(e.prefix, e.dir); exitcode.Of(err) != c.code {
				t.Errorf("%v (%d)", err, exitcode.Of(err))
			}
			if d := diff(before, e.look()); d != "" {
				t.Error(d)
			}
		})
	}
	e := newEnv(t)
	if err := Restore(e.prefix, e.dir); exitcode.Of(err) != exitcode.IOErr || !errors.Is(err, fs.ErrNotExist) || Whole(e.dir) {
		t.Errorf("without a manifest: %v", err)
	}
}

// death is what a test dies of.
type death struct{}

// killed runs f until dies() at a step, and reports whether it died. Nothing of
// f runs after that, as if the process had been killed.
func killed(f func(), dies func() bool) (died bool) {
	defer func() {
		step = func() {}
		if v := recover(); v != nil {
			if _, ok := v.(death); !ok {
				panic(v)
			}
			died = true
		}
	}()
	step = func() {
		if dies() {
			panic(death{})
		}
	}
	f()
	return false
}

func until(ok func() bool) func() bool { return ok }

// stride leaves steps out where each one takes long; several runs meet them all.
func stride() int {
	if testing.Short() {
		return 1 + rand.IntN(7)
	}
	return 1
}

func after(steps int) func() bool {
	return func() bool { steps--; return steps < 0 }
}

func TestKilledTake(t *testing.T) {
	for k := 0; ; k += stride() {
		e := newEnv(t)
		before := e.look()
		died := killed(e.take, after(k))
		if d := diff(before, e.look()); d != "" {
			t.Fatalf("step %d:\n%s", k, d)
		}
		if Whole(e.dir) { // then it can be put back
			e.upgrade()
			e.restore()
		} else {
			must(t, Remove(e.dir))
			e.take()
			e.upgrade()
			e.restore()
		}
		e.check(before, nil)
		if !died {
			break
		}
	}
}

// TestKilledRestore at every step, and once more while it goes on.
func TestKilledRestore(t *testing.T) {
	for _, parts := range [][]string{parts, {"."}} {
		for _, again := range []bool{false, true} {
			for k := 0; killedRestore(t, parts, k, again); k += stride() {
				if t.Failed() {
					t.Fatalf("%q, killed at step %d", parts, k)
				}
			}
		}
	}
}

func killedRestore(t *testing.T, parts []string, k int, again bool) (died bool) {
	e := newEnv(t)
	e.parts = parts
	before := e.look()
	e.take()
	e.upgrade()
	users := e.use()
	died = killed(func() { _ = Restore(e.prefix, e.dir) }, after(k))
	if again && died {
		killed(func() { _ = Restore(e.prefix, e.dir) }, after(rand.IntN(k+1)))
	}
	e.restore()
	e.check(before, users)
	return died
}

// TestVanishing: what goes away while it is copied is no error, at any step.
func TestVanishing(t *testing.T) {
	for k := 1; ; k++ {
		e := newEnv(t)
		count, left := 0, tree(nil)
		killed(e.take, func() bool {
			if count++; count == k {
				must(t, os.RemoveAll(e.at(site+"/ductor_bot")), os.Remove(e.at("bin/activate")))
				left = e.look()
			}
			return false
		})
		if !Whole(e.dir) {
			t.Fatalf("step %d: no copy", k)
		}
		if count < k {
			break
		}
		if d := diff(left, e.look()); d != "" {
			t.Error(d)
		}
		must(t, Remove(e.dir))
	}
}

func TestKilledRemove(t *testing.T) {
	for k := 0; ; k++ {
		e := newEnv(t)
		e.take()
		died := killed(func() { must(t, Remove(e.dir)) }, after(k))
		if Whole(e.dir) && k > 0 {
			t.Error("still whole")
		}
		must(t, Remove(e.dir))
		if !died {
			break
		}
	}
}

// TestRandom takes, mutates and restores trees nobody thought of.
func TestRandom(t *testing.T) {
	for range 30 / stride() {
		random(t, newEnv(t), newRand(t))
	}
}

// newRand says its seed when the test fails.
func newRand(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

func random(t *testing.T, e env, r *rand.Rand) {
	folders := []string{"bin", "share", site, site + "/ductor_bot"}
	var listed []string
	for n := range 60 {
		in := folders[r.IntN(len(folders))]
		name := fmt.Sprintf("%s/%c%d", in, 'a'+r.IntN(26), n)
		switch r.IntN(6) {
		case 0:
			must(t, os.MkdirAll(e.at(name), 0o755))
			folders = append(folders, name)
		case 1:
			must(t, os.MkdirAll(e.at(in), 0o755))
			link(t, []string{"../x", "/", "nowhere", "a b"}[r.IntN(4)], e.at(name))
		default:
			e.write(name, strings.Repeat("x", r.IntN(1<<r.IntN(18))))
			if runtime.GOOS != "windows" {
				must(t, os.Chmod(e.at(name), randomMode(r)))
			}
		}
		listed = append(listed, name)
	}
	e.recordAll("more-1.0", listed)
	lockSome(t, e, r, folders)
	before := e.look()
	e.take()
	users := mutate(e, r, listed)
	e.restore()
	e.check(before, users)
	must(t, Remove(e.dir))
}

func randomMode(r *rand.Rand) fs.FileMode {
	special := []fs.FileMode{0, 0, 0, fs.ModeSetuid, fs.ModeSetgid, fs.ModeSticky}
	return 0o400 | fs.FileMode(r.IntN(0o1000)) | special[r.IntN(len(special))]
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil && runtime.GOOS != "windows" { // that needs a privilege there
		t.Fatal(err)
	}
}

// lockSome makes folders read-only, innermost first.
func lockSome(t *testing.T, e env, r *rand.Rand, folders []string) {
	if runtime.GOOS == "windows" {
		return
	}
	for i := len(folders) - 1; i >= 0; i-- {
		if there(e.at(folders[i])) && r.IntN(3) == 0 {
			must(t, os.Chmod(e.at(folders[i]), 0o555|[]fs.FileMode{0, fs.ModeSticky, fs.ModeSetgid}[r.IntN(3)]))
		}
	}
	t.Cleanup(func() { unlockAll(e.prefix) })
}

// recordAll lists paths that are relative to the prefix.
func (e env) recordAll(name string, paths []string) {
	var rel []string
	for _, p := range paths {
		to, _ := filepath.Rel(e.at(site), e.at(p))
		rel = append(rel, filepath.ToSlash(to))
	}
	e.record(name, rel...)
}

func mutate(e env, r *rand.Rand, listed []string) (users map[string]string) {
	unlockAll(e.at(site))
	unlockAll(e.at("bin"))
	unlockAll(e.at("share"))
	for _, p := range listed {
		info, err := os.Lstat(e.at(p))
		if err != nil {
			continue
		}
		switch r.IntN(4) {
		case 0:
			e.remove(p)
		case 1:
			if info.Mode().IsRegular() {
				e.remove(p)
				e.write(p, "changed")
			}
		}
	}
	if r.IntN(4) == 0 {
		e.remove([]string{"bin", "share", site, "lib", "pipx_metadata.json"}[r.IntN(5)])
	}
	e.upgradeAgain(r)
	users = map[string]string{}
	for n := range 10 {
		folder := []string{"bin", "share/new/er", site, site + "/ductor_bot", site + "/data/x", site + "/fresh"}[r.IntN(6)]
		name := fmt.Sprintf("%s/note-%d", folder, n)
		users[name] = "mine"
		e.write(name, "mine")
	}
	return users
}

// upgradeAgain adds files of a package that was not there before.
func (e env) upgradeAgain(r *rand.Rand) {
	var paths []string
	for n := range r.IntN(20) {
		paths = append(paths, fmt.Sprintf("%s/fresh-%d.py", []string{site + "/fresh", "bin", site, "share"}[r.IntN(4)], n))
		e.write(paths[n], "fresh")
	}
	e.recordAll("fresh-1.0", paths)
}
