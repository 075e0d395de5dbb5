package clitest

import (
	"os"

	"golang.org/x/sys/windows"

	"ductor/internal/common/process"
)

// openConsole gives the programs under test one, as a shell would, if we were
// built for the windows subsystem and have none. Without one no Ctrl-Break can
// be sent.
func openConsole() {
	// It fails where there is one already.
	_, _, _ = windows.NewLazySystemDLL("kernel32.dll").NewProc("AllocConsole").Call()
}

// Send asks one of our programs to end, as ductor-lock kill does, by whatever
// signal; others are ended, as all are by KILL. There is nothing else to send.
func Send(pid int, sig os.Signal) error {
	id, err := process.Of(pid)
	if err != nil {
		return err
	}
	h, err := process.Open(id)
	if err != nil {
		return err
	}
	defer h.Close()
	if sig == os.Kill {
		return h.Kill()
	}
	return h.Terminate()
}

// Running reports whether a process lives.
func Running(pid int) bool {
	_, err := process.Of(pid)
	return err == nil
}

// CodeOf is a process's exit code.
func CodeOf(s *os.ProcessState) int { return s.ExitCode() }
