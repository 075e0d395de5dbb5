package main

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ductor/internal/common/clitest"
)

// TestUndeadHolder: a holder that outlives even a KILL. A process that hangs
// in a driver does so; here it is a debugger that holds it at the door. kill
// says 124, run --kill-existing says 75, and neither claims the lock.
func TestUndeadHolder(t *testing.T) {
	if testing.Short() {
		t.Skip("takes twice the grace of 5 s that a killed process gets")
	}
	a := newArena(t)
	bot := a.start("ductor-lock", "run", "x.pid", "fakebot", "pid", "ready", "wait")
	a.settle([]*contender{bot})
	release := holdAtExit(t, bot.pid())

	killer := a.start("ductor-lock", "kill", "--kill-wait", "0s", "x.pid")
	if killer.code() != 124 || !strings.Contains(killer.errs.String(), "not stopped in time") {
		t.Errorf("kill ended with %d: %s", killer.code(), &killer.errs)
	}
	taker := a.start("ductor-lock", "run", "--kill-existing", "--kill-wait", "0s", "x.pid", "fakebot", "touch", "second")
	if taker.code() != 75 || !strings.Contains(taker.errs.String(), "is still held by") {
		t.Errorf("run --kill-existing ended with %d: %s", taker.code(), &taker.errs)
	}
	if _, err := os.Stat(a.path("second")); err == nil {
		t.Error("the command ran beside an undead holder")
	}
	release()
	<-bot.done
	next := a.start("ductor-lock", "run", "x.pid", "fakebot", "exit", "3")
	if next.code() != 3 {
		t.Errorf("the lock is not free after the end of its holder: %d: %s", next.code(), &next.errs)
	}
}

// holdAtExit traces every thread of pid so that its end waits for release. All
// requests of a tracer have to come from one thread.
func holdAtExit(t *testing.T, pid int) (release func()) {
	t.Helper()
	ready, stop, done := make(chan error, 1), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends here, and the tracing with it
		ready <- seize(pid)
		<-stop
	}()
	if err := <-ready; err != nil {
		close(stop)
		if errors.Is(err, unix.EPERM) {
			clitest.Lacking(t, "ptrace", "run where tracing is allowed: "+err.Error())
		}
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { close(stop); <-done })
	t.Cleanup(release)
	return release
}

// seize attaches without stopping, with PTRACE_O_TRACEEXIT in the same step;
// x/sys has no wrapper that takes options.
func seize(pid int) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, unix.PTRACE_O_TRACEEXIT, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
