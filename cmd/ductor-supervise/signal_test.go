//go:build linux

package main

import (
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/clitest"
)

// newTerminal returns both ends of a new pseudo-terminal: the one that a window
// has, and the one that its programs have.
func newTerminal(t *testing.T) (window, tty *os.File) {
	t.Helper()
	window, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { window.Close() })
	raw, err := window.SyscallConn() // Fd would make it blocking, and Close wait for a reader
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if cerr := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return window, tty
}

// inTerminal makes the program the leader of a session with that terminal.
func (p *proc) inTerminal(tty *os.File) *proc {
	p.t.Helper()
	p.Stdin, p.Stdout, p.Stderr = tty, tty, tty
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	return p.start()
}

// withoutTerminal makes it the leader of a session without one.
func (p *proc) withoutTerminal() *proc {
	p.t.Helper()
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return p.start()
}

func (s *stage) signalled(name string, typ journal.Type) {
	s.t.Helper()
	s.waitEvent(string(typ)+" by "+name, func(e journal.Event) bool { return e.Type == typ && e.Signal == name })
}

// waitLines waits for so many lines in a file.
func (s *stage) waitLines(name string, n int) []string {
	s.t.Helper()
	clitest.Wait(s.t, strconv.Itoa(n)+" lines in "+name, func() bool { return len(s.lines(name)) >= n })
	return s.lines(name)
}

func TestHangup(t *testing.T) {
	t.Run("window closed", func(t *testing.T) {
		s := newStage(t, clitest.Bin(t))
		window, tty := newTerminal(t)
		sup := s.command("ductor-supervise", "--", "fakebot", "sigs", "sigs", "touch", "up", "wait").inTerminal(tty)
		s.up(0)
		s.exists("up")
		tty.Close()
		window.Close()
		sup.ends(0)
		s.signalled("SIGHUP", journal.StopRequest)
		// The bot's group is none of the terminal's: it gets TERM alone.
		if got := s.lines("sigs"); !slices.Equal(got, []string{"TERM"}) {
			t.Errorf("the bot got %q", got)
		}
		s.noTwins("up")
	})
	t.Run("nohup", func(t *testing.T) {
		s := newStage(t, clitest.Bin(t))
		window, tty := newTerminal(t)
		sup := s.command("nohup", s.bin+"/ductor-supervise", "--", "fakebot", "log", "log", "wait").inTerminal(tty)
		s.up(0)
		s.waitLines("log", 1)
		tty.Close()
		window.Close()
		// Sent once more: the one of the window comes when the kernel likes.
		sup.signal(syscall.SIGHUP)
		sup.signal(syscall.SIGUSR1)
		s.up(1)
		s.waitLines("log", 2)
		sup.terminate()
		sup.ends(0)
		if got := len(s.lines("log")); got != 2 {
			t.Errorf("%d starts, not 2", got)
		}
		s.never("SIGHUP")
	})
	t.Run("without a terminal", func(t *testing.T) {
		s := newStage(t, clitest.Bin(t))
		sup := s.command("ductor-supervise", "--", "fakebot", "log", "log", "wait").withoutTerminal()
		s.up(0)
		sup.signal(syscall.SIGHUP)
		s.up(1)
		s.signalled("SIGHUP", journal.RestartRequest)
		sup.terminate()
		sup.ends(0)
		s.signalled("SIGTERM", journal.StopRequest)
	})
	t.Run("nohup without a terminal", func(t *testing.T) {
		s := newStage(t, clitest.Bin(t))
		sup := s.command("nohup", s.bin+"/ductor-supervise", "--", "fakebot", "log", "log", "wait").withoutTerminal()
		s.up(0)
		sup.signal(syscall.SIGHUP)
		sup.signal(syscall.SIGUSR1)
		s.up(1)
		sup.terminate()
		sup.ends(0)
		s.never("SIGHUP")
	})
}

func (s *stage) exists(name string) {
	s.t.Helper()
	clitest.Wait(s.t, name, func() bool { _, err := os.Stat(s.path(name)); return err == nil })
}

// never fails if an event tells of that signal.
func (s *stage) never(name string) {
	s.t.Helper()
	_ = journal.Each(s.run().Events(), func(line []byte, e journal.Event) {
		if e.Signal == name {
			s.t.Errorf("an event that should not be: %s", line)
		}
	})
}

// TestCtrlC: what is typed reaches the supervisor alone, and the bot gets TERM.
func TestCtrlC(t *testing.T) {
	s := newStage(t, clitest.Bin(t))
	window, tty := newTerminal(t)
	sup := s.command("ductor-supervise", "--stdin", "--", "fakebot", "sigs", "sigs", "touch", "up", "echo", "typed", "wait").inTerminal(tty)
	s.up(0)
	s.exists("up")
	if _, err := io.WriteString(window, "hello\n"); err != nil {
		t.Fatal(err)
	}
	s.waitLines("typed", 1)
	if _, err := io.WriteString(window, "\x03"); err != nil {
		t.Fatal(err)
	}
	sup.ends(0)
	s.signalled("SIGINT", journal.StopRequest)
	if got := s.lines("sigs"); !slices.Equal(got, []string{"TERM"}) {
		t.Errorf("the bot got %q", got)
	}
	s.noTwins("up")
}

// TestInterruptThatWasIgnored: a script's background job has INT ignored.
func TestInterruptThatWasIgnored(t *testing.T) {
	s := newStage(t, clitest.Bin(t))
	sup := s.command("sh", "-c", `trap "" INT; exec ductor-supervise -- fakebot log log wait`).withoutTerminal()
	s.up(0)
	sup.signal(syscall.SIGINT)
	sup.signal(syscall.SIGUSR1)
	s.up(1)
	sup.terminate()
	sup.ends(0)
	s.never("SIGINT")
}

// TestBotEndsWithItsKilledSupervisor: the kernel keeps the parent-death signal
// with the thread that asked for it. A launcher that executes the bot on
// another thread than its first loses it, which happened in two starts of a
// hundred: hence the many rounds.
func TestBotEndsWithItsKilledSupervisor(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	s := newStage(t, clitest.Bin(t))
	for range rounds {
		_ = os.Remove(s.path("bot"))
		sup := s.supervise("--", "fakebot", "pid", "bot", "wait")
		pid, _ := strconv.Atoi(s.waitLines("bot", 1)[0])
		sup.signal(syscall.SIGKILL)
		sup.ends(128 + 9)
		clitest.Wait(t, "the end of bot "+strconv.Itoa(pid), func() bool { return !clitest.Running(pid) })
	}
}

// fullPipe returns the writing end of a pipe that is full and never read.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	fd := int(w.Fd()) // makes it blocking, as a shell's pipe is
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := unix.Write(fd, make([]byte, 4096)); errors.Is(err, unix.EAGAIN) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestOutputThatNobodyReads: the supervisor acts as ever.
func TestOutputThatNobodyReads(t *testing.T) {
	full := fullPipe(t)
	gone := func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		t.Cleanup(func() { w.Close() })
		return w
	}
	for name, out := range map[string]func(t *testing.T) *os.File{
		"pipe is full":   func(*testing.T) *os.File { return full },
		"reader is gone": gone,
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, clitest.Bin(t))
			p := s.command("ductor-supervise", "--events", "-", "--", "fakebot", "log", "log", "wait")
			w := out(t)
			p.Stdout, p.Stderr = w, w
			sup := p.start()
			s.up(0)
			for n := 1; n <= 3; n++ {
				sup.signal(syscall.SIGUSR1)
				s.up(n)
			}
			sup.terminate()
			sup.ends(0)
			s.waitEvent("its end", func(e journal.Event) bool { return e.Type == journal.SupervisorExit })
			s.noTwins("log")
		})
	}
	t.Run("closed", func(t *testing.T) {
		s := newStage(t, clitest.Bin(t))
		sup := s.command("sh", "-c", `exec ductor-supervise -- fakebot log log wait <&- >&- 2>&-`).start()
		s.up(0)
		sup.signal(syscall.SIGUSR1)
		s.up(1)
		sup.terminate()
		sup.ends(0)
		// What took the place of the closed ones must not have been written to.
		for _, e := range []string{string(s.run().SupervisePID()) + ".lock", string(s.run().BotPID()) + ".lock"} {
			if info, err := os.Stat(e); err != nil || info.Size() != 0 {
				t.Errorf("%s: %v, %v", e, info, err)
			}
		}
		checkJournal(t, s)
	})
}

// TestSignalsOfTheBot: what the supervisor catches or blocks is its own matter.
func TestSignalsOfTheBot(t *testing.T) {
	s := newStage(t, clitest.Bin(t))
	sup := s.supervise("--", "sh", "-c", "grep Sig /proc/self/status >sig && fakebot touch up && exec fakebot wait")
	s.exists("up")
	for _, line := range s.lines("sig") {
		name, mask, _ := strings.Cut(line, ":")
		// 0x7fffffff leaves the real-time signals out, some of which the C library keeps.
		n, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
		if (name == "SigIgn" || name == "SigBlk") && (err != nil || n&0x7fffffff != 0) {
			t.Errorf("the bot has %s", line)
		}
	}
	if len(s.lines("sig")) < 4 {
		t.Errorf("too few: %q", s.lines("sig"))
	}
	sup.terminate()
	sup.ends(0)
}

// TestWithoutInotify: where no watch can be had, markers are looked for each
// second, and a warning names the limit.
func TestWithoutInotify(t *testing.T) {
	clitest.Need(t, "namespaces")
	s := newStage(t, clitest.Bin(t))
	sup := s.command("unshare", "--user", "--map-root-user", "sh", "-c",
		"echo 0 >/proc/sys/user/max_inotify_instances && exec ductor-supervise -- fakebot log log wait").start()
	s.up(0)
	s.waitEvent("a warning that names the limit", func(e journal.Event) bool {
		return e.Type == journal.Warning && strings.Contains(e.Message, "fs.inotify.max_user_instances")
	})
	s.tool("marker", "write")
	s.up(1)
	s.tool("restart", "--wait")
	s.up(2)
	s.tool("stop", "--wait")
	sup.ends(0)
	s.waitEvent("the marker", func(e journal.Event) bool {
		return e.Type == journal.RestartRequest && e.Path == s.home.RestartRequested()
	})
}
