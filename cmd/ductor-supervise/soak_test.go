//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/clitest"
)

// usage is what a process takes of the system. Each value is the least of
// several samples, since a supervisor is always in the middle of something.
type usage struct{ fds, threads, children, rssKiB int }

func measure(t *testing.T, pid int) usage {
	t.Helper()
	least := usage{1 << 30, 1 << 30, 1 << 30, 1 << 30}
	for range 100 {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		children := 0
		for _, f := range tasks {
			data, _ := os.ReadFile(f)
			children += len(strings.Fields(string(data)))
		}
		least = usage{
			min(least.fds, len(fds)), min(least.threads, statusField(t, pid, "Threads")),
			min(least.children, children), min(least.rssKiB, statusField(t, pid, "VmRSS")),
		}
	}
	return least
}

func statusField(t *testing.T, pid int, name string) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + `:\s+(\d+)`).FindSubmatch(data)
	if m == nil {
		t.Fatalf("no %s in /proc/%d/status", name, pid)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// goroutines ends a supervisor by ABRT, which makes the Go runtime list them.
func goroutines(p *proc) int {
	p.t.Helper()
	p.signal(syscall.SIGABRT)
	p.ends(2)
	return len(regexp.MustCompile(`(?m)^goroutine \d+ .*\[`).FindAllString(p.words(), -1))
}

// TestManyRestarts: what a supervisor takes after many restarts is what it
// took after a few.
func TestManyRestarts(t *testing.T) {
	restarts, growth := 10_000, 2048
	if testing.Short() {
		restarts, growth = 500, 8192 // the heap finds its size in the first thousand
	}
	s := newStage(t, clitest.PlainBin(t))
	after := func(n int) {
		t.Helper()
		s.status(fmt.Sprintf("%d restarts", n), func(st journal.Status) bool { return st.Restarts >= n })
	}
	start := func() *proc {
		p := s.command("ductor-supervise", "--restart-budget", "off", "--", "sh", "-c", "exit 42")
		p.Stdin, p.log = nil, s.path("soak.log")
		return p.start()
	}
	sup := start()
	after(restarts / 10)
	early := measure(t, sup.Process.Pid)
	for n := restarts / 5; n <= restarts; n += restarts / 10 { // each step within the patience of a wait
		after(n)
	}
	late := measure(t, sup.Process.Pid)
	t.Logf("after %d restarts: %+v; after %d: %+v", restarts/10, early, restarts, late)
	if late.fds > early.fds {
		t.Errorf("descriptors grew from %d to %d", early.fds, late.fds)
	}
	if late.children > 1 {
		t.Errorf("%d children at the best of times", late.children)
	}
	if late.threads > early.threads+2 { // the runtime starts one more now and then
		t.Errorf("threads grew from %d to %d", early.threads, late.threads)
	}
	if grown := late.rssKiB - early.rssKiB; grown > growth {
		t.Errorf("memory grew by %d KiB from %d", grown, early.rssKiB)
	}
	for _, f := range []string{s.run().Events(), s.run().Events() + ".1"} {
		if info, err := os.Stat(f); err == nil && info.Size() > 1<<20 {
			t.Errorf("%s has %d bytes", f, info.Size())
		}
	}
	many := goroutines(sup)
	sup = start()
	s.status("a few restarts", func(st journal.Status) bool { return st.Supervisor.PID == sup.Process.Pid && st.Restarts >= 5 })
	// A goroutine or two come and go with each start.
	if few := goroutines(sup); many > few+2 || few == 0 {
		t.Errorf("%d goroutines after %d restarts, %d after a few", many, restarts, few)
	}
}
