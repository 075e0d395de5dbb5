//go:build unix

package main

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// heldSignals must not end us before the command: the hold would be left.
func heldSignals() []os.Signal {
	all := []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGINT, syscall.SIGQUIT}
	return slices.DeleteFunc(all, signal.Ignored)
}

// passedOn leaves out those of the keyboard: the command has them already, and
// two of them mean more than one to many a program.
func passedOn(sig os.Signal) bool { return sig != syscall.SIGINT && sig != syscall.SIGQUIT }

func codeOf(state *os.ProcessState) int {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}
