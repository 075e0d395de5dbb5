package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// Run prints the stored events, and with --wait those that come.
func (c *eventsCmd) Run(std *cli.IO) error {
	_, run, err := findRun(std, c.Name)
	if err != nil {
		return err
	}
	var seen int64
	show := func() error {
		var werr error
		err := journal.Each(run.Events(), func(line []byte, e journal.Event) {
			if e.Seq <= seen || werr != nil {
				return
			}
			seen = e.Seq
			werr = c.print(std, line, e)
		})
		if errors.Is(err, atomicfile.ErrNoFile) {
			return exitcode.Errorf(exitcode.DataErr, "%w", err)
		}
		return errors.Join(err, werr)
	}
	err = show()
	if errors.Is(err, fs.ErrNotExist) && !c.Wait {
		return exitcode.Errorf(exitcode.No, "nothing has happened to %q yet", c.Name)
	}
	size, gone := int64(-1), outputGone(std.Out)
	for start := time.Now(); c.Wait && (c.Timeout == 0 || time.Since(start) < c.Timeout); {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-gone:
			return exitcode.Status(brokenPipe)
		case <-time.After(5 * lookInterval):
		}
		// Reading a megabyte ten times a second is for when there is news.
		if info, serr := os.Stat(run.Events()); serr != nil || info.Size() != size {
			err = show()
			if serr == nil {
				size = info.Size()
			}
		}
	}
	if c.Wait {
		return nil
	}
	return err
}

func (c *eventsCmd) print(std *cli.IO, line []byte, e journal.Event) error {
	if c.JSON {
		_, err := fmt.Fprintf(std.Out, "%s\n", line)
		return err
	}
	text := e.Printable()
	if text == "" {
		return nil
	}
	_, err := fmt.Fprintf(std.Out, "%s %s\n", e.Time.Local().Format(time.DateTime), text)
	return err
}
