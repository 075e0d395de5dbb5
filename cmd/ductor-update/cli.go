package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"ductor/cmd/ductor-update/internal/version"
	"ductor/internal/common/cli"
	"ductor/internal/common/home"
)

const description = "See a new version of a bot that pip, pipx or uv installed, upgrade it, and undo that."

type grammar struct {
	cli.Common

	Mode      modeCmd      `cmd:"" help:"Say how the package was installed: exit 0 if it can be upgraded, 78 if not."`
	Check     checkCmd     `cmd:"" help:"Ask which version there is."`
	Changelog changelogCmd `cmd:"" help:"Print what a release says of itself."`
	Watch     watchCmd     `cmd:"" help:"Tell of each new version once."`
	Upgrade   upgradeCmd   `cmd:"" help:"Install the newest version, test it, and go back if it does not work."`
	Rollback  rollbackCmd  `cmd:"" help:"Go back to the version before."`
	Sentinel  sentinelCmd  `cmd:"" help:"Write or consume upgrade-sentinel.json."`
	Compare   compareCmd   `cmd:"" help:"Print -1, 0 or 1: the order of two versions."`
}

type packageFlag struct {
	Package string `default:"ductor" placeholder:"PACKAGE" help:"The package (${default})."`
	Python  string `placeholder:"PATH" help:"The interpreter that has it; default: the one that its script names."`
}

type nameFlag struct {
	Name home.Name `default:"ductor" placeholder:"NAME" help:"Which bot's state (${default})."`
}

// askFlags say whom to ask for a version.
type askFlags struct {
	nameFlag
	packageFlag
	Pre    bool   `help:"Count pre-releases too."`
	Index  string `placeholder:"URL" help:"The index; default: the one that the installer would ask."`
	Source string `default:"pypi" placeholder:"SOURCE" help:"pypi, or github:OWNER/REPO (${default})."`
}

type modeCmd struct {
	nameFlag
	packageFlag
	JSON bool `name:"json" help:"Print one JSON object."`
}

type checkCmd struct {
	askFlags
	ExitCode bool `help:"Exit with 0 if there is a newer version, 1 if not."`
	JSON     bool `name:"json" help:"Print one JSON object."`
}

type changelogCmd struct {
	nameFlag
	packageFlag
	Source  string `placeholder:"github:OWNER/REPO" help:"Where the releases are; default: where the package says that its source is."`
	JSON    bool   `name:"json" help:"Print one JSON object."`
	Version string `arg:"" optional:"" help:"Of which version; default: the newest release."`
}

type watchCmd struct {
	askFlags
	Initial  time.Duration `default:"60s" placeholder:"D" help:"When to ask first (${default})."`
	Interval time.Duration `default:"60m" placeholder:"D" help:"How long until the next time (${default})."`
	Jitter   percent       `default:"10%" placeholder:"P%" help:"By how much that varies (${default})."`
	Once     bool          `help:"Ask once, at once, and end."`
	Command  cli.Command   `arg:"" optional:"" name:"cmd" passthrough:"partial" help:"Run for each new version; default: print a line of JSON."`
}

type upgradeCmd struct {
	nameFlag
	packageFlag
	Module  string        `placeholder:"MODULE" help:"What to import as a test; default: ductor_bot, or the name of the package."`
	To      string        `placeholder:"VERSION" help:"This version, and not the newest."`
	ChatID  cli.Number    `name:"chat-id" placeholder:"N" help:"Leave word for the next start, which tells this chat."`
	Restart bool          `help:"Ask the supervisor for a restart when it is done."`
	Timeout time.Duration `default:"10m" placeholder:"D" help:"How long it may take (${default})."`
	DryRun  bool          `help:"Say what would be done."`
	NoSmoke bool          `help:"Do not test the new version."`
	JSON    bool          `name:"json" help:"Print one JSON object, also on a terminal."`
}

type rollbackCmd struct {
	nameFlag
	packageFlag
	To        string `placeholder:"VERSION" xor:"which" help:"To this version; default: the one before the last upgrade."`
	IfPending bool   `xor:"which" help:"Count a crash, and go back after the third one on probation; exit 1 if not."`
	JSON      bool   `name:"json" help:"Print one JSON object, also on a terminal."`
}

type sentinelCmd struct {
	Write   sentinelWriteCmd   `cmd:"" help:"Leave word of an upgrade for the next start."`
	Consume sentinelConsumeCmd `cmd:"" help:"Print it and remove it: exit 1 if there is none."`
}

type sentinelWriteCmd struct {
	nameFlag
	ChatID cli.Number `name:"chat-id" required:"" placeholder:"N" help:"Whom to tell."`
	Old    string     `required:"" placeholder:"A" help:"The version before."`
	New    string     `required:"" placeholder:"B" help:"The version now."`
}

type sentinelConsumeCmd struct {
	nameFlag
}

type compareCmd struct {
	nameFlag
	A string `arg:"" help:"A version."`
	B string `arg:"" help:"Another."`
}

// AfterApply checks what the grammar cannot say.
func (c *watchCmd) AfterApply() error {
	if c.Interval < time.Minute {
		return fmt.Errorf("--interval=%s: a minute is the least", c.Interval)
	}
	if c.Initial < 0 {
		return fmt.Errorf("--initial=%s: must not be negative", c.Initial)
	}
	return nil
}

// AfterApply checks what the grammar cannot say.
func (c *upgradeCmd) AfterApply() error {
	if c.Timeout <= 0 {
		return fmt.Errorf("--timeout=%s: must be positive", c.Timeout)
	}
	return checkTo(c.To)
}

// AfterApply checks what the grammar cannot say.
func (c *rollbackCmd) AfterApply() error { return checkTo(c.To) }

func checkTo(to string) error {
	if to == "" {
		return nil
	}
	if _, err := version.Parse(to); err != nil {
		return fmt.Errorf("--to=%q: %v", to, err) // misuse, though a version from elsewhere would be malformed data
	}
	return nil
}

// percent is a part of a whole.
type percent float64

func (p *percent) UnmarshalText(text []byte) error {
	number, ok := strings.CutSuffix(string(text), "%")
	n, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(n >= 0 && n <= 100) {
		return fmt.Errorf("%q is not a percentage from 0%% to 100%%", text)
	}
	*p = percent(n / 100)
	return nil
}
