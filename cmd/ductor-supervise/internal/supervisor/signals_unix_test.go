//go:build unix

package supervisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"ductor/cmd/ductor-supervise/internal/policy"
)

// TestSweepSparesTheLiving: a writer that lives is about to rename its file.
func TestSweepSparesTheLiving(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	dead, live := strconv.Itoa(gone.Process.Pid), strconv.Itoa(os.Getpid())
	dir := t.TempDir()
	for name, stays := range map[string]bool{
		".status.json." + dead + "-7.tmp":    false,
		"restart-requested.taken" + dead:     false,
		".stop-requested." + live + "-1.tmp": true,
		"stop-requested.taken" + live:        true,
		".somebody's own.tmp":                true,
		"bot.pid":                            true,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		sweep(dir)
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%s: there is %v, want %v", name, err == nil, stays)
		}
	}
}

// TestWhichSignalKills: a second one, but not what shells, kernels and
// timeout(1) send twice.
func TestWhichSignalKills(t *testing.T) {
	long := time.Hour
	for _, tt := range []struct {
		name         string
		stopping     bool
		signals      int
		last, sig    os.Signal
		since        time.Duration
		wantsToCount bool
	}{
		{"the first", false, 0, nil, syscall.SIGTERM, long, true},
		{"the first on top of a file's stop", true, 0, nil, syscall.SIGTERM, long, false},
		{"the second", true, 1, syscall.SIGTERM, syscall.SIGTERM, long, true},
		{"the second, of another kind, at once", true, 1, syscall.SIGTERM, syscall.SIGINT, 0, true},
		{"two Ctrl-C", true, 1, syscall.SIGINT, syscall.SIGINT, 0, true},
		{"the echo of timeout", true, 1, syscall.SIGTERM, syscall.SIGTERM, 0, false},
		{"a window that closes", true, 1, syscall.SIGHUP, syscall.SIGHUP, long, false},
		{"a window that closes on a stop", true, 1, syscall.SIGINT, syscall.SIGHUP, long, false},
	} {
		s := &supervisor{stopSignals: tt.signals, lastStop: tt.last, stoppedAt: time.Now().Add(-tt.since)}
		if tt.stopping {
			s.state.Intent = policy.IntentStop
		}
		if got := s.counts(tt.sig); got != tt.wantsToCount {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
