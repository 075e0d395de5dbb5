//go:build unix

package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func init() {
	signals["USR1"], signals["USR2"] = syscall.SIGUSR1, syscall.SIGUSR2
}

func ignore(sig os.Signal) { signal.Ignore(sig) }

// handled has nothing to do: what is notified of does not end us.
func handled() {}

func console() []uint32 { return nil }

func newSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// held keeps the files of alone open, and with them the flock(2)s, until we end.
var held []*os.File

// alone proves by a lock of another kind than ductor-lock's that we are the
// only one.
func alone(path string) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	check(err)
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		appendLine(path+".twins", fmt.Sprintf("%d started while another lived", os.Getpid()))
		os.Exit(99)
	}
	held = append(held, f)
}

func closeAll() {
	for fd := 3; fd < 1024; fd++ {
		// Go's own poller lives among these; it is not used from here on.
		syscall.Close(fd)
	}
}
