//go:build unix

package hook

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ductor/internal/common/clitest"
)

// long is a limit that is never met.
const long = time.Minute

func start(t *testing.T, s Spec) *Hook {
	t.Helper()
	if s.Timeout == 0 {
		s.Timeout = long
	}
	if s.Grace == 0 {
		s.Grace = long
	}
	s.Env = append(os.Environ(), s.Env...)
	h, err := Start(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func result(t *testing.T, h *Hook) Result {
	t.Helper()
	select {
	case r := <-h.Done():
		return r
	case <-time.After(long):
		t.Fatal("the hook does not end")
		return Result{}
	}
}

func TestCodeTailInputAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	h := start(t, Spec{Command: `read line; echo "$line $X"; pwd; echo oops >&2; exit 7`, Input: []byte("{}\n"), Env: []string{"X=y"}, Dir: dir})
	r := result(t, h)
	if r.Code != 7 || r.OK() || r.TimedOut || r.Signal != nil || !strings.HasPrefix(r.Tail, "{} y\n") || !strings.Contains(r.Tail, filepath.Base(dir)) || !strings.HasSuffix(r.Tail, "oops\n") {
		t.Errorf("%+v", r)
	}
}

func TestInputThatNobodyReadsIsNoFailure(t *testing.T) {
	h := start(t, Spec{Command: "exit 0", Input: make([]byte, 1<<20)})
	if r := result(t, h); !r.OK() {
		t.Errorf("%+v", r)
	}
}

func TestLongOutputIsKeptFromALineOn(t *testing.T) {
	h := start(t, Spec{Command: "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"})
	r := result(t, h)
	if !r.OK() || len(r.Tail) > maxTail || !strings.HasPrefix(r.Tail, "line ") || !strings.HasSuffix(r.Tail, "line 1999\n") {
		t.Errorf("%v, %d bytes: %.40q", r.OK(), len(r.Tail), r.Tail)
	}
}

// pidIn waits for a file that a hook writes its PID to.
func pidIn(t *testing.T, path string) (pid int) {
	t.Helper()
	clitest.Wait(t, path, func() bool {
		data, _ := os.ReadFile(path)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		return strings.HasSuffix(string(data), "\n")
	})
	return pid
}

func gone(pid int) bool { return unix.Kill(pid, 0) == unix.ESRCH || zombie(pid) }

func zombie(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(data), ") Z ")
}

func TestTimeoutEndsTheWholeGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	h := start(t, Spec{Command: "sleep 600 & echo $! > '" + file + "'; wait", Timeout: 50 * time.Millisecond})
	r := result(t, h)
	if !r.TimedOut || r.OK() || r.Signal != unix.SIGTERM || r.Code != 128+15 {
		t.Errorf("%+v", r)
	}
	pid := pidIn(t, file)
	clitest.Wait(t, "the end of what it left", func() bool { return gone(pid) })
}

func TestStubbornHookIsKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	for name, end := range map[string]func(h *Hook){
		"after the grace": func(h *Hook) { h.End() },
		"asked twice":     func(h *Hook) { h.End(); h.End() },
	} {
		_ = os.Remove(file)
		spec := Spec{Command: "trap '' TERM; echo $$ > '" + file + "'; while :; do sleep 1; done", Grace: 10 * time.Millisecond}
		if name == "asked twice" {
			spec.Grace = long
		}
		h := start(t, spec)
		pidIn(t, file)
		end(h)
		if r := result(t, h); r.Signal != unix.SIGKILL || r.TimedOut {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// What a hook leaves in the background may keep its output open; nobody waits
// for that.
func TestBackgroundProcessDoesNotHoldTheResult(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	h := start(t, Spec{Command: "sleep 600 & echo $! > '" + file + "'; echo said"})
	pid := pidIn(t, file)
	defer func() { _ = unix.Kill(pid, unix.SIGKILL) }() // our own child's child
	if r := result(t, h); !r.OK() || r.Tail != "said\n" {
		t.Errorf("%+v", r)
	}
	if gone(pid) {
		t.Error("a hook that ended by itself lost what it left")
	}
}

func TestEndAfterTheEndSignalsNobody(t *testing.T) {
	h := start(t, Spec{Command: "exit 0"})
	result(t, h)
	h.End()
	h.End()
	if h.asked != 0 {
		t.Error("a finished hook was signalled")
	}
}
