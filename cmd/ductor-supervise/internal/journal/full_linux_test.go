package journal

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
)

// TestMain lets this binary run again, on a file system that it may fill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("JOURNAL_TEST_FULL"); dir != "" {
		os.Exit(onFullDisk(dir))
	}
	clitest.Main(m)
}

// TestFullDevice: a device that is always full, without any set-up.
func TestFullDevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	told, warnings := 0, 0
	j := open(t, path, func(line []byte, e Event) {
		if line == nil {
			warnings++
			return
		}
		told++
		if e.Seq != int64(told) {
			t.Errorf("event %d has number %d", told, e.Seq)
		}
	})
	for range 100 {
		j.Write(Event{Type: Warning, Message: "x"})
	}
	if told != 100 || warnings != 1 {
		t.Errorf("%d events and %d warnings were told, want 100 and 1", told, warnings)
	}
	if err := WriteStatus("/dev/full/status.json", status()); err == nil {
		t.Error("a status was stored nowhere")
	}
}

// TestFullDisk fills a small file system and makes room again.
func TestFullDisk(t *testing.T) {
	clitest.Need(t, "namespaces")
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=256k none "$JOURNAL_TEST_FULL" && exec "$0"`, self)
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_FULL="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func onFullDisk(dir string) int {
	fail := func(args ...any) int { fmt.Println(args...); return 1 }
	path := filepath.Join(dir, "events.jsonl")
	warnings := 0
	j, err := Open(path, func(line []byte, e Event) {
		if line == nil {
			warnings++
		}
	})
	if err != nil {
		return fail(err)
	}
	pad := strings.Repeat("x", 10000) // not a page: the last line is torn by the end of the disk
	for range 50 {
		j.Write(Event{Type: Warning, Message: pad})
	}
	if warnings != 1 {
		return fail("warnings: ", warnings)
	}
	for n := 10000; n > 0; n /= 2 { // the room that was too small for an event
		f, err := os.OpenFile(filepath.Join(dir, "fill"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		for err == nil {
			_, err = f.Write(make([]byte, n))
		}
		f.Close()
	}
	if err := WriteStatus(filepath.Join(dir, "status.json"), status()); err == nil {
		return fail("a status was stored on a full disk")
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if len(left) != 0 {
		return fail("left behind: ", left)
	}
	whole := 0
	_ = Each(path, func([]byte, Event) { whole++ })
	data, err := os.ReadFile(path)
	if err != nil || whole < 10 || whole > 40 || strings.Count(string(data), "\n") != whole || data[len(data)-1] != '\n' {
		return fail("on the full disk: ", whole, " whole events in ", len(data), " bytes ", err)
	}
	if err := os.Truncate(path, 0); err != nil { // somebody makes room
		return fail(err)
	}
	j.Write(Event{Type: Warning, Message: "room"})
	var last Event
	_ = Each(path, func(_ []byte, e Event) { last = e })
	if last.Message != "room" || last.Seq != 51 {
		return fail("after room was made: ", last.Seq, " ", last.Message)
	}
	return 0
}
