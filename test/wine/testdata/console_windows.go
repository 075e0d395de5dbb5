package job

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// Break stands in for the one in console_windows.go, in the programs that run
// under wine, whose server knows no CTRL_BREAK (server/console.c: "FIXME:
// should support the other events"). It does what the system would: start the
// routine in the leader that calls its handlers. Others of the group get
// nothing.
func Break(pid int) error {
	const rights = windows.PROCESS_CREATE_THREAD | windows.PROCESS_VM_OPERATION | windows.PROCESS_VM_READ | windows.PROCESS_VM_WRITE | windows.PROCESS_QUERY_INFORMATION
	h, err := windows.OpenProcess(rights, false, uint32(pid))
	if err != nil {
		return err
	}
	defer windows.CloseHandle(h)
	if err := hearAll(h); err != nil {
		return err
	}
	routine := windows.NewLazySystemDLL("kernelbase.dll").NewProc("CtrlRoutine")
	create := windows.NewLazySystemDLL("kernel32.dll").NewProc("CreateRemoteThread")
	thread, _, err := create.Call(uintptr(h), 0, 0, routine.Addr(), windows.CTRL_BREAK_EVENT, 0, 0)
	if thread == 0 {
		return err
	}
	return windows.CloseHandle(windows.Handle(thread))
}

// hearAll clears the flag by which a new group is deaf to Ctrl-C, and here to
// every event.
func hearAll(h windows.Handle) error {
	var info windows.PROCESS_BASIC_INFORMATION
	if err := windows.NtQueryInformationProcess(h, windows.ProcessBasicInformation, unsafe.Pointer(&info), uint32(unsafe.Sizeof(info)), nil); err != nil {
		return err
	}
	var params, n uintptr
	at := uintptr(unsafe.Pointer(info.PebBaseAddress)) + unsafe.Offsetof(windows.PEB{}.ProcessParameters)
	if err := windows.ReadProcessMemory(h, at, (*byte)(unsafe.Pointer(&params)), unsafe.Sizeof(params), &n); err != nil {
		return err
	}
	var flags uint32
	at = params + unsafe.Offsetof(windows.RTL_USER_PROCESS_PARAMETERS{}.ConsoleFlags)
	return windows.WriteProcessMemory(h, at, (*byte)(unsafe.Pointer(&flags)), unsafe.Sizeof(flags), &n)
}
