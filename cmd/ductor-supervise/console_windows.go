package main

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	kernel32                = windows.NewLazySystemDLL("kernel32.dll")
	allocConsole            = kernel32.NewProc("AllocConsole")
	allocConsoleWithOptions = kernel32.NewProc("AllocConsoleWithOptions")
	getConsoleWindow        = kernel32.NewProc("GetConsoleWindow")
	showWindow              = windows.NewLazySystemDLL("user32.dll").NewProc("ShowWindow")
)

// openConsole makes a console that nobody sees for a supervisor that has none:
// the bot hears CTRL_BREAK only through one that the two share. Built for the
// windows subsystem, as ductor-supervisew is, a program never has one.
func openConsole() error {
	if allocConsoleWithOptions.Find() == nil { // Windows 11 24H2
		return allocNoWindow()
	}
	ok, _, err := allocConsole.Call()
	switch {
	case ok == 0 && errors.Is(err, windows.ERROR_ACCESS_DENIED): // we have one
		return nil
	case ok == 0:
		return os.NewSyscallError("AllocConsole", err)
	}
	if window, _, _ := getConsoleWindow.Call(); window != 0 {
		_, _, _ = showWindow.Call(window, windows.SW_HIDE)
	}
	return nil
}

// allocNoWindow never shows anything, where AllocConsole opens a window that can
// only be hidden afterwards. It changes nothing if there is a console.
func allocNoWindow() error {
	const noWindow = 2 // ALLOC_CONSOLE_MODE_NO_WINDOW
	opt := struct {
		mode    int32
		useShow int32
		show    uint16
	}{mode: noWindow}
	var result int32
	if hr, _, _ := allocConsoleWithOptions.Call(uintptr(unsafe.Pointer(&opt)), uintptr(unsafe.Pointer(&result))); int32(hr) < 0 {
		return fmt.Errorf("AllocConsoleWithOptions: HRESULT %#x", uint32(hr))
	}
	return nil
}

// openStreams gives a program of the windows subsystem, which has no standard
// streams unless its starter redirects them, some that can be read and written.
func openStreams() {
	for _, f := range []**os.File{&os.Stdin, &os.Stdout, &os.Stderr} {
		if *f != nil {
			if _, err := windows.GetFileType(windows.Handle((*f).Fd())); err == nil {
				continue
			}
		}
		if null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
			*f = null
		}
	}
}
