package main

import (
	"errors"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/holder"
	"ductor/internal/common/lockfile"
)

// Run stops the holder. It has succeeded when it held the lock itself for a
// moment, and then gives it up.
func (c *killCmd) Run(std *cli.IO) error {
	pidfile, err := lockfile.Resolve(c.PIDFile)
	if err != nil {
		return err
	}
	s, err := holder.Inspect(pidfile, true)
	if err != nil {
		return err
	}
	if !s.Held() {
		return exitcode.Errorf(exitcode.No, "nobody holds %q", c.PIDFile)
	}
	lock, err := takeOver(std, pidfile, c.KillWait, true)
	if err != nil {
		return err
	}
	return errors.Join(holder.Remove(pidfile), lock.Close())
}
