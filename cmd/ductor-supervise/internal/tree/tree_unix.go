//go:build unix

package tree

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// StatusFD is what Spec.Status is called in the child.
const StatusFD = 3

// Keeper starts trees, one at a time.
type Keeper struct {
	opt      Options
	requests chan request
	adopter  // who else may become our child
}

type request struct {
	spec  Spec
	reply chan<- started
}

type started struct {
	tree *Tree
	err  error
}

// New prepares this process to be the ancestor that orphans fall back to,
// where the system knows such a thing. One Keeper a process.
func New(opt Options) *Keeper {
	k := &Keeper{opt: opt, requests: make(chan request)}
	k.adopter.init(opt)
	go k.spawner()
	return k
}

// spawner is the one thread that starts children and then waits for them. A
// parent-death signal is sent when the THREAD ends that spawned, so this one
// never does.
func (k *Keeper) spawner() {
	runtime.LockOSThread()
	for req := range k.requests {
		t, err := k.spawn(req.spec)
		req.reply <- started{t, err}
		if err == nil {
			exit := awaitExit(t.PID)
			t.ended.Store(true)
			t.exited <- exit
		}
	}
}

func (k *Keeper) spawn(s Spec) (*Tree, error) {
	attr := &syscall.ProcAttr{
		Dir:   s.Dir,
		Env:   s.Env,
		Files: []uintptr{s.Stdin.Fd(), s.Stdout.Fd(), s.Stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	}
	if s.Status != nil {
		attr.Files = append(attr.Files, s.Status.Fd())
	}
	dieWithParent(attr.Sys)
	pid, err := syscall.ForkExec(s.Path, s.Argv, attr)
	if err != nil {
		return nil, &os.PathError{Op: "fork/exec", Path: s.Path, Err: err}
	}
	t := &Tree{PID: pid, k: k, exited: make(chan Exit, 1), asked: map[int]bool{}}
	k.watchOver(t)
	return t, nil
}

// Start starts the leader of a new tree in a process group of its own. The
// tree before must be gone.
func (k *Keeper) Start(s Spec) (*Tree, error) {
	reply := make(chan started)
	k.requests <- request{s, reply}
	r := <-reply
	return r.tree, r.err
}

// Tree is a leader and what came of it. The leader stays a zombie until the
// whole tree is gone, which keeps its PID, and so the group's, from being
// given to somebody else while we may still have to signal the group.
type Tree struct {
	PID    int
	k      *Keeper
	exited chan Exit
	asked  map[int]bool // processes outside the group that had the stop signal
	sig    syscall.Signal
	reaped bool
	// refused: the leader may not be signalled, and that was said.
	refused bool
	ended   atomic.Bool // the leader is a zombie
}

// Exited delivers, once, how the leader ended.
func (t *Tree) Exited() <-chan Exit { return t.exited }

// Terminate sends the stop signal, and CONT so that a stopped process can
// obey, to the group. What has left the group gets them when it is orphaned
// and Gone finds it: until then its parent is to end it.
func (t *Tree) Terminate(sig os.Signal) {
	t.sig = sig.(syscall.Signal)
	t.signal(t.sig)
	t.signal(syscall.SIGCONT)
}

// Kill ends everything that is known of the tree. It is to be repeated until
// Gone, because what it orphans is found only then.
func (t *Tree) Kill() {
	t.sig = syscall.SIGKILL
	t.signal(syscall.SIGKILL)
	if !t.k.opt.LeaderOnly {
		for _, pid := range t.k.strays(t.PID) {
			t.k.end(pid, syscall.SIGKILL)
		}
	}
}

// signal reaches the group, and the leader if that has left it. The leader has
// not been reaped, so neither number can have been given to somebody else.
func (t *Tree) signal(sig syscall.Signal) {
	if t.reaped {
		return
	}
	if !t.k.opt.LeaderOnly {
		_ = unix.Kill(-t.PID, sig)
		if pgid, err := unix.Getpgid(t.PID); err == nil && pgid == t.PID && sig != syscall.SIGKILL {
			return
		}
	}
	if err := unix.Kill(t.PID, sig); errors.Is(err, unix.EPERM) && !t.refused && !t.ended.Load() {
		t.refused = true
		t.k.opt.Warn("PID %d became another user's and may not be signalled", t.PID)
	}
}

// Gone reports whether nothing of the tree is left, and lets the leader go
// then. It may be asked once the leader has exited, and passes the stop signal
// to processes that it finds for the first time.
func (t *Tree) Gone() bool {
	if t.reaped {
		return true
	}
	if !t.k.opt.LeaderOnly && !t.alone() {
		return false
	}
	t.reaped = true
	for {
		_, err := unix.Wait4(t.PID, nil, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			return true
		}
	}
}
