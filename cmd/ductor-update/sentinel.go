package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/sentinel"
)

// Run leaves upgrade-sentinel.json.
func (c *sentinelWriteCmd) Run(std *cli.IO) error {
	dir, err := home.Find(std.Getenv)
	if err != nil {
		return exitcode.Errorf(exitcode.Config, "%w", err)
	}
	path := upgradeSentinel(dir, c.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	u := sentinel.Upgrade{ChatID: int64(c.ChatID), OldVersion: c.Old, NewVersion: c.New}
	if err := sentinel.WriteUpgrade(path, u); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	return nil
}

// Run prints upgrade-sentinel.json and removes it.
func (c *sentinelConsumeCmd) Run(std *cli.IO) error {
	dir, err := home.Find(std.Getenv)
	if err != nil {
		return exitcode.Errorf(exitcode.Config, "%w", err)
	}
	u, err := sentinel.ConsumeUpgrade(upgradeSentinel(dir, c.Name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exitcode.Status(exitcode.No)
	case errors.Is(err, sentinel.ErrMalformed):
		return exitcode.Errorf(exitcode.DataErr, "%w", err)
	case err != nil:
		return exitcode.File(exitcode.IOErr, err)
	}
	return printJSON(std, u)
}
