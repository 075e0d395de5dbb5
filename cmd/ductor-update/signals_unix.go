//go:build unix

package main

import (
	"os"
	"syscall"
)

// stopSignals end a watch.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}
