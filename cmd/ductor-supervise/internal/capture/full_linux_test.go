package capture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

// TestMain lets this binary run again, on a file system that it may fill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CAPTURE_TEST_FULL"); dir != "" {
		if err := onFullDisk(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	clitest.Main(m)
}

// TestFullDisk fills a small file system and makes room again.
func TestFullDisk(t *testing.T) {
	clitest.Need(t, "namespaces")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=256k none "$CAPTURE_TEST_FULL" && exec "$0"`, self)
	cmd.Env = append(os.Environ(), "CAPTURE_TEST_FULL="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func onFullDisk(dir string) error {
	path := filepath.Join(dir, "bot.log")
	var mu sync.Mutex
	var told []string
	c, err := Open(Config{File: path, Size: 1 << 30, Keep: 5, Tail: 1000, Name: "bot", Warn: func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf(format, args...))
	}})
	if err != nil {
		return err
	}
	c.queue.patience = clitest.Patience
	s, err := c.Streams()
	if err != nil {
		return err
	}
	const count = 10_000 // 330 kB and more
	for i := range count {
		fmt.Fprintf(s.Stdout, "this is line %d of a talkative bot\n", i)
	}
	fmt.Fprint(s.Stderr, "the reason\n")
	if got := s.Tail(); got != "the reason" {
		return fmt.Errorf("tail %q", got)
	}
	settled := func(n int) error {
		for deadline := time.Now().Add(clitest.Patience); ; time.Sleep(time.Millisecond) {
			c.queue.mu.Lock()
			idle := len(c.queue.pending) == 0
			c.queue.mu.Unlock()
			mu.Lock()
			ok := idle && len(told) == n
			mu.Unlock()
			if ok {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("told %q", told)
			}
		}
	}
	if err := settled(1); err != nil {
		return err
	}
	if !strings.Contains(told[0], "the log cannot be written, and the bot's output is dropped until it can: ") || !strings.Contains(told[0], "no space left") {
		return fmt.Errorf("told %q", told)
	}
	full, err := os.ReadFile(path)
	if err != nil || len(full) < 200<<10 || full[len(full)-1] != '\n' {
		return fmt.Errorf("on the full disk: %d bytes, the end %q, %w", len(full), full[max(0, len(full)-50):], err)
	}
	if err := os.Truncate(path, 0); err != nil { // somebody makes room
		return err
	}
	fmt.Fprint(s.Stdout, "room\n")
	s.Release()
	if err := settled(2); err != nil {
		return err
	}
	if err := c.Close(clitest.Patience); err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	m := regexp.MustCompile(`^\S+ \S+ bot: \((\d+) lines, (\d+) bytes were lost here\)\n((?:this is .*\n|the reason\n)*)room\n$`).FindSubmatch(data)
	if err != nil || m == nil {
		return fmt.Errorf("after room was made: %q %w", data, err)
	}
	lost, _ := strconv.Atoi(string(m[1]))
	// The last batch may be on its way when room is made.
	if kept := strings.Count(string(full)+string(m[3]), "\n"); kept+lost != count+1 {
		return fmt.Errorf("%d are kept and %d lost", kept, lost)
	}
	if want := fmt.Sprintf("%s lines, %s bytes of the bot's output were lost: ", m[1], m[2]); !strings.HasPrefix(told[1], want) {
		return fmt.Errorf("told %q", told)
	}
	return nil
}

// TestChildBlocks: a child must find descriptors that wait, as any program
// expects of its standard output.
func TestChildBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	c, _ := start(t, Config{File: path, Tail: 10})
	s := streams(t, c)
	cmd := exec.Command("sh", "-c", "grep flags /proc/self/fdinfo/1; grep flags /proc/self/fdinfo/2")
	cmd.Stdout, cmd.Stderr = s.Stdout, s.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	s.Release()
	end(t, c)
	if got := content(t, path); got != "flags:\t01\nflags:\t01\n" {
		t.Errorf("%q", got)
	}
}
