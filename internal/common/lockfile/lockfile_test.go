package lockfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

// heldVariable makes this test binary a holder of the lock that it names.
const heldVariable = "DUCTOR_TEST_LOCKFILE_HELD"

func TestMain(m *testing.M) {
	path := os.Getenv(heldVariable)
	if path == "" {
		clitest.Main(m)
		return
	}
	l, err := Try(path)
	fmt.Println(err)
	_, _ = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(l)
}

// hold lets another process take the lock, which it keeps until it is ended.
func hold(t *testing.T, pidfile string) (pid int, end func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), heldVariable+"="+pidfile)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "<nil>\n" {
		t.Fatalf("the other process: %q, %v", line, err)
	}
	end = func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	return cmd.Process.Pid, end
}

func TestTryAndHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "er", "x.pid")
	if pid, held, err := Holder(path); pid != 0 || held || err != nil {
		t.Errorf("nothing there: %d, %v, %v", pid, held, err)
	}
	if _, err := os.Stat(filepath.Dir(path)); err == nil {
		t.Error("Holder created something")
	}
	pid, end := hold(t, path)
	if _, err := Try(path); !errors.Is(err, ErrHeld) {
		t.Errorf("a second holder: %v", err)
	}
	if got, held, err := Holder(path); !held || err != nil || NamesHolder && got != pid {
		t.Errorf("holder %d, %v, %v; want %d", got, held, err, pid)
	}
	end()
	if got, held, err := Holder(path); held || err != nil {
		t.Errorf("after its end: %d, %v, %v", got, held, err)
	}
	l, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if l.PIDFile() != path {
		t.Errorf("the lock of %q", l.PIDFile())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(Path(path)); err != nil {
		t.Errorf("the lock file is gone: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the lock wrote a label")
	}
}

// TestGarbageCollectionKeepsTheLock: a finalizer that closes the file would
// drop it.
func TestGarbageCollectionKeepsTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	l, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		runtime.GC()
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), heldVariable+"="+path)
	out, err := cmd.Output()
	if err != nil || string(out) != ErrHeld.Error()+"\n" {
		t.Errorf("another process: %q, %v", out, err)
	}
	l.Close()
}

func TestWaitEndsWithTheHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	_, end := hold(t, path)
	var ended atomic.Bool
	done := make(chan error, 1)
	go func() {
		l, err := Wait(path)
		if err == nil && !ended.Load() {
			err = errors.New("the holder lives")
		}
		if err == nil {
			err = l.Close()
		}
		done <- err
	}()
	for range 1000 {
		runtime.Gosched() // a Wait that does not wait would be seen to return
	}
	ended.Store(true)
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	t.Chdir(dir)
	file := filepath.Join(dir, "x.pid")
	if got, err := Resolve("x.pid"); err != nil || got != file {
		t.Errorf("absent: %q, %v", got, err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink("x.pid", "link"), os.Symlink("link", "link2"), os.Symlink("nowhere", "dangling"), os.Symlink("loop", "loop")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	for _, name := range []string{"x.pid", "./x.pid", "link", "link2", file} {
		if got, err := Resolve(name); err != nil || got != file {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"dangling", "loop", ".", "", "x.pid/y"} {
		if got, err := Resolve(name); exitcode.Of(err) != exitcode.CantCreat {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
