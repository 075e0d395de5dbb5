package tree

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// StatusFD is not a number of ours here: the child is told a handle.
const StatusFD = -1

// Keeper starts trees, one at a time.
type Keeper struct{ opt Options }

// New prepares a Keeper.
func New(opt Options) *Keeper { return &Keeper{opt} }

// Changed never tells anything: a job is asked.
func (*Keeper) Changed() <-chan os.Signal { return nil }

// Reap has nothing to do: Windows has no zombies.
func (*Keeper) Reap(int) {}

// Tree is a leader and the Job Object that holds it and what came of it.
type Tree struct {
	PID    int
	k      *Keeper
	job    windows.Handle
	exited chan Exit
	closed bool
}

// Start starts the leader suspended, puts it into a job, which ends with us,
// and only then lets it run, so that no child of it can be outside.
func (k *Keeper) Start(s Spec) (*Tree, error) {
	job, err := newJob()
	if err != nil {
		return nil, err
	}
	attr := &os.ProcAttr{Dir: s.Dir, Env: s.Env, Files: []*os.File{s.Stdin, s.Stdout, s.Stderr},
		Sys: &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_SUSPENDED}}
	if s.Status != nil {
		h := s.Status.Fd()
		if err := windows.SetHandleInformation(windows.Handle(h), windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT); err != nil {
			windows.CloseHandle(job)
			return nil, os.NewSyscallError("SetHandleInformation", err)
		}
		attr.Sys.AdditionalInheritedHandles = []syscall.Handle{syscall.Handle(h)}
	}
	p, err := os.StartProcess(s.Path, s.Argv, attr)
	if err != nil {
		windows.CloseHandle(job)
		return nil, err
	}
	if err := adopt(job, uint32(p.Pid)); err != nil {
		p.Kill()
		p.Wait()
		windows.CloseHandle(job)
		return nil, err
	}
	t := &Tree{PID: p.Pid, k: k, job: job, exited: make(chan Exit, 1)}
	go func() {
		state, err := p.Wait()
		if err != nil {
			state = nil
		}
		t.exited <- Exit{Code: state.ExitCode()}
	}()
	return t, nil
}

func newJob() (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, os.NewSyscallError("CreateJobObject", err)
	}
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info))); err != nil {
		windows.CloseHandle(job)
		return 0, os.NewSyscallError("SetInformationJobObject", err)
	}
	return job, nil
}

// adopt puts the suspended process into the job and lets it run.
func adopt(job windows.Handle, pid uint32) error {
	h, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, pid)
	if err != nil {
		return os.NewSyscallError("OpenProcess", err)
	}
	defer windows.CloseHandle(h)
	if err := windows.AssignProcessToJobObject(job, h); err != nil {
		return os.NewSyscallError("AssignProcessToJobObject", err)
	}
	return resume(pid)
}

// resume starts the only thread of a process that was created suspended.
func resume(pid uint32) error {
	snap, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return os.NewSyscallError("CreateToolhelp32Snapshot", err)
	}
	defer windows.CloseHandle(snap)
	e := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	for err = windows.Thread32First(snap, &e); err == nil; err = windows.Thread32Next(snap, &e) {
		if e.OwnerProcessID != pid {
			continue
		}
		th, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, e.ThreadID)
		if err != nil {
			return os.NewSyscallError("OpenThread", err)
		}
		defer windows.CloseHandle(th)
		_, err = windows.ResumeThread(th)
		return os.NewSyscallError("ResumeThread", err)
	}
	return fmt.Errorf("find the thread of process %d: %w", pid, err)
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
	if !t.closed {
		_ = windows.TerminateJobObject(t.job, 128+9)
	}
}

// accounting is JOBOBJECT_BASIC_ACCOUNTING_INFORMATION.
type accounting struct {
	userTime, kernelTime, periodUserTime, periodKernelTime int64
	pageFaults, total, active, terminated                  uint32
}

// Gone reports whether the job is empty, and gives it up then.
func (t *Tree) Gone() bool {
	if t.closed {
		return true
	}
	var a accounting
	err := windows.QueryInformationJobObject(t.job, windows.JobObjectBasicAccountingInformation,
		uintptr(unsafe.Pointer(&a)), uint32(unsafe.Sizeof(a)), nil)
	if err == nil && a.active > 0 && !t.k.opt.LeaderOnly {
		return false
	}
	t.closed = true
	if t.k.opt.LeaderOnly {
		t.letLive()
	}
	windows.CloseHandle(t.job)
	return true
}

// letLive lets what outlives the leader outlive the job too.
func (t *Tree) letLive() {
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	_, _ = windows.SetInformationJobObject(t.job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
}
