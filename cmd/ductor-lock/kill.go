package main

import (
	"errors"
	"fmt"

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
		fmt.Fprintf(std.Err, "%s: nobody holds %q\n", std.Tool, c.PIDFile)
		return exitcode.Status(exitcode.No)
	}
	lock, _, err := takeOver(std, pidfile, c.KillWait, true)
	if err != nil {
		return err
	}
	return errors.Join(holder.Remove(pidfile), lock.Close())
}
