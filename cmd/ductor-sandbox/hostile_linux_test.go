package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
)

// TestNobodyMovesTheMounts: commands of one bot exchange a folder of the workspace
// with a link to the user's keys, while another bot's container is made.
func TestNobodyMovesTheMounts(t *testing.T) { both(t, testNobodyMovesTheMounts) }

func testNobodyMovesTheMounts(t *testing.T, w *world) {
	keys := filepath.Join(filepath.Dir(w.home), ".ssh")
	if err := os.MkdirAll(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(keys, "config"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if w.uid != 0 {
		w.give(filepath.Dir(w.home))
	}
	other := w.container + "-other"
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", other).Run() })
	rogue := w.start("--", "fakecli", "swap", w.workspace(".git"), keys)
	made := 0
	for range 12 {
		cmd := w.command("exec", "--name", "other", "--", "fakecli", "write", w.workspace(".git/evil"), "evil")
		out, _ := cmd.CombinedOutput()
		if code := clitest.CodeOf(cmd.ProcessState); code == 0 {
			made++
		} else if code != 77 && code != 69 && code != 1 {
			t.Errorf("%d: %s", code, out)
		}
		_ = exec.Command("docker", "rm", "-f", other).Run()
	}
	rogue.stop()
	if _, err := os.Lstat(filepath.Join(keys, "evil")); err == nil {
		t.Error("a command has written among the keys")
	}
	t.Logf("%d of 12 commands ran", made)
}

// TestOrphans: a run whose caller was killed can be seen, and ended.
func TestOrphans(t *testing.T) {
	w := newWorld(t)
	w.up()
	r := w.start("--tag", "a=1", "--tag", "b=2", "--", "fakecli", "tick")
	w.start("--tag", "a=1", "--tag", "b=3", "--", "fakecli", "tick")
	wait(t, "both to run", func() bool { return len(w.inside()) >= 4 }) // and our program above each
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	if out, _ := w.do(0, "ps"); strings.Count(out, "its caller was killed") != 1 || strings.Count(out, "\n") != 2 {
		t.Error(out)
	}
	w.do(1, "kill", "--tag", "a=1", "--tag", "b=4")
	w.do(0, "kill", "--tag", "a=1", "--tag", "b=2") // both must be its tags
	if out, _ := w.do(0, "ps"); strings.Contains(out, "was killed") || strings.Count(out, "\n") != 1 || len(w.inside()) != 2 {
		t.Error(out, w.inside())
	}
}

// TestFullOutput: a disk that is full is no reader who is gone.
func TestFullOutput(t *testing.T) {
	w := newWorld(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	cmd := w.command("exec", "--", "fakecli", "flood", "100000")
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = full, &errs
	_ = cmd.Run()
	if code := clitest.CodeOf(cmd.ProcessState); code != 74 || !strings.Contains(errs.String(), "no space left") {
		t.Errorf("%d: %s", code, &errs)
	}
}

// TestDaemonThatStopsAnswering after the first question.
func TestDaemonThatStopsAnswering(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for ten seconds, which is what it is about")
	}
	w := newWorld(t)
	w.up()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			rw.Header().Set("Api-Version", "1.41")
			return
		}
		<-done
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { close(done); _ = server.Close() })
	w.env = append(w.env, "DOCKER_HOST=unix://"+socket)
	code, o, errs := w.status("--", "fakecli", "exit", "0")
	if code != 69 || o.Reason != "daemon_timeout" || o.RanOn != "none" {
		t.Errorf("%d %+v %s", code, o, errs)
	}
}
