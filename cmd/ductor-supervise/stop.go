package main

import (
	"errors"

	"ductor/cmd/ductor-supervise/internal/supervisor"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/process"
)

// Run asks the supervisor to stop. Without a supervisor nothing is written.
func (c *stopCmd) Run(std *cli.IO) error {
	run, id, err := whoSupervises(std, c.Name)
	if err != nil {
		return err
	}
	h, err := process.Open(id)
	if errors.Is(err, process.ErrGone) || errors.Is(err, process.ErrReused) {
		return noSupervisor(c.Name)
	}
	if err != nil {
		return err
	}
	defer h.Close()
	if err := errors.Join(run.Make(), ask(run.CtlStop(), func() error {
		return atomicfile.Write(run.CtlStop(), []byte(supervisor.StopText(id)), 0o600)
	})); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	if c.Wait {
		if err := h.Wait(c.Timeout); errors.Is(err, process.ErrTimeout) {
			return exitcode.Errorf(exitcode.Timeout, "stop: the supervisor %d has not ended within %s", id.PID, c.Timeout)
		} else if err != nil {
			return err
		}
	}
	if !c.JSON {
		return nil
	}
	return printLine(std, asked{Name: string(c.Name), SupervisorPID: id.PID})
}
