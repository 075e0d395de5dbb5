//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"

	"ductor/internal/common/exitcode"
)

// tellSignals lets the status descriptor carry what ends us before the
// command is executed, for instance while we wait, and then ends us by that
// same signal. Exec puts the signals back as they were; stay takes them over.
func tellSignals(report *statusFD) {
	c := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(c, sig)
		}
	}
	go func() {
		sig := (<-c).(syscall.Signal)
		report.failed(exitcode.Errorf(exitcode.SignalBase+int(sig), "ended by %v before the command was executed", sig).WithID("signal"))
		signal.Reset(sig)
		_ = syscall.Kill(os.Getpid(), sig)
	}()
}
