//go:build unix

package main

import (
	"os"
	"syscall"
)

// stopSignals end a verb, after it has undone what it had begun.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
