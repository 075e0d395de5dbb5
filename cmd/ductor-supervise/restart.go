package main

import (
	"errors"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/jsonout"
	"ductor/internal/common/sentinel"
)

// asked is the object that restart and stop print with --json.
type asked struct {
	Name          string `json:"name"`
	SupervisorPID int    `json:"supervisor_pid"`
	PID           int    `json:"pid,omitempty"` // of the new run, after --wait
}

// Run writes the marker that the supervisor waits for. Without a supervisor
// nothing is written: the next one must not find an old request.
func (c *restartCmd) Run(std *cli.IO) error {
	run, id, err := whoSupervises(std, c.Name)
	if err != nil {
		return err
	}
	before, _ := journal.ReadStatus(run.Status())
	if err := errors.Join(run.Make(), ask(run.CtlRestart(), func() error { return sentinel.WriteMarker(run.CtlRestart()) })); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	answer := asked{Name: string(c.Name), SupervisorPID: id.PID}
	if c.Wait {
		err = waitFor(c.Timeout, "restart", func() (bool, error) {
			now, err := journal.ReadStatus(run.Status())
			if err == nil && running(now) && now.Child != nil && (before.Child == nil || *now.Child != *before.Child) {
				answer.PID = now.PID
				return true, nil
			}
			if !id.Alive() {
				return false, exitcode.Errorf(exitcode.No, "the supervisor of %q has ended", c.Name)
			}
			return false, nil
		})
	}
	if err != nil || !c.JSON {
		return err
	}
	return printLine(std, answer)
}

func printLine(std *cli.IO, v any) error {
	line, err := jsonout.Line(v)
	if err == nil {
		_, err = std.Out.Write(line)
	}
	return err
}
