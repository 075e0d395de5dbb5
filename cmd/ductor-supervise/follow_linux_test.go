package main

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/clitest"
)

// window is a terminal of a size, with all that was ever written to it.
type window struct {
	t             *testing.T
	width, height int
	master, tty   *os.File
	mu            sync.Mutex
	output        []byte
}

func newWindow(t *testing.T, width, height int) *window {
	t.Helper()
	w := &window{t: t, width: width, height: height}
	w.master, w.tty = newTerminal(t)
	if err := unix.IoctlSetWinsize(int(w.tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)}); err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := w.master.Read(buf)
			if err != nil {
				return
			}
			w.mu.Lock()
			w.output = append(w.output, buf[:n]...)
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		if t.Failed() {
			out := w.written()
			t.Logf("the window:\n%s\n%q", strings.Join(w.lines(), "\n"), out[max(0, len(out)-2000):])
		}
	})
	return w
}

func (w *window) written() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.output)
}

func (w *window) types(keys string) {
	w.t.Helper()
	if _, err := w.master.WriteString(keys); err != nil {
		w.t.Fatal(err)
	}
}

func (w *window) modes() unix.Termios {
	w.t.Helper()
	m, err := unix.IoctlGetTermios(int(w.tty.Fd()), unix.TCGETS)
	if err != nil {
		w.t.Fatal(err)
	}
	return *m
}

var control = regexp.MustCompile(`^\x1b\[(\d*)([A-Za-z])`)

// lines are what a person sees, and all that has scrolled away: the output as
// a terminal of this size draws it.
func (w *window) lines() (lines []string) {
	rows, row, col, top := [][]rune{nil}, 0, 0, 0
	down := func() {
		if row, col = row+1, 0; row == len(rows) {
			rows = append(rows, nil)
		}
		top = max(top, row-w.height+1)
	}
	for text := w.written(); len(text) > 0; {
		if m := control.FindStringSubmatch(text); m != nil {
			text = text[len(m[0]):]
			switch n, _ := strconv.Atoi(m[1]); m[2] {
			case "A":
				row = max(row-n, top)
			case "K":
				rows[row] = rows[row][:min(col, len(rows[row]))]
			case "J":
				rows[row] = rows[row][:min(col, len(rows[row]))]
				rows = rows[:row+1]
			case "m":
			default:
				rows[row] = []rune("what is " + m[0] + "?")
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		switch {
		case r == '\r':
			col = 0
			continue
		case r == '\n':
			down()
			continue
		case col == w.width:
			down()
		}
		for len(rows[row]) <= col {
			rows[row] = append(rows[row], ' ')
		}
		rows[row][col] = r
		col++
	}
	for _, r := range rows {
		lines = append(lines, string(r))
	}
	return lines
}

// shows waits until one line, and no other, is so.
func (w *window) shows(pattern string) {
	w.t.Helper()
	re := regexp.MustCompile(pattern)
	clitest.Wait(w.t, "the window shows "+pattern, func() bool {
		n := 0
		for _, line := range w.lines() {
			if re.MatchString(line) {
				n++
			}
		}
		return n == 1
	})
}

// followIn starts status --follow in the window.
func (s *stage) followIn(w *window, env ...string) *proc {
	s.t.Helper()
	p := s.command("ductor-supervise", "status", "--follow")
	p.Env = append(append(slices.Clone(p.Env), "TERM=xterm", "NO_COLOR="), env...)
	return p.inTerminal(w.tty)
}

// TestFollowOnATerminal: one page, that changes where it stands.
func TestFollowOnATerminal(t *testing.T) {
	for _, height := range []int{24, 4} { // all of it, and less than there is
		t.Run(fmt.Sprint(height), func(t *testing.T) {
			s := newStage(t, clitest.Bin(t))
			sup := s.supervise("--", "fakebot", "on", "TERM", "0", "say", strings.Repeat("long ", 40), "touch", "up", "wait")
			first := s.up(0)
			s.exists("up")
			w := newWindow(t, 60, height)
			modes := w.modes()
			p := s.followIn(w)
			w.shows(fmt.Sprintf("^  PID         %d$", first.PID))
			for n := 1; n < 4; n++ {
				sup.signal(unix.SIGUSR1)
				second := s.up(n)
				w.shows(fmt.Sprintf("^  PID         %d$", second.PID))
				if height > 4 {
					w.shows(fmt.Sprintf("^  restarts    %d: %d signal$", n, n))
				}
				w.shows("^ductor: up for ")
			}
			// Time passes without any news.
			w.shows("^ductor: up for [1-9]")
			if got := len(w.lines()); got > height {
				t.Errorf("%d lines in a window of %d", got, height)
			}
			w.types("\x03")
			p.ends(130)
			if w.modes() != modes {
				t.Errorf("the terminal's modes are %+v, and were %+v", w.modes(), modes)
			}
			out := w.written()
			if strings.Contains(out, "\x1b[?") {
				t.Error("a mode of the window was set, such as a hidden cursor")
			}
			lines := w.lines()
			if last := lines[len(lines)-1]; strings.TrimSpace(strings.TrimPrefix(last, "^C")) != "" {
				t.Errorf("the shell goes on in %q", last)
			}
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "  command ") && strings.HasSuffix(l, "…") }) {
				t.Error("the command was not cut")
			}
			if len(strings.Split(out, "\x1b[J")) < 5 {
				t.Error("it was not drawn anew")
			}
			if s.up(3).PID == 0 || sup.over() {
				t.Error("the supervisor was disturbed")
			}
			sup.terminate()
			sup.ends(0)
		})
	}
}

// TestFollowAfterCtrlZ: what the shell wrote meanwhile is not drawn over.
func TestFollowAfterCtrlZ(t *testing.T) {
	s := newStage(t, clitest.Bin(t))
	sup := s.supervise("--", "fakebot", "wait")
	s.up(0)
	w := newWindow(t, 80, 24)
	p := s.followIn(w)
	w.shows("^ductor: up for [1-9]") // drawn for the second time
	clitest.Wait(t, "all of it", func() bool { return strings.HasSuffix(w.written(), "\x1b[J") })
	w.types("\x1a")
	clitest.Wait(t, "it is stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
		return err == nil && strings.Contains(string(stat), ") T ")
	})
	if _, err := w.tty.WriteString("[1]+  Stopped\n"); err != nil {
		t.Fatal(err)
	}
	p.signal(unix.SIGCONT)
	clitest.Wait(t, "a second page", func() bool {
		lines := w.lines()
		i := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "[1]+  Stopped") })
		return i > 0 && slices.ContainsFunc(lines[i+1:], isHeader)
	})
	sup.terminate()
	p.ends(1)
}

func isHeader(line string) bool { return strings.HasPrefix(line, "ductor: ") }

// TestFollowToTheEnd: it counts down, and ends with the supervisor.
func TestFollowToTheEnd(t *testing.T) {
	s := newStage(t, clitest.Bin(t))
	sup := s.supervise("--backoff", "1h:1h", "--", "fakebot", "exit", "3")
	w := newWindow(t, 80, 24)
	s.status("back-off", func(st journal.Status) bool { return st.State == "backoff" })
	p := s.followIn(w)
	w.shows(`^ductor: backoff for \d+s$`)
	w.shows(`^  next start  in (1h0m|59m\d+s)$`)
	counts := regexp.MustCompile(`next start  in 59m\d+s`)
	clitest.Wait(t, "it counts down", func() bool {
		seen := map[string]bool{}
		for _, m := range counts.FindAllString(w.written(), -1) {
			seen[m] = true
		}
		return len(seen) > 1
	})
	sup.terminate()
	sup.ends(0)
	p.ends(1)
	w.shows("^ductor: down for ")
	w.shows("^  supervisor  none$")
	w.shows(`code 3 .*  crash$`)
	if lines := w.lines(); slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "backoff") }) {
		t.Errorf("what was is still there: %q", lines)
	}
}

// TestFollowWithoutDrawing: neither where colours are unwelcome nor where
// nothing can be drawn.
func TestFollowWithoutDrawing(t *testing.T) {
	for _, env := range []string{"NO_COLOR=1", "TERM=dumb", "TERM="} {
		t.Run(env, func(t *testing.T) {
			s := newStage(t, clitest.Bin(t))
			sup := s.supervise("--", "fakebot", "wait")
			s.up(0)
			w := newWindow(t, 200, 50)
			p := s.followIn(w, env)
			w.shows("^ductor: up for ")
			sup.signal(unix.SIGUSR1)
			pid := s.up(1).PID
			w.shows(fmt.Sprintf("^[0-9-]{10} [0-9:]{8} ductor: up, PID %d, restart 1: signal$", pid))
			sup.terminate()
			sup.ends(0)
			p.ends(1)
			w.shows("ductor: down; the last run: SIGTERM after ")
			if strings.Contains(w.written(), "\x1b") {
				t.Error("it was drawn all the same")
			}
		})
	}
}

// TestWindow: the terminal of these tests is one.
func TestWindow(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"ab\r\ncd", []string{"ab", "cd"}},
		{"abcdef", []string{"abcd", "ef"}},
		{"abcd\r\nx", []string{"abcd", "x"}},
		{"ab\r\ncd\r\n\x1b[2A\rX\x1b[K\n\rY\n\x1b[J", []string{"X", "Yd", ""}},
		{"1\r\n2\r\n3\r\n4\r\n\x1b[9A\rX", []string{"1", "2", "X", "4", ""}},
		{"a\r\nb\x1b[1A\r\x1b[J", []string{""}},
		{"\x1b[31mé\x1b[0m", []string{"é"}},
	} {
		w := &window{width: 4, height: 3, output: []byte(tt.text)}
		if got := w.lines(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}
