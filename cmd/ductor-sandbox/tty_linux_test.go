package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ductor/internal/common/clitest"
)

// terminal is a pair: what a person sees and types, and what a program has.
func terminal(t *testing.T, rows, cols uint16) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	size(t, person, rows, cols)
	t.Cleanup(func() { person.Close(); program.Close() })
	return person, program
}

func size(t *testing.T, f *os.File, rows, cols uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(f.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		t.Fatal(err)
	}
}

// screen collects what a person sees.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) read(f *os.File) {
	p := make([]byte, 4096)
	for {
		n, err := f.Read(p)
		s.mu.Lock()
		s.buf.Write(p[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *screen) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.buf.String(), text)
}

// TestTerminal: there is one inside if there is one outside. It has the same
// size, also after a change, Ctrl-C reaches the command, and the terminal outside
// is as before at the end.
func TestTerminal(t *testing.T) { both(t, testTerminal) }

func testTerminal(t *testing.T, w *world) {
	w.up()
	person, program := terminal(t, 33, 111)
	before, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	cmd := w.command("exec", "--", "fakecli", "winsize")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen screen
	go seen.read(person)
	wait(t, "the size", func() bool { return seen.has("33 111") })
	size(t, person, 44, 122)
	wait(t, "the new size", func() bool { return seen.has("44 122") })
	if _, err := person.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := clitest.CodeOf(cmd.ProcessState); code != 130 {
		t.Errorf("Ctrl-C: exit code %d\n%s", code, seen.buf.String())
	}
	after, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is another: %v", err)
	}
	// Where only one of the two is a terminal, there is none inside.
	if out, _ := w.do(0, "exec", "--", "fakecli", "args"); strings.Contains(out, "\r") {
		t.Errorf("%q", out)
	}
	if out, _ := w.do(0, "exec", "-t", "--", "fakecli", "args"); !strings.HasSuffix(out, "\r\n") {
		t.Errorf("%q", out)
	}
}
