package guard

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ductor/internal/common/clitest"
)

// TestMain lets the test's own program be the guard, and the supervisor of one.
func TestMain(m *testing.M) {
	if os.Args[0] == Name {
		os.Exit(Run(os.Args[1:]))
	}
	if scope := os.Getenv("GUARD_TEST"); scope != "" {
		supervise(scope)
	}
	clitest.Main(m)
}

// supervise starts a bot with a companion in its group, puts a guard over it,
// tells both PIDs, and waits for the bot's end and then to be killed.
func supervise(scope string) {
	bot := exec.Command("sh", "-c", `sleep 600 & echo $$ $!; exec sleep 600`)
	bot.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	bot.Stdout = os.Stdout
	err := bot.Start()
	if err == nil {
		err = Start(bot.Process.Pid, scope == "alone")
	}
	if err != nil {
		panic(err)
	}
	_ = bot.Wait()
	select {}
}

// group is what such a supervisor has.
type group struct {
	sup                   *exec.Cmd
	bot, companion, guard int
}

func guarded(t *testing.T, scope string) (g group) {
	t.Helper()
	g.sup = exec.Command("/proc/self/exe")
	g.sup.Env = append(os.Environ(), "GUARD_TEST="+scope)
	out, err := g.sup.StdoutPipe()
	if err == nil {
		err = g.sup.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.sup.Process.Kill()
		_ = g.sup.Wait()
		_ = unix.Kill(-g.bot, unix.SIGKILL)
	})
	if _, err := fmt.Fscan(out, &g.bot, &g.companion); err != nil {
		t.Fatal(err)
	}
	clitest.Wait(t, "the guard", func() bool { g.guard = guardIn(g.bot); return g.guard != 0 })
	return g
}

// guardIn finds the guard of a group.
func guardIn(pgid int) int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		cmdline, _ := os.ReadFile(f)
		if got, err := unix.Getpgid(pid); err == nil && got == pgid && strings.HasPrefix(string(cmdline), Name+"\x00") {
			return pid
		}
	}
	return 0
}

func ended(t *testing.T, what string, pid int) {
	t.Helper()
	clitest.Wait(t, "the end of "+what, func() bool { return !clitest.Running(pid) })
}

func TestSupervisorKilled(t *testing.T) {
	g := guarded(t, "group")
	_ = g.sup.Process.Kill()
	ended(t, "the bot", g.bot)
	ended(t, "its companion", g.companion)
	ended(t, "the guard", g.guard)
}

func TestSupervisorKilledLeaderOnly(t *testing.T) {
	g := guarded(t, "alone")
	_ = g.sup.Process.Kill()
	ended(t, "the bot", g.bot)
	ended(t, "the guard", g.guard)
	if !clitest.Running(g.companion) {
		t.Error("the companion is gone")
	}
}

// TestBotEnds: what is left of the group is the supervisor's business.
func TestBotEnds(t *testing.T) {
	g := guarded(t, "group")
	_ = unix.Kill(g.bot, unix.SIGKILL)
	ended(t, "the guard", g.guard)
	if !clitest.Running(g.companion) {
		t.Error("the companion is gone")
	}
}

// TestGroupStopped: a guard is no reason to wait.
func TestGroupStopped(t *testing.T) {
	g := guarded(t, "group")
	_ = unix.Kill(-g.bot, unix.SIGTERM)
	ended(t, "the guard", g.guard)
}

// TestSupervisorGoneBefore: it was killed before the guard could look.
func TestSupervisorGoneBefore(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	bot := exec.Command("sleep", "600")
	bot.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := bot.Start(); err != nil {
		t.Fatal(err)
	}
	guard := exec.Command("/proc/self/exe")
	guard.Args = []string{Name, strconv.Itoa(gone.Process.Pid), strconv.Itoa(bot.Process.Pid), "false"}
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: bot.Process.Pid}
	if err := guard.Run(); err != nil {
		t.Error(err)
	}
	if err := bot.Wait(); err == nil {
		t.Error("the bot was not ended")
	}
}

// TestForeignGroup: whoever calls it by hand ends nothing.
func TestForeignGroup(t *testing.T) {
	for _, args := range [][]string{nil, {"1", "2"}, {"x", "y", "z"}, {"1", strconv.Itoa(os.Getppid() + 1), "false"}} {
		if code := Run(args); code != 64 {
			t.Errorf("%q: %d", args, code)
		}
	}
}
