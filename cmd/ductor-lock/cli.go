package main

import (
	"errors"
	"fmt"
	"time"

	"ductor/internal/common/cli"
)

const description = "Run a command so that at most one runs; say who does; replace it."

type grammar struct {
	cli.Common

	Run     runCmd     `cmd:"" help:"Take the lock, then become the command."`
	Status  statusCmd  `cmd:"" help:"Say who holds the lock: exit 0 if held, 1 if free."`
	Kill    killCmd    `cmd:"" help:"Stop the holder: exit 0 when the lock is free, 1 if it was."`
	Release releaseCmd `cmd:"" help:"Remove the label of a holder that is gone, or that called us."`
}

// runGrammar is grammar for the verb that stands between the end of one bot
// and the start of the next: kong builds a model of every verb that it is
// given, which takes longer than to lock.
type runGrammar struct {
	cli.Common

	Run runCmd `cmd:"" help:"Take the lock, then become the command."`
}

func grammarFor(args []string) any {
	if len(args) > 0 && args[0] == "run" {
		return &runGrammar{}
	}
	return &grammar{}
}

type runCmd struct {
	Wait         wait          `placeholder:"D" help:"How long to wait for the lock: 30s, 5m, or 'forever'. Default: not at all."`
	KillExisting bool          `help:"Stop the holder and take its place."`
	KillWait     time.Duration `default:"15s" placeholder:"D" help:"How long the holder may take to stop before it is killed (${default}, or what it recorded + 5s if that is more)."`
	Stay         bool          `help:"Stay as the parent of the command instead of becoming it."`
	ConflictExit uint8         `default:"75" placeholder:"N" help:"Exit code when somebody else holds the lock (${default})."`
	RespectPID   bool          `name:"respect-pid" default:"true" negatable:"" help:"Count a live process that only wrote its PID into PIDFILE as holder (default; --no-respect-pid to ignore it)."`
	StatusFD     int           `name:"status-fd" default:"-1" placeholder:"N" help:"Descriptor for one JSON line that says why the command was not executed."`

	PIDFile string      `arg:"" name:"pidfile" help:"The PID file; the lock is PIDFILE.lock."`
	Command cli.Command `arg:"" name:"cmd" passthrough:"partial" help:"The command."`
}

type statusCmd struct {
	JSON    bool   `name:"json" help:"Print one JSON object."`
	PIDFile string `arg:"" name:"pidfile" help:"The PID file."`
}

type killCmd struct {
	KillWait time.Duration `default:"15s" placeholder:"D" help:"How long the holder may take to stop before it is killed (${default}, or what it recorded + 5s if that is more)."`
	PIDFile  string        `arg:"" name:"pidfile" help:"The PID file."`
}

type releaseCmd struct {
	PIDFile string `arg:"" name:"pidfile" help:"The PID file."`
}

// wait is a duration or "forever", which is -1.
type wait time.Duration

const forever wait = -1

func (w *wait) UnmarshalText(text []byte) error {
	if string(text) == "forever" {
		*w = forever
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a duration such as 30s, nor 'forever'", text)
	}
	*w = wait(d)
	return nil
}

// AfterApply checks what the grammar cannot say.
func (c *runCmd) AfterApply() error {
	switch {
	case len(c.Command.Words()) == 0:
		return errors.New("no command to run: ductor-lock run PIDFILE -- CMD [ARG…]")
	case c.KillExisting && c.Wait != 0:
		return errors.New("--wait and --kill-existing exclude each other")
	}
	return positive("--kill-wait", c.KillWait)
}

// AfterApply checks what the grammar cannot say.
func (c *killCmd) AfterApply() error { return positive("--kill-wait", c.KillWait) }

func positive(flag string, d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("%s=%s: must not be negative", flag, d)
	}
	return nil
}
