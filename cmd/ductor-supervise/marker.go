package main

import (
	"os"
	"path/filepath"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/sentinel"
)

// markerPath is the home's for the default bot, as existing bots know it, and
// the control folder's for others.
func markerPath(std *cli.IO, name home.Name) (string, error) {
	dir, run, err := findRun(std, name)
	if name == home.DefaultName {
		return dir.RestartRequested(), err
	}
	return run.CtlRestart(), err
}

// Run asks for a restart, of a supervisor that runs or of one that looks later.
func (c *markerWriteCmd) Run(std *cli.IO) error {
	path, err := markerPath(std, c.Name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	if err := sentinel.WriteMarker(path); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	return nil
}

// Run takes the request away; whoever succeeds restarts the bot.
func (c *markerConsumeCmd) Run(std *cli.IO) error {
	path, err := markerPath(std, c.Name)
	if err != nil {
		return err
	}
	taken, err := sentinel.ConsumeMarker(path)
	if err != nil {
		return exitcode.File(exitcode.IOErr, err)
	}
	if !taken {
		return exitcode.Status(exitcode.No)
	}
	return nil
}
