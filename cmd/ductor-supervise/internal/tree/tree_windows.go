package tree

import (
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/windows"

	"ductor/internal/common/job"
)

// StatusFD is not a number of ours here: the child is told a handle.
const StatusFD = -1

// Keeper starts trees, one at a time.
type Keeper struct{ opt Options }

// New prepares a Keeper.
func New(opt Options) *Keeper { return &Keeper{opt} }

// Changed never tells anything: a job is asked.
func (*Keeper) Changed() <-chan os.Signal { return nil }

// Spare has nothing to do: what is not in the job is not of the tree.
func (*Keeper) Spare(int, bool) {}

// Dismiss has nothing to do: what hooks left behind ended with their job.
func (*Keeper) Dismiss() {}

// Reap has nothing to do: Windows has no zombies.
func (*Keeper) Reap(int) {}

// Tree is a leader and the Job Object that holds it and what came of it.
type Tree struct {
	PID    int
	k      *Keeper
	job    *job.Job
	exited chan Exit
	ended  atomic.Bool // the leader has
	gone   bool
}

// Start starts the leader suspended, puts it into a job, which ends with us,
// and only then lets it run, so that no child of it can be outside.
func (k *Keeper) Start(s Spec) (*Tree, error) {
	j, err := job.New()
	if err != nil {
		return nil, err
	}
	p, err := startSuspended(s)
	if err != nil {
		j.Close()
		return nil, err
	}
	if err := j.Adopt(p.Pid); err != nil {
		_ = p.Kill()
		_, _ = p.Wait()
		j.Close()
		return nil, err
	}
	t := &Tree{PID: p.Pid, k: k, job: j, exited: make(chan Exit, 1)}
	go func() {
		code := 128 + 9 // what we use to kill, if it cannot be learnt
		if state, err := p.Wait(); err == nil {
			code = state.ExitCode()
		}
		t.ended.Store(true)
		t.exited <- Exit{Code: code}
	}()
	return t, nil
}

func startSuspended(s Spec) (*os.Process, error) {
	attr := &os.ProcAttr{Dir: s.Dir, Env: s.Env, Files: []*os.File{s.Stdin, s.Stdout, s.Stderr},
		Sys: &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_SUSPENDED}}
	if s.Status != nil {
		h := s.Status.Fd()
		if err := windows.SetHandleInformation(windows.Handle(h), windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT); err != nil {
			return nil, os.NewSyscallError("SetHandleInformation", err)
		}
		attr.Sys.AdditionalInheritedHandles = []syscall.Handle{syscall.Handle(h)}
	}
	return os.StartProcess(s.Path, s.Argv, attr)
}

// Exited delivers, once, how the leader ended.
func (t *Tree) Exited() <-chan Exit { return t.exited }

// Terminate sends CTRL_BREAK to the leader's group. If that can reach nobody,
// there is nothing to wait for, and everything is ended at once.
func (t *Tree) Terminate(os.Signal) {
	if t.gone || t.job.Empty() {
		return
	}
	if err := job.AskGroup(t.PID); err != nil {
		if !t.ended.Load() { // what a leader left could not be asked by it either
			t.k.opt.Warn("PID %d cannot be asked to end and is killed: %v", t.PID, err)
		}
		t.Kill()
	}
}

// Kill ends everything in the job.
func (t *Tree) Kill() {
	if !t.gone {
		t.job.Kill()
	}
}

// Gone reports whether the job is empty, and gives it up then.
func (t *Tree) Gone() bool {
	switch {
	case t.gone:
		return true
	case t.k.opt.LeaderOnly:
		t.job.Abandon()
	case !t.job.Empty():
		return false
	}
	t.gone = true
	t.job.Close()
	return true
}
