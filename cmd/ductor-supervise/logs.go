package main

import (
	"errors"
	"io/fs"
	"time"

	"ductor/cmd/ductor-supervise/internal/capture"
	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/cmd/ductor-supervise/internal/watch"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// Run prints the end of the log, and with --follow what is added to it.
func (c *logsCmd) Run(std *cli.IO) error {
	if c.Lines < 0 {
		return exitcode.Errorf(exitcode.Usage, "--lines=%d: must not be negative", c.Lines)
	}
	path, err := c.path(std)
	if err != nil {
		return err
	}
	r := capture.NewReader(path)
	err = r.Last(std.Out, c.Lines)
	if errors.Is(err, fs.ErrNotExist) && !c.Follow {
		return exitcode.Errorf(exitcode.No, "the log %q is not there", path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !c.Follow {
		return nil
	}
	return followLog(std, r, path)
}

// path is where the supervisor of the name writes, or the last one wrote.
func (c *logsCmd) path(std *cli.IO) (string, error) {
	_, run, err := findRun(std, c.Name)
	if err != nil {
		return "", err
	}
	st, err := journal.ReadStatus(run.Status())
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", err
	case err != nil || st.Log == "":
		return "", exitcode.Errorf(exitcode.No, "no log of %q is kept", c.Name).
			WithHint("ductor-supervise --name %s --log FILE -- CMD", c.Name)
	}
	return st.Log, nil
}

// lookAnyway is how often -f looks without having been told: a folder that was
// made anew is watched no more.
const lookAnyway = time.Second

// followLog ends with an error, or when nobody reads our output any more.
func followLog(std *cli.IO, r *capture.Reader, path string) error {
	news := watch.NewFiles([]string{path}, func(string, ...any) {})
	defer news.Close()
	tick := time.NewTicker(lookAnyway)
	defer tick.Stop()
	gone := outputGone(std.Out)
	for {
		if err := r.More(std.Out); err != nil {
			return err
		}
		select {
		case <-news.Look():
		case <-tick.C:
		case <-gone:
			return exitcode.Status(brokenPipe)
		}
	}
}

// brokenPipe is how a shell sees the end of a program whose reader has gone.
const brokenPipe = exitcode.SignalBase + 13
