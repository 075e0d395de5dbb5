package tree

import (
	"os"
	"syscall"

	"golang.org/x/sys/windows"

	"ductor/internal/common/process"
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

// Reap has nothing to do: Windows has no zombies.
func (*Keeper) Reap(int) {}

// Tree is a leader and the Job Object that holds it and what came of it.
type Tree struct {
	PID    int
	k      *Keeper
	job    *process.Job
	exited chan Exit
	gone   bool
}

// Start starts the leader suspended, puts it into a job, which ends with us,
// and only then lets it run, so that no child of it can be outside.
func (k *Keeper) Start(s Spec) (*Tree, error) {
	job, err := process.NewJob()
	if err != nil {
		return nil, err
	}
	p, err := startSuspended(s)
	if err != nil {
		job.Close()
		return nil, err
	}
	if err := job.Adopt(p.Pid); err != nil {
		_ = p.Kill()
		_, _ = p.Wait()
		job.Close()
		return nil, err
	}
	t := &Tree{PID: p.Pid, k: k, job: job, exited: make(chan Exit, 1)}
	go func() {
		code := 128 + 9 // what we use to kill, if it cannot be learnt
		if state, err := p.Wait(); err == nil {
			code = state.ExitCode()
		}
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

// Terminate sends CTRL_BREAK to the leader's group. Without a console of ours
// that reaches nobody, and Kill follows after the stop timeout.
func (t *Tree) Terminate(os.Signal) {
	_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(t.PID))
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
