package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ductor/internal/common/clitest"
)

// A Keeper makes its process a subreaper and takes every later child for one
// of the tree. So each test runs in a process of its own: this binary again,
// with the name of a scene.
func TestMain(m *testing.M) {
	if name := os.Getenv("TREE_TEST_SCENE"); name != "" {
		s := &scene{dir: os.Getenv("TREE_TEST_DIR"), bot: os.Getenv("TREE_TEST_BOT"), instance: "instance-of-" + name}
		scenes[name](s)
		os.Exit(0)
	}
	clitest.Main(m)
}

// scene is a test inside the process of a Keeper.
type scene struct {
	dir, bot, instance string
	mu                 sync.Mutex
	warned             []string
}

// check ends the scene as failed.
func check(ok bool, format string, args ...any) {
	if !ok {
		_, file, line, _ := runtime.Caller(1)
		fmt.Printf("%s:%d: %s\n", filepath.Base(file), line, fmt.Sprintf(format, args...))
		os.Exit(1)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		fmt.Printf("%s:%d: %v\n", filepath.Base(file), line, err)
		os.Exit(1)
	}
	return v
}

func wait(what string, ok func() bool) {
	for deadline := time.Now().Add(clitest.Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		check(time.Now().Before(deadline), "waited in vain: %s", what)
	}
}

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

func (s *scene) keeper(opt Options) *Keeper {
	opt.Instance = s.instance
	opt.Warn = func(format string, args ...any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.warned = append(s.warned, fmt.Sprintf(format, args...))
	}
	return New(opt)
}

func (s *scene) spec(args ...string) Spec {
	null := must(os.Open(os.DevNull))
	return Spec{Path: s.bot, Argv: append([]string{"fakebot"}, args...), Env: append(os.Environ(), "DUCTOR_INSTANCE="+s.instance),
		Stdin: null, Stdout: os.Stdout, Stderr: os.Stderr}
}

func (s *scene) start(k *Keeper, args ...string) *Tree { return must(k.Start(s.spec(args...))) }

// pid waits for a PID in a file.
func (s *scene) pid(name string) (pid int) {
	wait("a PID in "+name, func() bool {
		data, _ := os.ReadFile(s.path(name))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		return pid > 1
	})
	return pid
}

func exited(t *Tree) Exit {
	select {
	case e := <-t.Exited():
		return e
	case <-time.After(clitest.Patience):
		check(false, "the leader did not end")
		panic("unreachable")
	}
}

// gone drives Gone as the supervisor does.
func gone(k *Keeper, t *Tree, kill bool) {
	wait("the tree's end", func() bool {
		k.Reap(t.PID)
		if kill {
			t.Kill()
		}
		return t.Gone()
	})
}

// state is the letter of /proc/PID/stat, or "" when there is no such process.
func state(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(data[bytes.LastIndexByte(data, ')')+1:])[0])
}

// sh starts a script, which finds the scene's folder in $D.
func (s *scene) sh(k *Keeper, script string) *Tree {
	spec := s.spec()
	spec.Path, spec.Argv = "/bin/sh", []string{"sh", "-c", script}
	spec.Env = append(spec.Env, "D="+s.dir)
	return must(k.Start(spec))
}

var scenes = map[string]func(s *scene){
	"exit codes": func(s *scene) {
		k := s.keeper(Options{})
		for _, code := range []int{0, 1, 42, 78, 127, 128, 255} {
			t := s.start(k, "exit", strconv.Itoa(code))
			e := exited(t)
			check(e == Exit{Code: code}, "exit %d was told as %+v", code, e)
			gone(k, t, false)
		}
	},
	"signals": func(s *scene) {
		k := s.keeper(Options{})
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT, syscall.SIGSEGV, unix.SIGUSR2, 40} {
			t := s.sh(k, `ulimit -c 0; kill -`+strconv.Itoa(int(sig))+` $$; sleep 100`)
			e := exited(t)
			check(e == Exit{Code: 128 + int(sig), Signal: sig}, "signal %d was told as %+v", sig, e)
			gone(k, t, false)
		}
	},
	"terminate": func(s *scene) {
		k := s.keeper(Options{})
		t := s.start(k, "pid", s.path("pid"), "wait")
		check(s.pid("pid") == t.PID, "the bot is PID %d, the tree %d", s.pid("pid"), t.PID)
		check(must(unix.Getpgid(t.PID)) == t.PID, "no group of its own")
		t.Terminate(syscall.SIGINT)
		e := exited(t)
		check(e.Signal == syscall.SIGINT, "%+v", e)
		gone(k, t, false)
	},
	// CONT: a stopped process cannot obey.
	"stopped": func(s *scene) {
		k := s.keeper(Options{})
		t := s.start(k, "on", "TERM", "7", "pid", s.path("pid"), "wait")
		s.pid("pid")
		check(unix.Kill(t.PID, unix.SIGSTOP) == nil, "stop")
		wait("the stop", func() bool { return state(t.PID) == "T" })
		t.Terminate(syscall.SIGTERM)
		e := exited(t)
		check(e == Exit{Code: 7}, "%+v", e)
		gone(k, t, false)
	},
	"ignores TERM": func(s *scene) {
		k := s.keeper(Options{})
		t := s.start(k, "ignore", "TERM", "pid", s.path("pid"), "wait")
		s.pid("pid")
		t.Terminate(syscall.SIGTERM)
		t.Kill()
		e := exited(t)
		check(e.Signal == syscall.SIGKILL, "%+v", e)
		gone(k, t, false)
	},
	// The zombie keeps its PID, and so the group's, out of the hands of others.
	"zombie is pinned": func(s *scene) {
		k := s.keeper(Options{})
		t := s.sh(k, `trap "" TERM; sleep 1000 & echo $! >$D/child.tmp; mv $D/child.tmp $D/child; exit 3`)
		child := s.pid("child")
		check(exited(t) == Exit{Code: 3}, "exit")
		for range 5 {
			check(!t.Gone(), "gone while process %d lives", child)
			k.Reap(t.PID)
			check(state(t.PID) == "Z", "the leader is %q, not a zombie", state(t.PID))
		}
		gone(k, t, true)
		check(state(t.PID) == "", "the leader is still %q", state(t.PID))
		check(state(child) == "", "the child is still %q", state(child))
		check(t.Gone(), "gone, and then not")
		t.Terminate(syscall.SIGTERM) // of a PID that may be somebody else's now
		t.Kill()
	},
	"group":  func(s *scene) { descendant(s, "group", false) },
	"setsid": func(s *scene) { descendant(s, "setsid", false) },
	"wiped":  func(s *scene) { descendant(s, "wiped", false) },
	// The leader is told to end, its descendants with it.
	"group, asked":  func(s *scene) { descendant(s, "group", true) },
	"setsid, asked": func(s *scene) { descendant(s, "setsid", true) },
	"wiped, asked":  func(s *scene) { descendant(s, "wiped", true) },
	// A double fork: nobody but the subreaper knows it.
	"daemon": func(s *scene) {
		k := s.keeper(Options{})
		t := s.sh(k, `setsid sh -c '(trap "" TERM; sh -c "echo \$\$ >$D/daemon.tmp; mv $D/daemon.tmp $D/daemon; exec sleep 1000" &)'; exit 5`)
		daemon := s.pid("daemon")
		check(exited(t) == Exit{Code: 5}, "exit")
		check(!t.Gone(), "gone while the daemon lives")
		gone(k, t, true)
		check(state(daemon) == "", "the daemon is still %q", state(daemon))
	},
	// Orphans that end while the leader runs must not stay zombies.
	"reap": func(s *scene) {
		k := s.keeper(Options{})
		t := s.sh(k, `for i in 1 2 3 4 5; do (sleep 0.01 & echo $! >>$D/orphans); done; echo 1 >$D/done; exec sleep 1000`)
		wait("five orphans", func() bool { _, err := os.Stat(s.path("done")); return err == nil })
		for _, word := range strings.Fields(string(must(os.ReadFile(s.path("orphans"))))) {
			pid := must(strconv.Atoi(word))
			wait("the end of an orphan", func() bool {
				select {
				case <-k.Changed():
				case <-time.After(50 * time.Millisecond):
				}
				k.Reap(t.PID)
				return state(pid) == ""
			})
		}
		check(state(t.PID) != "Z", "the leader ended")
		t.Kill()
		exited(t)
		gone(k, t, true)
	},
	"children from before": func(s *scene) {
		before := exec.Command(s.bot, "wait")
		before.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		check(before.Start() == nil, "start")
		zombie := exec.Command("true")
		check(zombie.Start() == nil, "start")
		wait("a zombie of our own", func() bool { return state(zombie.Process.Pid) == "Z" })
		k := s.keeper(Options{})
		for range 3 {
			t := s.start(k, "setsid", "1000s", "group", "1000s", "exit", "0")
			exited(t)
			t.Terminate(syscall.SIGTERM)
			gone(k, t, true)
		}
		check(state(before.Process.Pid) != "Z" && state(before.Process.Pid) != "", "a child of ours was signalled")
		check(state(zombie.Process.Pid) == "Z", "a child of ours was reaped")
		check(before.Process.Kill() == nil, "kill")
		var exit *exec.ExitError
		check(errors.As(before.Wait(), &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL, "its end is not ours to take")
		check(zombie.Wait() == nil, "a zombie of ours was taken away")
	},
	// With children of our own there is no telling them from one that wiped its
	// environment: it is left alone, and the restart goes on.
	"wiped beside children from before": func(s *scene) {
		before := exec.Command(s.bot, "wait")
		check(before.Start() == nil, "start")
		k := s.keeper(Options{})
		t := s.start(k, "wiped", "1000s", "setsid", "1000s", "exit", "0")
		exited(t)
		t.Terminate(syscall.SIGTERM)
		gone(k, t, true)
		left := slices.DeleteFunc(children(), func(pid int) bool { return pid == before.Process.Pid })
		check(len(left) == 1, "children left: %v", left)
		check(state(before.Process.Pid) != "Z", "a child of ours was signalled")
		for _, pid := range children() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	},
	// Of another user, and this process is not root: nothing can be done.
	"unkillable": func(s *scene) {
		k := s.keeper(Options{})
		var foreign int
		t := s.sh(k, `setsid sleep 1000 & echo $! >$D/foreign.tmp; mv $D/foreign.tmp $D/foreign; exit 0`)
		foreign = s.pid("foreign")
		exited(t)
		check(!t.Gone(), "gone while process %d lives", foreign)
		// From here on we are nobody, and it is root's.
		check(syscall.Setresgid(65534, 65534, 65534) == nil && syscall.Setresuid(65534, 65534, 0) == nil, "setresuid")
		wait("giving it up", func() bool { t.Kill(); return t.Gone() })
		check(len(s.warned) == 1 && strings.Contains(s.warned[0], strconv.Itoa(foreign)), "warnings %q", s.warned)
		check(state(foreign) != "" && state(foreign) != "Z", "it is dead")
		next := s.sh(k, `exit 9`)
		check(exited(next) == Exit{Code: 9}, "the next run")
		wait("the next tree's end", next.Gone)
		check(len(s.warned) == 1, "warnings %q", s.warned)
		check(syscall.Setresuid(0, 0, 0) == nil, "setresuid back")
		check(unix.Kill(foreign, unix.SIGKILL) == nil, "kill")
	},
	"leader only": func(s *scene) {
		k := s.keeper(Options{LeaderOnly: true})
		t := s.sh(k, `sleep 1000 & echo $! >$D/child.tmp; mv $D/child.tmp $D/child; wait`)
		child := s.pid("child")
		t.Terminate(syscall.SIGTERM)
		check(exited(t).Signal == syscall.SIGTERM, "exit")
		check(t.Gone(), "a leader alone is gone when it is")
		check(state(t.PID) == "", "the leader is still %q", state(t.PID))
		check(state(child) != "" && state(child) != "Z", "its child was signalled")
		t.Kill()
		check(unix.Kill(child, unix.SIGKILL) == nil, "kill")
	},
	"cannot start": func(s *scene) {
		k := s.keeper(Options{})
		spec := s.spec()
		spec.Path = s.path("none")
		_, err := k.Start(spec)
		check(errors.Is(err, os.ErrNotExist) && strings.Contains(err.Error(), spec.Path), "%v", err)
		spec.Path = s.dir
		_, err = k.Start(spec)
		check(errors.Is(err, os.ErrPermission), "%v", err)
		text := s.path("text")
		check(os.WriteFile(text, []byte("no program"), 0o700) == nil, "write")
		spec.Path = text
		_, err = k.Start(spec)
		check(errors.Is(err, syscall.ENOEXEC), "%v", err)
		spec = s.spec("exit", "0")
		spec.Dir = s.path("none")
		_, err = k.Start(spec)
		check(errors.Is(err, os.ErrNotExist), "%v", err)
		t := s.start(k, "exit", "4") // it is of use still
		check(exited(t) == Exit{Code: 4}, "exit")
		gone(k, t, false)
		check(len(children()) == 0, "children left: %v", children())
	},
	"descriptors": func(s *scene) {
		// What we have open for ourselves: with close-on-exec, as all Go files.
		for range 20 {
			must(os.Open(os.DevNull))
		}
		r, w, err := os.Pipe()
		check(err == nil, "%v", err)
		k := s.keeper(Options{})
		got := s.listFDs(k, w)
		check(sameSet(got, append(inherited(), "0", "1", "2", "3")), "with a status descriptor: %v", got)
		n, err := r.Read(make([]byte, 1))
		check(n == 0 && err == io.EOF, "the status descriptor is open somewhere: %d, %v", n, err)
		got = s.listFDs(k, nil)
		check(sameSet(got, append(inherited(), "0", "1", "2")), "without: %v", got)
	},
	"scan agrees": func(s *scene) {
		k := s.keeper(Options{})
		t := s.start(k, "group", "1000s", "setsid", "1000s", "wiped", "1000s", "pid", s.path("pid"), "exit", "0")
		leader := s.pid("pid")
		exited(t) // the orphans are ours now, the leader is a zombie
		check(!t.Gone(), "gone")
		wait("four children", func() bool { return len(children()) == 4 })
		a, b := children(), childrenByScan()
		slices.Sort(a)
		slices.Sort(b)
		check(slices.Equal(a, b) && slices.Contains(a, leader), "children %v, by scan %v", a, b)
		instance := 0
		for _, pid := range a {
			if HasInstance(pid, s.instance) {
				instance++
			}
			check(!HasInstance(pid, "") && !HasInstance(pid, s.instance[1:]) && !HasInstance(pid, s.instance+"x"), "an instance of another")
		}
		check(instance == 2, "%d have our instance, want 2 (a zombie and a wiped one have none)", instance)
		gone(k, t, true)
		check(len(children()) == 0, "children left: %v", children())
	},
	// The signal is bound to the thread that spawned. Go's threads come and go.
	"lives while we live": func(s *scene) {
		k := s.keeper(Options{})
		t := s.start(k, "on", "TERM", "66", "pid", s.path("pid"), "wait")
		s.pid("pid")
		for range 20 {
			var wg sync.WaitGroup
			for range 8 { // a thread that ends with its goroutine
				wg.Add(1)
				go func() {
					defer wg.Done()
					runtime.LockOSThread()
					_ = make([]byte, 1<<20)
					time.Sleep(time.Millisecond)
				}()
			}
			wg.Wait()
			runtime.GC()
		}
		select {
		case e := <-t.Exited():
			check(false, "it ended: %+v", e)
		default:
		}
		t.Terminate(syscall.SIGTERM) // that it would have ended, had it had the signal
		check(exited(t) == Exit{Code: 66}, "exit")
		gone(k, t, false)
	},
	// Run by TestParentDeathSignal, which kills us.
	"killed": func(s *scene) {
		k := s.keeper(Options{})
		s.start(k, "pid", s.path("pid"), "on", "TERM", "0", "wait")
		select {}
	},
	"many": func(s *scene) {
		k := s.keeper(Options{})
		fds := len(must(os.ReadDir("/proc/self/fd")))
		for i := range 50 {
			t := s.start(k, "setsid", "1000s", "group", "1000s", "exit", strconv.Itoa(i))
			check(exited(t) == Exit{Code: i}, "exit")
			t.Terminate(syscall.SIGTERM)
			gone(k, t, false)
		}
		check(len(children()) == 0, "children left: %v", children())
		runtime.GC()
		now := len(must(os.ReadDir("/proc/self/fd")))
		check(now <= fds+60, "from %d to %d descriptors", fds, now) // one /dev/null of ours each, until collected
	},
}

// descendant: what the leader left behind is found and ended.
func descendant(s *scene, how string, asked bool) {
	k := s.keeper(Options{})
	args := []string{how, "1000s", how, "1000s", "pid", s.path("pid")}
	if asked {
		args = append(args, "on", "TERM", "0", "wait")
	} else {
		args = append(args, "exit", "0")
	}
	t := s.start(k, args...)
	s.pid("pid")
	var left []int
	if asked {
		left = childrenOf(t.PID)
		t.Terminate(syscall.SIGTERM)
		exited(t)
	} else {
		exited(t)
		left = slices.DeleteFunc(children(), func(pid int) bool { return pid == t.PID })
	}
	check(len(left) == 2, "%d descendants, want 2", len(left))
	t.Terminate(syscall.SIGTERM)
	gone(k, t, false) // TERM is enough
	for _, pid := range left {
		check(state(pid) == "", "descendant %d is %q", pid, state(pid))
	}
	check(len(children()) == 0, "children left: %v", children())
}

func childrenOf(pid int) (pids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range tasks {
		data, _ := os.ReadFile(path)
		for _, word := range strings.Fields(string(data)) {
			pids = append(pids, must(strconv.Atoi(word)))
		}
	}
	return pids
}

// listFDs lets a shell list its descriptors. Go programs open some at once.
func (s *scene) listFDs(k *Keeper, status *os.File) []string {
	spec := s.spec()
	spec.Path, spec.Argv, spec.Status = "/bin/sh", []string{"sh", "-c", `ls /proc/$$/fd; :`}, status
	spec.Stdout = must(os.Create(s.path("fds")))
	t := must(k.Start(spec))
	if status != nil {
		status.Close()
	}
	exited(t)
	gone(k, t, false)
	return strings.Fields(string(must(os.ReadFile(s.path("fds")))))
}

// inherited lists the descriptors that we got without close-on-exec: they are
// meant to be passed on.
func inherited() (fds []string) {
	for _, e := range must(os.ReadDir("/proc/self/fd")) {
		fd := must(strconv.Atoi(e.Name()))
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, e.Name())
		}
	}
	return fds
}

func sameSet(a, b []string) bool {
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, slices.Compact(b))
}

// play runs a scene in a process of its own.
func play(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "TREE_TEST_SCENE="+name, "TREE_TEST_DIR="+t.TempDir(),
		"TREE_TEST_BOT="+filepath.Join(clitest.Bin(t), "fakebot"), "DUCTOR_HOME="+t.TempDir())
	return cmd
}

func TestScenes(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(scenes)) {
		if name == "killed" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if name == "unkillable" {
				clitest.Need(t, "setpriv")
			}
			t.Parallel()
			out, err := play(t, name).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// TestParentDeathSignal: a supervisor that is killed takes its bot along.
func TestParentDeathSignal(t *testing.T) {
	cmd := play(t, "killed")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	var dir string
	for _, kv := range cmd.Env {
		if d, ok := strings.CutPrefix(kv, "TREE_TEST_DIR="); ok {
			dir = d
		}
	}
	var bot int
	clitest.Wait(t, "the bot's start", func() bool {
		data, _ := os.ReadFile(filepath.Join(dir, "pid"))
		bot, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		return bot > 1
	})
	if !clitest.Running(bot) {
		t.Fatal("the bot does not run")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	clitest.Wait(t, "the bot's end", func() bool { return !clitest.Running(bot) })
}
