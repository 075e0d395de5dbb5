// Package job is a process with all that comes of it, as Windows knows it: a Job
// Object to end them, a group of the console to ask them.
package job

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Job is a Job Object: what is in it, and all that comes of it, ends with the
// last handle to it, which is ours.
type Job struct{ h windows.Handle }

// New makes an empty one.
func New() (*Job, error) {
	h, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, os.NewSyscallError("CreateJobObject", err)
	}
	j := &Job{h}
	if err := j.limit(windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

func (j *Job) limit(flags uint32) error {
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	info.BasicLimitInformation.LimitFlags = flags
	_, err := windows.SetInformationJobObject(j.h, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	return os.NewSyscallError("SetInformationJobObject", err)
}

// Adopt puts a process into the job that was created suspended, and lets it
// run: so no child of it can be outside.
func (j *Job) Adopt(pid int) error {
	h, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		return os.NewSyscallError("OpenProcess", err)
	}
	defer windows.CloseHandle(h)
	if err := windows.AssignProcessToJobObject(j.h, h); err != nil {
		return os.NewSyscallError("AssignProcessToJobObject", err)
	}
	return resume(uint32(pid))
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

// accounting is JOBOBJECT_BASIC_ACCOUNTING_INFORMATION.
type accounting struct {
	userTime, kernelTime, periodUserTime, periodKernelTime int64
	pageFaults, total, active, terminated                  uint32
}

// Empty reports whether no process of the job lives. One that cannot be asked
// counts as empty, since nothing more can be done for it.
func (j *Job) Empty() bool {
	var a accounting
	err := windows.QueryInformationJobObject(j.h, windows.JobObjectBasicAccountingInformation,
		uintptr(unsafe.Pointer(&a)), uint32(unsafe.Sizeof(a)), nil)
	return err != nil || a.active == 0
}

// Kill ends all that is in the job.
func (j *Job) Kill() { _ = windows.TerminateJobObject(j.h, 128+9) }

// Abandon lets what is in the job outlive it.
func (j *Job) Abandon() { _ = j.limit(0) }

// Close gives the job up, and so ends what is in it unless it was abandoned.
func (j *Job) Close() { windows.CloseHandle(j.h) }
