// Package installer runs pip, pipx, uv or a Python for a bounded time, and
// leaves nothing of it running.
package installer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"ductor/internal/common/exitcode"
)

// Grace is what a program has to end by itself when its time is over.
const Grace = 5 * time.Second

// mark is in the environment of all that we start: by it a later run finds what
// is left of one that was killed.
const mark = "DUCTOR_UPDATE_RUN"

// Job is a program to run.
type Job struct {
	Argv []string
	Env  []string // all of it; see Environment
	Dir  string
	Mark string    // one word, unique to the upgrade
	Out  io.Writer // both its streams; may be nil
}

// Environment is ours with changes: a later K=V replaces an earlier one.
func Environment(more ...string) []string {
	return append(os.Environ(), append([]string{"PYTHONUNBUFFERED=1"}, more...)...)
}

// Run returns when the program has ended and its group with it. When ctx is
// done it is asked to end, and killed after Grace; the error is then that of
// ctx. Errors: Unavailable for a program that is not there, OSErr for another
// that cannot be started, and *exec.ExitError.
func Run(ctx context.Context, j Job) error {
	cmd := exec.CommandContext(ctx, j.Argv[0], j.Argv[1:]...)
	cmd.Dir, cmd.Env = j.Dir, append(j.Env, mark+"="+j.Mark)
	cmd.Stdout, cmd.Stderr = j.Out, j.Out
	cmd.WaitDelay = Grace
	group, err := start(cmd)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exitcode.Errorf(exitcode.Unavailable, "run %q: %w", j.Argv[0], err)
	case err != nil:
		return exitcode.Errorf(exitcode.OSErr, "run %q: %w", j.Argv[0], err)
	}
	err = cmd.Wait()
	group.end()
	End(j.Mark)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, exec.ErrWaitDelay) { // something held its output open, and is no more
		err = nil
	}
	return err
}

// Why says how a program failed, in words for people.
func Why(argv []string, err error) string {
	var exit *exec.ExitError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s took too long", name(argv))
	case errors.Is(err, context.Canceled):
		return fmt.Sprintf("%s was interrupted", name(argv))
	case errors.As(err, &exit):
		return fmt.Sprintf("%s failed: %s", name(argv), exit)
	}
	return err.Error()
}

// Died reports whether the program was killed, so that nobody knows how far it
// came.
func Died(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && !exit.Exited()
}

// name is what the program is known by: pip, and not the Python that runs it.
func name(argv []string) string {
	if len(argv) > 2 && argv[1] == "-m" {
		return argv[2]
	}
	base := argv[0][strings.LastIndexAny(argv[0], `/\`)+1:]
	return strings.TrimSuffix(base, ".exe")
}
