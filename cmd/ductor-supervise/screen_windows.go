package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// terminalSize returns false for what is no console. One that cannot be made to
// understand colours, as before Windows 10, gets none.
func terminalSize(f *os.File) (screen, bool) {
	console := windows.Handle(f.Fd())
	var mode uint32
	var info windows.ConsoleScreenBufferInfo
	if windows.GetConsoleMode(console, &mode) != nil || windows.GetConsoleScreenBufferInfo(console, &info) != nil {
		return screen{}, false
	}
	const vt = windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING
	ansi := mode&vt != 0 || windows.SetConsoleMode(console, mode|vt) == nil
	window := info.Window
	return screen{width: int(window.Right-window.Left) + 1, height: int(window.Bottom-window.Top) + 1, ansi: ansi}, true
}

// suspensions never tells: nothing is suspended here.
func suspensions() <-chan os.Signal { return nil }

func suspend() {}
