package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/hold"
	"ductor/internal/common/home"
)

// Run holds restarts by file changes back for the time of a command, and
// returns its code.
func (c *holdCmd) Run(std *cli.IO) error {
	_, run, err := findRun(std, c.Name)
	if err != nil {
		return err
	}
	path, guard := c.file(run), run.HoldGuard()
	if !isFolder(filepath.Dir(path)) {
		return exitcode.Errorf(exitcode.Usage, "--hold=%q: its folder does not exist", path)
	}
	if err := os.MkdirAll(filepath.Dir(guard), 0o700); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	// Before the command is there: what it is told to do must not be undone by
	// an edit of its first second.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, heldSignals()...)
	defer signal.Stop(signals)
	if err := hold.Take(path, guard); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	err = runHeld(std, c.Command.Words(), path, signals)
	if lerr := hold.Release(path, guard); lerr != nil {
		cli.Warn(std, "%v", lerr)
	}
	return err
}

// file is the one that was named, or that the supervisor looks at, or that the
// next one will.
func (c *holdCmd) file(run home.Run) string {
	if c.Hold != "" {
		return c.Hold
	}
	if st, err := journal.ReadStatus(run.Status()); err == nil && st.Hold != "" {
		return st.Hold
	}
	_ = os.MkdirAll(run.Ctl(), 0o700) // else the next step says it
	return run.CtlHold()
}

// runHeld runs the command in our own process group, like a shell: what a
// terminal sends reaches it without us, and what is sent to us alone is passed
// on.
func runHeld(std *cli.IO, argv []string, path string, signals <-chan os.Signal) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return notStarted(argv[0], err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	touch := time.NewTicker(hold.TouchEvery)
	defer touch.Stop()
	for {
		select {
		case sig := <-signals:
			if passedOn(sig) {
				_ = cmd.Process.Signal(sig)
			}
		case <-touch.C:
			hold.Touch(path)
		case err := <-done:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return exitcode.Errorf(exitcode.OSErr, "wait for the command: %w", err)
			}
			return exitcode.Status(codeOf(cmd.ProcessState))
		}
	}
}

// notStarted has the codes of a shell.
func notStarted(name string, err error) error {
	code := exitcode.CannotExec
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = exitcode.NotFound
	}
	return exitcode.Errorf(code, "execute %q: %w", name, err)
}
