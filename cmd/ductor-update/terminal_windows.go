package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// isTerminal is true for consoles that understand escape sequences.
func isTerminal(f *os.File) bool {
	var mode uint32
	err := windows.GetConsoleMode(windows.Handle(f.Fd()), &mode)
	return err == nil && mode&windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING != 0
}
