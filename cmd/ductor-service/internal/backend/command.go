package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"ductor/internal/common/exitcode"
)

// program runs programs of the system. Its zero value has our own environment.
type program struct {
	env []string // K=V, added to ours
}

// outcome is what a program answered.
type outcome struct {
	out, err string
	code     int
}

// words is the end of what it said, for an error message.
func (o outcome) words() string {
	text := strings.TrimSpace(o.err)
	if text == "" {
		text = strings.TrimSpace(o.out)
	}
	const enough = 400
	if len(text) > enough {
		text = "…" + text[len(text)-enough:]
	}
	return text
}

// ask runs a program and waits for its end; any exit code is an answer. The
// error has the code Unavailable if there is no such program, and Timeout if
// the context ended first.
func (p program) ask(ctx context.Context, name string, args ...string) (outcome, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	// Answers are read, so they are wanted in one language.
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), p.env...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second // what it leaves behind may keep the pipes
	err := cmd.Run()
	o := outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return o, exitcode.Errorf(exitcode.Timeout, "%s: not done in time", commandWords(name, args))
	case errors.Is(err, exec.ErrNotFound):
		return o, exitcode.Errorf(exitcode.Unavailable, "%s is not there", name)
	case err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay):
		return o, fmt.Errorf("run %s: %w", name, err)
	}
	return o, nil
}

// must is ask for a program that has to succeed.
func (p program) must(ctx context.Context, name string, args ...string) (string, error) {
	o, err := p.ask(ctx, name, args...)
	if err == nil && o.code != 0 {
		err = exitcode.Errorf(exitcode.OSErr, "%s: exit code %d: %s", commandWords(name, args), o.code, o.words())
	}
	return o.out, err
}

func commandWords(name string, args []string) string {
	return strings.Join(append([]string{name}, args...), " ")
}
