package main

import (
	"fmt"
	"strings"
	"time"

	"ductor/internal/common/cli"
	"ductor/internal/common/home"
)

const description = "Run commands in one persistent container."

type grammar struct {
	cli.Common

	Up     upCmd     `cmd:"" help:"Make the container, or start it."`
	Exec   execCmd   `cmd:"" help:"Run a command in it."`
	Ps     psCmd     `cmd:"" help:"List the commands that run in it."`
	Kill   killCmd   `cmd:"" help:"End such commands, with all that came of them."`
	Status statusCmd `cmd:"" help:"Say how it is: exit 0 if it is up, 1 if not."`
	Down   downCmd   `cmd:"" help:"Remove the container."`
	Doctor doctorCmd `cmd:"" help:"Say what is wrong, and what to type."`
}

// nameFlags say whose container, and at which daemon.
type nameFlags struct {
	Name home.Name `default:"ductor" env:"DUCTOR_NAME" placeholder:"NAME" help:"Which bot's container (${default})."`
	Host string    `placeholder:"URL" help:"Where the Docker daemon is; default: where docker would look."`
}

// specFlags are stronger than the docker section of config.json.
type specFlags struct {
	Container  string   `placeholder:"NAME" help:"What the container is called."`
	Image      string   `placeholder:"REF" help:"The image."`
	Dockerfile string   `placeholder:"PATH" help:"What to build the image from; default: one of our own."`
	Network    string   `placeholder:"MODE" help:"bridge or none."`
	Memory     string   `placeholder:"SIZE" help:"How much it may use, such as 2g."`
	CPUs       string   `name:"cpus" placeholder:"N" help:"How many processors."`
	Pids       string   `placeholder:"N" help:"How many processes and threads."`
	ReadOnly   bool     `help:"Nothing but the mounts can be written."`
	RW         []string `name:"rw" sep:"none" placeholder:"PATH" help:"Let this part of the home be written; can be repeated."`
	Mount      []string `sep:"none" placeholder:"PATH[:ro]" help:"Have this folder inside, too; can be repeated."`
	Dangerous  bool     `help:"Allow mounts by which the container can act on this machine."`
}

type upCmd struct {
	nameFlags
	specFlags
	Recreate  bool          `help:"Make it anew; with --build-only the image, every step of it."`
	Now       bool          `help:"Also while commands run in it."`
	BuildOnly bool          `help:"Build the image, and nothing else."`
	Timeout   time.Duration `default:"5m" placeholder:"D" help:"How long it may take (${default})."`
	JSON      bool          `name:"json" help:"Print one JSON object."`
}

type execCmd struct {
	nameFlags
	specFlags
	Stdin         bool          `short:"i" help:"Pass standard input on, which is the default."`
	TTY           bool          `short:"t" name:"tty" xor:"tty" help:"Have a terminal inside; default: if there is one outside."`
	NoTTY         bool          `short:"T" name:"no-tty" xor:"tty" help:"Have none."`
	Workdir       string        `short:"w" placeholder:"DIR" help:"Where to run it; default: here, if that is inside, too."`
	Env           []string      `short:"e" sep:"none" placeholder:"K[=V]" help:"A variable; can be repeated."`
	Timeout       time.Duration `placeholder:"D" help:"End it after that; default: never."`
	Grace         time.Duration `default:"5s" placeholder:"D" help:"How long it may take to end (${default})."`
	Tag           []string      `sep:"none" placeholder:"K=V" help:"What to know it by; can be repeated."`
	StatusFD      *int          `name:"status-fd" placeholder:"N" help:"Write how it ended to this descriptor, as a line of JSON."`
	OnUnavailable string        `default:"fail" enum:"fail,host" placeholder:"WHAT" help:"fail, or run it on the host (${default})."`
	Command       cli.Command   `arg:"" name:"cmd" passthrough:"partial" help:"What to run."`
}

type psCmd struct {
	nameFlags
	JSON bool `name:"json" help:"Print one JSON object for each."`
}

type killCmd struct {
	nameFlags
	All   bool          `help:"All of them."`
	Tag   []string      `sep:"none" placeholder:"K=V" help:"Those with this tag; with all of them if repeated."`
	Grace time.Duration `default:"5s" placeholder:"D" help:"How long they may take to end (${default})."`
	ID    string        `arg:"" optional:"" help:"The one with this ID."`
}

type statusCmd struct {
	nameFlags
	specFlags
	JSON bool `name:"json" help:"Print one JSON object."`
}

type downCmd struct {
	nameFlags
	Container string `placeholder:"NAME" help:"What the container is called."`
	Force     bool   `help:"Also while commands run in it."`
	Image     bool   `help:"Remove the image, too."`
}

type doctorCmd struct {
	nameFlags
	specFlags
	JSON bool `name:"json" help:"Print one JSON object."`
}

// maxTags bounds the tags of a run, in bytes: its record is a small file.
const maxTags = 8 << 10

// AfterApply checks what the grammar cannot say.
func (c *upCmd) AfterApply() error {
	if c.Timeout <= 0 {
		return fmt.Errorf("--timeout=%s: must be positive", c.Timeout)
	}
	return nil
}

// AfterApply checks what the grammar cannot say.
func (c *execCmd) AfterApply() error {
	if words := c.Command.Words(); len(words) == 0 || words[0] == "" {
		return fmt.Errorf("no command to run: ductor-sandbox exec -- CMD [ARG…]")
	}
	if c.Timeout < 0 {
		return fmt.Errorf("--timeout=%s: must not be negative", c.Timeout)
	}
	if c.Grace < 0 {
		return fmt.Errorf("--grace=%s: must not be negative", c.Grace)
	}
	size := 0
	for _, tag := range c.Tag {
		if k, _, ok := strings.Cut(tag, "="); !ok || k == "" {
			return fmt.Errorf("--tag=%q: is not K=V", tag)
		}
		size += len(tag)
	}
	if size > maxTags {
		return fmt.Errorf("--tag: %d bytes in all, and %d are allowed", size, maxTags)
	}
	return nil
}

// AfterApply checks what the grammar cannot say.
func (c *killCmd) AfterApply() error {
	n := 0
	for _, given := range []bool{c.All, len(c.Tag) > 0, c.ID != ""} {
		if given {
			n++
		}
	}
	if c.Grace < 0 {
		return fmt.Errorf("--grace=%s: must not be negative", c.Grace)
	}
	for _, tag := range c.Tag {
		if !strings.Contains(tag, "=") {
			return fmt.Errorf("--tag=%q: is not K=V", tag)
		}
	}
	if n != 1 {
		return fmt.Errorf("say which: an ID, --tag K=V, or --all")
	}
	return nil
}
