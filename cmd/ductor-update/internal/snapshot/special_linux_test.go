package snapshot

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

const nobody = 65534

// asUser makes the rest of the test one of a user without rights: root's may
// change what it uses of files, for one thread.
func asUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	runtime.LockOSThread() // for ever: the thread ends with the test
	must(t, syscall.Setfsgid(nobody), syscall.Setfsuid(nobody))
	t.Cleanup(func() { must(t, syscall.Setfsuid(0), syscall.Setfsgid(0)) })
}

// userEnv lies where that user may go.
func userEnv(t *testing.T) env {
	t.Helper()
	tmp, err := os.MkdirTemp("", "snapshot-")
	must(t, err)
	t.Cleanup(func() {
		unlockAll(tmp)
		must(t, os.RemoveAll(tmp))
	})
	return envIn(t, tmp)
}

// mounts gives the test a mount table of its own.
func mounts(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err != nil {
		clitest.Lacking(t, "mounts", "run as root; "+err.Error())
	}
}

func mount(t *testing.T, source, target, kind, options string) {
	t.Helper()
	flags := uintptr(0)
	if kind == "" {
		flags = unix.MS_BIND
	}
	must(t, os.MkdirAll(target, 0o755))
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		clitest.Lacking(t, "mounts", kind+": "+err.Error())
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

func TestDiskFull(t *testing.T) {
	mounts(t)
	tmp := t.TempDir()
	mount(t, "tmpfs", tmp, "tmpfs", "size=2m")
	e := envIn(t, tmp)
	must(t, os.WriteFile(e.at("bin/large"), bytes.Repeat([]byte("x"), 1<<20), 0o644))
	before := e.look()
	err := Take(e.prefix, e.dir, parts)
	if !errors.Is(err, unix.ENOSPC) || exitcode.Of(err) != exitcode.CantCreat || there(e.dir) {
		t.Error(err)
	}
	if d := diff(before, e.look()); d != "" {
		t.Error(d)
	}
}

// TestOverlay: of a container's image, a folder cannot be renamed.
func TestOverlay(t *testing.T) {
	mounts(t)
	tmp := t.TempDir()
	mount(t, "tmpfs", tmp, "tmpfs", "")
	for k := 0; ; k++ {
		top := filepath.Join(tmp, string(rune('a'+k/26))+string(rune('a'+k%26)))
		lower := envIn(t, filepath.Join(top, "lower"))
		must(t, os.MkdirAll(filepath.Join(top, "upper"), 0o755), os.MkdirAll(filepath.Join(top, "work"), 0o755))
		mount(t, "overlay", filepath.Join(top, "merged"), "overlay",
			"redirect_dir=off,lowerdir="+top+"/lower,upperdir="+top+"/upper,workdir="+top+"/work")
		e := env{t, filepath.Join(top, "merged", filepath.Base(lower.prefix)), "", parts}
		e.dir = e.at(".undo")
		if err := os.Rename(e.at("bin"), e.at("nib")); !errors.Is(err, unix.EXDEV) {
			t.Fatal("a folder of the lower layer can be renamed: ", err)
		}
		before := e.look()
		e.take()
		e.upgrade()
		users := e.use()
		died := killed(func() { _ = Restore(e.prefix, e.dir) }, after(k))
		e.restore()
		e.check(before, users)
		if t.Failed() {
			t.Fatalf("killed at step %d", k)
		}
		if !died {
			break
		}
	}
}

// TestMountInAPart is refused: Remove would empty what is mounted.
func TestMountInAPart(t *testing.T) {
	mounts(t)
	e := newEnv(t)
	mount(t, "tmpfs", e.at(site+"/ductor_bot/data"), "tmpfs", "")
	if err := Take(e.prefix, e.dir, parts); exitcode.Of(err) != exitcode.Unavailable || there(e.dir) {
		t.Error(err)
	}
}

// TestBusyPart: a part that is in the way of a mount cannot be moved.
func TestBusyPart(t *testing.T) {
	mounts(t)
	e := newEnv(t)
	before := e.look()
	e.take()
	e.upgrade()
	users := e.use()
	mount(t, e.at("bin"), e.at("bin"), "", "")
	used := e.look()
	if err := Restore(e.prefix, e.dir); exitcode.Of(err) != exitcode.CantCreat || !errors.Is(err, unix.EBUSY) {
		t.Error(err)
	}
	if d := diff(used, e.look(), above...); d != "" {
		t.Error(d)
	}
	must(t, unix.Unmount(e.at("bin"), 0))
	e.restore()
	e.check(before, users)
}

func TestOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		clitest.Lacking(t, "root", "run as root")
	}
	e := newEnv(t)
	must(t, os.Symlink("nowhere", e.at("bin/link")))
	for i, p := range []string{"bin/link", "bin/ductor", "bin", "bin/activate"} {
		must(t, os.Lchown(e.at(p), 1000+i, 2000+i))
	}
	must(t, os.Chmod(e.at("bin/activate"), 0o755|os.ModeSetuid))
	before := e.look()
	e.take()
	e.remove("bin")
	e.restore()
	e.check(before, nil)
	for i, p := range []string{"bin/link", "bin/ductor", "bin", "bin/activate"} {
		var st unix.Stat_t
		must(t, unix.Lstat(e.at(p), &st))
		if st.Uid != uint32(1000+i) || st.Gid != uint32(2000+i) {
			t.Errorf("%s: %d:%d", p, st.Uid, st.Gid)
		}
	}
}
