package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/clitest"
	"ductor/internal/common/home"
)

func TestMain(m *testing.M) { clitest.Main(m) }

func TestScripts(t *testing.T) { clitest.Scripts(t, "testdata") }

// stage is a folder with a home, in which supervisors are started.
type stage struct {
	t    *testing.T
	bin  string
	dir  string
	home home.Home
	env  []string
	n    int
}

// newStage ends, at the end of the test, what is still there.
func newStage(t *testing.T, bin string) *stage {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, bin: bin, dir: dir, home: home.Home(filepath.Join(dir, "home"))}
	s.env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir,
		"DUCTOR_HOME="+string(s.home), "DUCTOR_SUPERVISOR_PID=", "DUCTOR_INSTANCE=")
	t.Cleanup(func() {
		for _, pid := range clitest.Supervised(string(s.home)) {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
	})
	return s
}

func (s *stage) run() home.Run           { return s.home.Run(home.DefaultName) }
func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// proc is a running program; its words are in the file log.
type proc struct {
	*exec.Cmd
	t    *testing.T
	log  string
	done chan struct{}
}

// command prepares a program of ours, with a log for its output.
func (s *stage) command(name string, args ...string) *proc {
	s.n++
	p := &proc{Cmd: exec.Command(name, args...), t: s.t, log: s.path("log" + strconv.Itoa(s.n)), done: make(chan struct{})}
	if path := filepath.Join(s.bin, name); filepath.Base(name) == name {
		if _, err := os.Stat(path); err == nil {
			p.Cmd = exec.Command(path, args...)
		}
	}
	p.Dir, p.Env = s.dir, s.env
	return p
}

// start starts it, to be killed at the end of the test if it is still there.
func (p *proc) start() *proc {
	p.t.Helper()
	f, err := os.Create(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	if p.Stdout == nil {
		p.Stdout = f
	}
	if p.Stderr == nil {
		p.Stderr = f
	}
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = p.Cmd.Wait()
		close(p.done)
	}()
	p.t.Cleanup(func() {
		if p.t.Failed() {
			p.t.Logf("%s %q:\n%s", p.Args[0], p.Args[1:], p.words())
		}
		_ = p.Process.Kill()
		<-p.done
	})
	return p
}

// supervise starts a supervisor of the default name.
func (s *stage) supervise(args ...string) *proc {
	s.t.Helper()
	return s.command("ductor-supervise", args...).start()
}

func (p *proc) words() string {
	data, _ := os.ReadFile(p.log)
	return string(data)
}

func (p *proc) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		p.t.Fatalf("send %v to %q: %v", sig, p.Args, err)
	}
}

func (p *proc) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ends waits for the end and compares the exit code, which is 128+n for a signal.
func (p *proc) ends(want int) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(clitest.Patience):
		p.t.Fatalf("%q has not ended\n%s", p.Args, p.words())
	}
	if got := clitest.CodeOf(p.ProcessState); got != want {
		p.t.Fatalf("%q: %v, not exit code %d\n%s", p.Args, p.ProcessState, want, p.words())
	}
}

// status waits for a status that fits.
func (s *stage) status(what string, ok func(journal.Status) bool) (st journal.Status) {
	s.t.Helper()
	clitest.Wait(s.t, what, func() bool {
		var err error
		st, err = journal.ReadStatus(s.run().Status())
		return err == nil && ok(st)
	})
	return st
}

// up waits for the run that comes after so many restarts.
func (s *stage) up(restarts int) journal.Status {
	s.t.Helper()
	return s.status("up after "+strconv.Itoa(restarts)+" restarts", func(st journal.Status) bool {
		return st.State == "up" && st.Restarts == restarts
	})
}

// lines returns the lines of a file, which may be absent.
func (s *stage) lines(name string) []string {
	data, err := os.ReadFile(s.path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' })
}

// noTwins fails if some `fakebot alone FILE` met another, and if processes of
// the home are left. Those whose end was asked for by the kernel alone (a
// parent-death signal) may take a moment.
func (s *stage) noTwins(file string) {
	s.t.Helper()
	if twins := s.lines(file + ".twins"); len(twins) > 0 {
		s.t.Errorf("two bots at once: %q", twins)
	}
	if left := clitest.Supervised(string(s.home)); len(left) > 0 {
		s.t.Errorf("left behind: processes %d", left)
	}
}

func (p *proc) terminate() { p.t.Helper(); p.signal(syscall.SIGTERM) }
