package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// roleVariable makes this test binary another program.
const roleVariable = "DUCTOR_TEST_PROCESS_ROLE"

func init() {
	if os.Getenv(roleVariable) == "headless" {
		runtime.LockOSThread() // only init runs on the main thread for sure
	}
}

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "idle":
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "headless":
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
		_, _, _ = syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0) // the main thread, and no other
	}
}

// patience is how long a test waits for a fact, as in clitest, which imports
// this package.
const patience = 60 * time.Second

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// play starts this binary in a role; it ends when its input is closed.
func play(t *testing.T, role, path string) (*exec.Cmd, io.Closer) {
	t.Helper()
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, in
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestIdentity(t *testing.T) {
	me, err := Self()
	if err != nil || me.PID != os.Getpid() || me.Start == "" || me.Boot == "" || me.PIDNS == "" || me.Host == "" {
		t.Fatalf("%+v, %v", me, err)
	}
	if err := me.Check(); err != nil || !me.Alive() || !me.IsSelf() {
		t.Errorf("we are not ourselves: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*Identity)
		want   error
	}{
		"another start":     {func(id *Identity) { id.Start += "0" }, ErrReused},
		"no start":          {func(id *Identity) { id.Start = "" }, ErrReused},
		"another boot":      {func(id *Identity) { id.Boot = "x" }, ErrNamespace},
		"no boot":           {func(id *Identity) { id.Boot = "" }, ErrNamespace},
		"another namespace": {func(id *Identity) { id.PIDNS = "1" }, ErrNamespace},
		"nobody's here":     {func(id *Identity) { id.PIDNS, id.PID = "1", 1<<30 }, ErrNamespace},
		"both":              {func(id *Identity) { id.PIDNS, id.Start = "1", "1" }, ErrNamespace},
		"no PID":            {func(id *Identity) { id.PID = 0 }, ErrGone},
		"a group":           {func(id *Identity) { id.PID = -id.PID }, ErrGone},
		"no such PID":       {func(id *Identity) { id.PID = 1 << 30 }, ErrGone},
	} {
		id := me
		c.change(&id)
		if err := id.Check(); !errors.Is(err, c.want) || id.Alive() || id.IsSelf() {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if h, err := Open(id); !errors.Is(err, c.want) {
			t.Errorf("%s: opened: %v, %v", name, h, err)
		}
	}
	other := me
	other.Host = "elsewhere"
	if !other.Alive() {
		t.Error("the host name was compared")
	}
}

// TestZombieIsGone: it has no locks any more, and its parent may never reap it.
func TestZombieIsGone(t *testing.T) {
	cmd, in := play(t, "idle", self(t))
	id, err := Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	waitUntil(t, "the child is a zombie", func() bool {
		st, err := readStat(id.PID)
		// With more threads it is still ending: see the next test.
		return err == nil && st.state == 'Z' && st.threads == 1
	})
	if err := id.Check(); !errors.Is(err, ErrGone) {
		t.Errorf("a zombie: %v", err)
	}
}

// TestZombieLeaderWithThreadsLives: its main thread has ended, it has not.
func TestZombieLeaderWithThreadsLives(t *testing.T) {
	cmd, in := play(t, "headless", self(t))
	waitUntil(t, "the main thread has ended", func() bool {
		st, err := readStat(cmd.Process.Pid)
		return err == nil && st.state == 'Z'
	})
	id, err := Of(cmd.Process.Pid)
	if err != nil || !id.Alive() {
		t.Fatalf("a process without its main thread: %v", err)
	}
	h, err := Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Wait(0); !errors.Is(err, ErrTimeout) {
		t.Errorf("it has ended: %v", err)
	}
	in.Close()
	if err := h.Wait(patience); err != nil || id.Alive() {
		t.Errorf("it has not ended: %v", err)
	}
}

// TestEvilProgramName: the name of a program looks like the fields behind it.
func TestEvilProgramName(t *testing.T) {
	path := filepath.Join(t.TempDir(), ") Z 1 (x")
	if err := os.Symlink(self(t), path); err != nil {
		t.Fatal(err)
	}
	cmd, _ := play(t, "idle", path)
	if id, err := Of(cmd.Process.Pid); err != nil || !id.Alive() {
		t.Errorf("%+v, %v", id, err)
	}
	if ppid, err := parentOf(cmd.Process.Pid); err != nil || ppid != os.Getpid() {
		t.Errorf("its parent is %d, %v", ppid, err)
	}
}

func TestIsAncestor(t *testing.T) {
	cmd, _ := play(t, "idle", self(t))
	for pid, want := range map[int]bool{os.Getppid(): true, os.Getpid(): false, cmd.Process.Pid: false, 0: false, -1: false, 1 << 30: false} {
		if got := IsAncestor(pid); got != want {
			t.Errorf("IsAncestor(%d) = %v", pid, got)
		}
	}
}

func TestStartedBefore(t *testing.T) {
	before := time.Now()
	cmd, _ := play(t, "idle", self(t))
	pid := cmd.Process.Pid
	const tolerance = 2 * time.Second
	if !StartedBefore(pid, time.Now(), tolerance) {
		t.Error("it started after now")
	}
	if StartedBefore(pid, before.Add(-time.Hour), tolerance) {
		t.Error("it started an hour before it did")
	}
	if !StartedBefore(1, before, 0) {
		t.Error("PID 1 started after this test")
	}
	if StartedBefore(1<<30, before, time.Hour) {
		t.Error("a process that does not exist has started")
	}
}

func TestTerminateWaitKill(t *testing.T) {
	cmd := exec.Command(self(t))
	cmd.Env = append(os.Environ(), roleVariable+"=deaf")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	id, err := Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Open(id)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Terminate(); err != nil {
		t.Error(err)
	}
	if err := h.Wait(20 * time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Errorf("it ignores TERM: %v", err)
	}
	if err := h.Kill(); err != nil {
		t.Error(err)
	}
	if err := h.Wait(patience); err != nil {
		t.Error(err)
	}
	// To signal what has ended is no failure, and there is nobody it reaches.
	if err := errors.Join(h.Terminate(), h.Kill(), h.Wait(0)); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if err := errors.Join(h.Terminate(), h.Kill(), h.Wait(0)); err != nil {
		t.Errorf("after it was reaped: %v", err)
	}
}

// TestHandleWithoutPidfd is the way of kernels before 5.3.
func TestHandleWithoutPidfd(t *testing.T) {
	cmd, _ := play(t, "idle", self(t))
	id, err := Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	reused := id
	reused.Start = strconv.Itoa(1)
	old := &Handle{reused, -1}
	if err := old.Terminate(); !errors.Is(err, ErrReused) {
		t.Errorf("a process that took the PID was signalled: %v", err)
	}
	h := &Handle{id, -1}
	if err := h.Wait(0); !errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
	if err := errors.Join(h.Kill(), h.Wait(patience)); err != nil || id.Alive() {
		t.Error(err)
	}
	h.Close()
}
