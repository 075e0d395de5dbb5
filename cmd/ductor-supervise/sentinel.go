package main

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/sentinel"
)

// Run leaves restart-sentinel.json.
func (c *sentinelWriteCmd) Run(std *cli.IO) error {
	dir, _, err := findRun(std, home.DefaultName)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	r := sentinel.Restart{ChatID: int64(c.ChatID), Message: c.Message, Timestamp: time.Now().UTC().Truncate(time.Second)}
	if err := sentinel.WriteRestart(dir.RestartSentinel(), r); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	return nil
}

// Run prints restart-sentinel.json and removes it.
func (*sentinelConsumeCmd) Run(std *cli.IO) error {
	dir, _, err := findRun(std, home.DefaultName)
	if err != nil {
		return err
	}
	r, err := sentinel.ConsumeRestart(dir.RestartSentinel())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exitcode.Status(exitcode.No)
	case errors.Is(err, sentinel.ErrMalformed):
		return exitcode.Errorf(exitcode.DataErr, "%w", err)
	case err != nil:
		return exitcode.File(exitcode.IOErr, err)
	}
	return printLine(std, r)
}
