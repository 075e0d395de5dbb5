package main

import (
	"errors"
	"os"
	"os/exec"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

var stopSignals = []os.Signal{os.Interrupt}

func ignorePipe() {}

func claim(int) bool { return true }

func signalName(int) string { return "" }

// resizes tells nothing: a console has no signal for that.
func resizes() (<-chan struct{}, func()) { return nil, func() {} }

// readerGone tells nothing: a pipe there says so at the next write only.
func readerGone(*os.File) <-chan struct{} { return nil }

// become runs the command, and waits.
func become(std *cli.IO, path string, argv, env []string) error {
	cmd := exec.Command(path, argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, std.Out, std.Err
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return exitcode.Status(exit.ExitCode())
	}
	return exitcode.Errorf(exitcode.CannotExec, "execute %q: %w", path, err)
}

func restorePipe() {}

func terminate(p *os.Process) error { return p.Kill() }

func codeOf(st *os.ProcessState) int { return st.ExitCode() }

func ownedByRoot(os.FileInfo) bool { return false }

func isMine(os.FileInfo) bool { return true }
