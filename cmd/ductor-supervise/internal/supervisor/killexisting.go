package supervisor

import (
	"errors"
	"os/exec"

	"ductor/internal/common/exitcode"
)

// killSupervisor has ductor-lock stop the supervisor of this NAME. That it
// was stopped already (code 1) is as good.
func killSupervisor(c *Config) error {
	if c.LockTool == "" {
		return exitcode.Errorf(exitcode.Unavailable, "--kill-existing needs ductor-lock, which is neither beside this program nor on PATH")
	}
	cmd := exec.Command(c.LockTool, "kill", c.run().SupervisePID())
	cmd.Stderr = c.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.As(err, &exit) && exit.ExitCode() == exitcode.No:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exitcode.Errorf(exit.ExitCode(), "the supervisor of %q was not stopped", c.Name)
	}
	return exitcode.Errorf(exitcode.OSErr, "run ductor-lock: %w", err)
}
