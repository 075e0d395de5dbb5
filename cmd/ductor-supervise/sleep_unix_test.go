//go:build unix

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/clitest"
)

// TestSleepIsNoHang stops supervisor and bot for longer than the heartbeat may
// be missing, as a laptop does whose lid is closed. When both go on, the
// supervisor must give the bot its time again, even if it is the first to wake.
func TestSleepIsNoHang(t *testing.T) {
	if testing.Short() {
		t.Skip("sleeps for ten seconds, which is what it is about")
	}
	s := newStage(t, clitest.PlainBin(t))
	sup := s.supervise("--heartbeat", "pulse", "--heartbeat-timeout", "4s", "--", "fakebot", "alone", "lone", "beat", "pulse", "100000", "20ms")
	s.status("ready", func(st journal.Status) bool { return st.State == "ready" })
	st, err := journal.ReadStatus(s.run().Status())
	if err != nil {
		t.Fatal(err)
	}
	pulse, err := os.Stat(s.path("pulse"))
	if err != nil {
		t.Fatal(err)
	}
	clitest.Wait(t, "a heartbeat that the supervisor has not looked for", func() bool {
		now, err := os.Stat(s.path("pulse"))
		return err == nil && now.ModTime().After(pulse.ModTime())
	})
	_ = syscall.Kill(st.PID, syscall.SIGSTOP)
	sup.signal(syscall.SIGSTOP)
	// Not a wait for anything: the time that passes is the trouble. It is the
	// timeout, the slack for a loaded machine, and a second.
	time.Sleep(10 * time.Second)
	sup.signal(syscall.SIGCONT)
	s.waitEvent("the supervisor notices", func(e journal.Event) bool { return e.Type == journal.Resume })
	_ = syscall.Kill(st.PID, syscall.SIGCONT)
	// A sign of life after that proves that the bot was spared.
	info, err := os.Stat(s.path("pulse"))
	if err != nil {
		t.Fatal(err)
	}
	clitest.Wait(t, "a heartbeat", func() bool {
		now, err := os.Stat(s.path("pulse"))
		return err == nil && now.ModTime().After(info.ModTime())
	})
	sup.terminate()
	sup.ends(0)
	data, err := os.ReadFile(s.run().Events())
	if err != nil {
		t.Fatal(err)
	}
	if events := string(data); strings.Contains(events, `"type":"hang"`) || strings.Contains(events, `"type":"backoff"`) {
		t.Errorf("a sleep was taken for a hang:\n%s", events)
	}
	s.noTwins("lone")
}
