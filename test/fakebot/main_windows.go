package main

import (
	"os"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// On Windows CTRL_BREAK is what TERM is elsewhere. Unless the arguments say
// otherwise it ends us with the code that a shell has for TERM.
func init() {
	signals["TERM"] = os.Interrupt
	delete(signals, "INT")
	go func() {
		<-unasked
		os.Exit(128 + 15)
	}()
	signal.Notify(unasked, os.Interrupt)
}

var unasked = make(chan os.Signal, 1)

// ignore: what Go ignores ends a program here all the same.
func ignore(sig os.Signal) {
	signal.Notify(make(chan os.Signal, 1), sig)
	handled()
}

// handled: somebody else has the signals from now on.
func handled() { signal.Stop(unasked) }

func console() []uint32 {
	pids := make([]uint32, 16)
	list := windows.NewLazySystemDLL("kernel32.dll").NewProc("GetConsoleProcessList")
	n, _, _ := list.Call(uintptr(unsafe.Pointer(&pids[0])), uintptr(len(pids)))
	return pids[:min(int(n), len(pids))]
}

func newSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

var held []windows.Handle

// alone: a handle that shares nothing is the lock here.
func alone(path string) {
	name, err := windows.UTF16PtrFromString(path)
	check(err)
	h, err := windows.CreateFile(name, windows.GENERIC_READ, 0, nil, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		appendLine(path+".twins", "started while another lived")
		os.Exit(99)
	}
	held = append(held, h)
}

func closeAll() {}
