package clitest

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// background holds what a script spawned.
type background struct {
	mu   sync.Mutex
	keys []string // of the environment
	jobs map[string]*job
}

type job struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}
}

// setUpBackground lets a script spawn, and ends at its end what it left.
func setUpBackground(env *testscript.Env) {
	b := &background{jobs: map[string]*job{}}
	for _, kv := range env.Vars {
		key, _, _ := strings.Cut(kv, "=")
		b.keys = append(b.keys, key)
	}
	env.Values["background"] = b
	home := filepath.Join(env.WorkDir, "home")
	env.Defer(func() {
		b.end()
		for _, pid := range Supervised(home) {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
	})
}

func backgroundOf(ts *testscript.TestScript) *background { return ts.Value("background").(*background) }

// end asks twice, which makes a supervisor kill its bot, and then kills.
func (b *background) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, j := range b.jobs {
		for _, sig := range []os.Signal{signals["CONT"], syscall.SIGTERM, syscall.SIGTERM} {
			if sig != nil {
				_ = Send(j.cmd.Process.Pid, sig)
			}
		}
	}
	for _, j := range b.jobs {
		select {
		case <-j.done:
		case <-time.After(5 * time.Second):
			_ = j.cmd.Process.Kill()
			<-j.done
		}
	}
}

// spawn starts a command and lets it run. Its output is in NAME.out and
// NAME.err while it comes, its PID in NAME.pid. What the script added to its
// environment by env is not known here: name it again.
func spawn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: spawn NAME [KEY=VALUE…] CMD [ARG…]")
	}
	b, name, args := backgroundOf(ts), args[0], args[1:]
	env := []string{"PWD=" + ts.MkAbs(".")}
	for _, key := range b.keys {
		env = append(env, key+"="+ts.Getenv(key))
	}
	for len(args) > 1 && strings.Contains(args[0], "=") {
		env, args = append(env, args[0]), args[1:]
	}
	cmd := exec.Command(args[0], args[1:]...)
	if !strings.Contains(args[0], string(filepath.Separator)) {
		cmd = exec.Command(look(ts, args[0]), args[1:]...)
	}
	cmd.Dir, cmd.Env = ts.MkAbs("."), env
	j := &job{cmd: cmd, done: make(chan struct{})}
	var err error
	j.stdin, err = cmd.StdinPipe()
	ts.Check(err)
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	defer out.Close()
	errs, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer errs.Close()
	cmd.Stdout, cmd.Stderr = out, errs
	ts.Check(cmd.Start())
	ts.Check(os.WriteFile(ts.MkAbs(name+".pid"), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.jobs[name] = j
	go func() {
		_ = cmd.Wait()
		close(j.done)
	}()
}

// look searches the script's PATH, which is not ours.
func look(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	ts.Fatalf("%s is not on PATH", name)
	return ""
}

func (b *background) job(ts *testscript.TestScript, name string) *job {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.jobs[name]
	if j == nil {
		ts.Fatalf("nothing was spawned as %q", name)
	}
	return j
}

// ended waits for the end of what was spawned and compares its exit code,
// which is 128+n for a signal.
func ended(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ended NAME N")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	j := backgroundOf(ts).job(ts, args[0])
	poll(ts, func() bool {
		select {
		case <-j.done:
			return true
		default:
			return false
		}
	}, "%s has not ended", args[0])
	if got := CodeOf(j.cmd.ProcessState); got != want {
		text, _ := os.ReadFile(ts.MkAbs(args[0] + ".err"))
		ts.Fatalf("%s: %v, not exit code %d\n%s", args[0], j.cmd.ProcessState, want, text)
	}
}

// typeLine writes a line to the standard input of what was spawned; without
// words it closes it.
func typeLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: type NAME [WORD…]")
	}
	j := backgroundOf(ts).job(ts, args[0])
	if len(args) == 1 {
		ts.Check(j.stdin.Close())
		return
	}
	_, err := io.WriteString(j.stdin, strings.Join(args[1:], " ")+"\n")
	ts.Check(err)
}

// waitcount waits for a number of matches, and fails when there are more.
func waitcount(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: waitcount FILE REGEXP N")
	}
	re := regexp.MustCompile("(?m)" + args[1])
	want, err := strconv.Atoi(args[2])
	ts.Check(err)
	got := 0
	var data []byte
	poll(ts, func() bool {
		data, _ = os.ReadFile(ts.MkAbs(args[0]))
		got = len(re.FindAll(data, -1))
		return got >= want
	}, "%s has not %d matches of %q: %q", args[0], want, re, &data)
	if got > want {
		ts.Fatalf("%s has %d matches of %q, not %d:\n%s", args[0], got, re, want, data)
	}
}

// alive fails unless the process whose PID FILE holds runs; with ! unless it
// does not.
func alive(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] alive FILE")
	}
	if pid := pidIn(ts, args[0]); Running(pid) == neg {
		ts.Fatalf("process %d of %s: running is %v", pid, args[0], neg)
	}
}

// waitreaped waits until not even a zombie is left.
func waitreaped(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitreaped FILE")
	}
	pid := pidIn(ts, args[0])
	poll(ts, func() bool {
		_, err := os.Stat("/proc/" + strconv.Itoa(pid))
		return os.IsNotExist(err)
	}, "process %d is still a zombie", pid)
}

// nobody fails if a process lives that some supervisor of the home started,
// or that one of those did.
func nobody(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: nobody [HOME]")
	}
	home := ts.Getenv("DUCTOR_HOME")
	if len(args) == 1 {
		home = ts.MkAbs(args[0])
	}
	if pids := Supervised(home); len(pids) > 0 {
		ts.Fatalf("processes %d were left", pids)
	}
}

// Supervised lists the live processes that have a DUCTOR_INSTANCE and this
// DUCTOR_HOME in their environment, where the system lets us look.
func Supervised(home string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		env, _ := os.ReadFile(f)
		env = append([]byte{0}, env...)
		if !bytes.Contains(env, []byte("\x00DUCTOR_HOME="+home+"\x00")) || !bytes.Contains(env, []byte("\x00DUCTOR_INSTANCE=")) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil && Running(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
