package main

import (
	"errors"
	"time"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/holder"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
)

// Run removes a label that has no owner, or whose owner is our ancestor: the
// last act of a script that ran under the lock. It never touches the lock.
func (c *releaseCmd) Run(*cli.IO) error {
	pidfile, err := lockfile.Resolve(c.PIDFile)
	if err != nil {
		return err
	}
	s, err := holder.Inspect(pidfile, true)
	switch {
	case err != nil:
		return err
	case s.Held() && process.IsAncestor(s.PID):
		return holder.Remove(pidfile)
	case !s.Held() && s.Label == holder.NoLabel && s.Written == nil:
		return nil
	case !s.Held():
		if err := holder.Release(pidfile); !errors.Is(err, lockfile.ErrHeld) {
			return err
		}
	}
	e := exitcode.Errorf(exitcode.TempFail, "the label of %q is in use by %s", c.PIDFile, describe(s, time.Now()))
	e.ID = "held"
	return e
}
