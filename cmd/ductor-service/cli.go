package main

import (
	"fmt"
	"time"

	"ductor/internal/common/cli"
	"ductor/internal/common/home"
)

const description = "Make a supervised bot start with the machine: systemd, launchd, Task Scheduler."

type grammar struct {
	cli.Common

	Install   installCmd   `cmd:"" help:"Let the system start a command from now on."`
	Uninstall uninstallCmd `cmd:"" help:"Stop the service, and remove what install made."`
	Start     startCmd     `cmd:"" help:"Start the service."`
	Stop      stopCmd      `cmd:"" help:"Stop the service until the next boot or login."`
	Restart   restartCmd   `cmd:"" help:"Stop the service and start it again."`
	Status    statusCmd    `cmd:"" help:"Say how it is: exit 0 running, 3 not running, 4 not installed."`
	Logs      logsCmd      `cmd:"" help:"Print what the service wrote."`
	Render    renderCmd    `cmd:"" help:"Print a definition for any system, and install nothing."`
	Run       runCmd       `cmd:"" help:"Make a PATH, then become the command; definitions call this."`
	Doctor    doctorCmd    `cmd:"" help:"Say what is wrong, and what to type."`
}

// runGrammar is grammar for the verb that stands between the system and the
// bot at each start.
type runGrammar struct {
	cli.Common

	Run runCmd `cmd:"" help:"Make a PATH, then become the command; definitions call this."`
}

func grammarFor(args []string) any {
	if len(args) > 0 && args[0] == "run" {
		return &runGrammar{}
	}
	return &grammar{}
}

type nameFlag struct {
	Name home.Name `default:"ductor" placeholder:"NAME" help:"Which bot (${default})."`
}

// serviceFlags are what a definition is made from.
type serviceFlags struct {
	nameFlag
	Env         []string    `sep:"none" placeholder:"K=V" help:"A variable for the environment of the service. Repeatable."`
	Timer       string      `enum:",update" default:"" placeholder:"update" help:"Also let the system look for a new version each hour, by ductor-update."`
	AlsoSandbox bool        `help:"Bring up ductor-sandbox before the command."`
	Command     cli.Command `arg:"" optional:"" name:"cmd" passthrough:"partial" help:"The command; default: ductor-supervise."`
}

type installCmd struct {
	NoStart  bool `help:"Do not start it now."`
	NoLinger bool `help:"On Linux, do not let it run while you are logged out."`
	Force    bool `help:"Replace a definition that somebody else wrote, or that was edited; a copy is kept."`
	JSON     bool `name:"json" help:"Print one JSON object."`
	serviceFlags
}

type uninstallCmd struct {
	nameFlag
	KeepLinger bool `help:"On Linux, leave linger on, though install had turned it on."`
}

type timeoutFlag struct {
	Timeout time.Duration `default:"2m" placeholder:"D" help:"How long it may take (${default}); then exit 124."`
}

type startCmd struct {
	nameFlag
	timeoutFlag
}

type stopCmd struct {
	nameFlag
	timeoutFlag
}

type restartCmd struct {
	nameFlag
	timeoutFlag
}

type statusCmd struct {
	nameFlag
	JSON bool `name:"json" help:"Print one JSON object."`
}

type logsCmd struct {
	nameFlag
	Lines  *int  `short:"n" placeholder:"N" help:"How many of the last lines; default: 100, or all with --since."`
	Follow bool  `short:"f" help:"Go on with new lines as they come."`
	Since  since `placeholder:"T" help:"Only lines from then on: 1h30m ago, '2026-11-23 10:00', 10:00 of today, or RFC 3339."`
}

type renderCmd struct {
	Platform string `default:"" enum:",systemd-user,systemd-system,launchd-agent,launchd-daemon,task" placeholder:"PLATFORM" help:"systemd-user, systemd-system, launchd-agent, launchd-daemon or task; default: that of install here."`
	serviceFlags
}

type runCmd struct {
	Env     []string    `sep:"none" placeholder:"K=V" help:"A variable for the environment of the command. Repeatable."`
	Command cli.Command `arg:"" name:"cmd" passthrough:"partial" help:"The command."`
}

type doctorCmd struct {
	nameFlag
	JSON bool `name:"json" help:"Print one JSON object."`
}

// AfterApply checks what the grammar cannot say.
func (c *timeoutFlag) AfterApply() error {
	if c.Timeout <= 0 {
		return fmt.Errorf("--timeout=%s: must be more than nothing", c.Timeout)
	}
	return nil
}

// AfterApply checks what the grammar cannot say.
func (c *logsCmd) AfterApply() error {
	if c.Lines != nil && *c.Lines < 0 {
		return fmt.Errorf("--lines=%d: must not be negative", *c.Lines)
	}
	return nil
}

// AfterApply checks the variables before anything is done.
func (c *serviceFlags) AfterApply() error {
	return checkEnv(c.Env, "DUCTOR_HOME", "DUCTOR_SERVICE", "PATH")
}

// AfterApply checks the variables before anything is done.
func (c *runCmd) AfterApply() error { return checkEnv(c.Env, "PATH") }

// since is a moment in the past.
type since time.Time

// sinceLayouts are the ways to write one, in local time.
var sinceLayouts = []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"}

func (s *since) UnmarshalText(text []byte) error {
	t, err := parseSince(string(text), time.Now())
	*s = since(t)
	return err
}

func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range sinceLayouts {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if t, err := time.Parse("15:04", text); err == nil {
		y, m, d := now.Date()
		return time.Date(y, m, d, t.Hour(), t.Minute(), 0, 0, now.Location()), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time such as 1h30m, 10:00, '2026-11-23 10:00' or 2026-11-23T10:00:00Z", text)
}
