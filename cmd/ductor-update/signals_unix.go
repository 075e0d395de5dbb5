//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// stopSignals end a watch.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// upgradeSignals end an upgrade, which is undone then.
var upgradeSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

// ignoreHangups: neither the end of a terminal, nor that of the bot that reads
// what we say, must cut an upgrade short.
func ignoreHangups() { signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE) }

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
