//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// terminalSize returns false for what is no terminal.
func terminalSize(f *os.File) (screen, bool) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return screen{}, false
	}
	return screen{width: int(size.Col), height: int(size.Row), ansi: os.Getenv("TERM") != ""}, true
}

// suspensions tells of each Ctrl-Z, unless a shell without job control ignores
// it.
func suspensions() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGTSTP) {
		signal.Notify(c, syscall.SIGTSTP)
	}
	return c
}

// suspend does what Ctrl-Z is for, and returns when we go on. A stop reaches
// this thread when it likes, so the going on is waited for; but not for ever,
// since the first process of a container cannot be stopped.
func suspend() {
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	select {
	case <-resumed:
	case <-time.After(time.Second):
	}
}
