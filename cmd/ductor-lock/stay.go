package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"

	"ductor/internal/common/exitcode"
	"ductor/internal/common/holder"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
)

// stay runs the command as a child in a group of its own, forwards signals to
// it, and returns its exit code. The lock is ours; the record names the child
// too, so that one that outlives us still counts as holder.
func stay(lock *lockfile.Lock, rec holder.Record, path string, argv []string, report *statusFD) error {
	// A parent-death signal is sent when the thread ends that spawned.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 16)
	if err := listen(signals); err != nil {
		holder.Remove(lock.PIDFile())
		return err
	}
	defer signal.Stop(signals)

	cmd := &exec.Cmd{Path: path, Args: argv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	child, err := startChild(cmd)
	if err != nil {
		holder.Remove(lock.PIDFile())
		return executeError(argv[0], err)
	}
	if id, err := process.Of(cmd.Process.Pid); err == nil {
		rec.Child = &id
		// Best effort: without it only the guard against our own SIGKILL is missing.
		_ = holder.WriteRecord(lock, rec)
	}
	report.executed()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			child.forward(sig)
		case err := <-done:
			child.close()
			return errors.Join(holder.Remove(lock.PIDFile()), exitStatus(cmd, err))
		}
	}
}

// exitStatus is the command's own code, or 128+n.
func exitStatus(cmd *exec.Cmd, err error) error {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return exitcode.Errorf(exitcode.OSErr, "wait for the command: %w", err)
	}
	return exitcode.Status(codeOf(cmd.ProcessState))
}
