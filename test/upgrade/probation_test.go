//go:build linux

package upgrade

import (
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ductor/internal/common/clitest"
	"ductor/test/pyindex"
)

// TestCrashLoop is a bot that upgrades itself, under the real supervisor, to a
// version that passes every test and then crashes at each start. After the third
// time the version before runs again, knows why, and is not offered that one
// again.
func TestCrashLoop(t *testing.T) {
	bot := func(then string) string {
		return "import os, subprocess, time\n" +
			"log = open(os.path.expanduser('~/log'), 'a', buffering=1)\n" +
			"log.write('start ' + __version__ + '\\n')\n" + then
	}
	upgrading := bot("subprocess.run(['ductor-update', 'sentinel', 'consume'], stdout=log)\n" +
		"subprocess.run(['ductor-update', 'upgrade', '--chat-id', '42', '--restart'], stdout=log)\n" +
		"log.write('stays\\n')\n" +
		"time.sleep(1000)")
	w := newWorld(t, pyindex.Release{Version: "1.0", Main: upgrading}, pyindex.Release{Version: "1.1", Main: bot("sys.exit(1)")})
	if err := os.Symlink(w.update, w.venv+"/bin/ductor-update"); err != nil {
		t.Fatal(err)
	}
	words, err := os.Create(w.dir + "/words")
	if err != nil {
		t.Fatal(err)
	}
	defer words.Close()
	cmd := w.command(clitest.PlainBin(t)+"/ductor-supervise", "--backoff", "20ms:100ms", "--on-crash", "ductor-update rollback --if-pending", "--", w.venv+"/bin/python", "-m", "ductor_bot")
	cmd.Stdout, cmd.Stderr = words, words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	defer stop()
	for deadline := time.Now().Add(clitest.Patience); !strings.Contains(w.file("log"), "stays"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s\n%s", w.file("log"), w.file("words"))
		}
	}
	var lines []string
	for line := range strings.Lines(w.file("log")) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), `,"target"`)
		lines = append(lines, line)
	}
	want := []string{"start 1.0", `{"schema":1,"status":"upgraded","old":"1.0","new":"1.1"`, "start 1.1", "start 1.1", "start 1.1", "start 1.0",
		`{"schema":1,"chat_id":42,"old_version":"1.1","new_version":"1.0","status":"rolled-back"}`, `{"schema":1,"status":"unchanged","old":"1.0","new":"1.0","package":"ductor"`, "stays"}
	for i, line := range want {
		if i >= len(lines) || !strings.HasPrefix(lines[i], line) {
			t.Fatalf("line %d is not %s\n%s\n%s", i+1, line, w.file("log"), w.file("words"))
		}
	}
	if st := w.state(); st["probation"] != nil || st["journal"] != nil || string(st["blocked"]) != `["1.1"]` {
		t.Errorf("%s", st)
	}
	stop()
	w.tidy()
}
