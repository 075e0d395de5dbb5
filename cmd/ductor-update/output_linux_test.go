package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ductor/internal/common/clitest"
)

// TestProgress: on a terminal a line below the output says what is being done,
// and makes room for the output; it is gone at the end. An index cannot steer the
// terminal.
func TestProgress(t *testing.T) {
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer person.Close()
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	o := newOutput(program, func(string) string { return "" })
	o.begin("ductor 1.0 → 1.1")
	fmt.Fprint(o, "Collecting \x1b[31mductor\n")
	o.close()
	seen := ""
	const want = "\r\x1b[K[0s] ductor 1.0 → 1.1\r\x1b[KCollecting ?[31mductor\r\n\r\x1b[K[0s] ductor 1.0 → 1.1\r\x1b[K"
	if err := person.SetReadDeadline(time.Now().Add(clitest.Patience)); err != nil {
		t.Log(err)
	}
	for p := make([]byte, 4096); len(seen) < len(want); {
		n, err := person.Read(p)
		if seen += string(p[:n]); err != nil {
			break
		}
	}
	if seen != want {
		t.Errorf("%q, not %q", seen, want)
	}
	for _, getenv := range []func(string) string{
		func(k string) string { return map[string]string{"NO_COLOR": "1"}[k] }, func(k string) string { return map[string]string{"TERM": "dumb"}[k] },
	} {
		if o := newOutput(program, getenv); o.live {
			t.Error("a line of progress that nobody wants")
		}
	}
	if tail := o.end(); !strings.Contains(tail, "Collecting") {
		t.Errorf("%q", tail)
	}
}
