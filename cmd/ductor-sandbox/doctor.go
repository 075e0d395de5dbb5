package main

import (
	"context"
	"fmt"
	"os/exec"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// check is one thing that doctor looks at.
type check struct {
	Name    string `json:"name"`
	Status  string `json:"status"` // pass, warn, fail or skip
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

type doctorView struct {
	OK     bool    `json:"ok"`
	Checks []check `json:"checks"`
}

// Run looks at everything that a sandbox needs, and says what to type.
func (c *doctorCmd) Run(std *cli.IO) error {
	ctx, cancel := context.WithTimeout(context.Background(), statusTime)
	defer cancel()
	d := &doctorView{OK: true}
	c.examine(ctx, std, d)
	if c.JSON {
		if err := printJSON(std, d); err != nil {
			return err
		}
	} else {
		for _, k := range d.Checks {
			fmt.Fprintf(std.Out, "%-5s %-10s %s\n", k.Status, k.Name, k.Message)
			if k.Hint != "" {
				fmt.Fprintf(std.Out, "      type: %s\n", k.Hint)
			}
		}
	}
	if !d.OK {
		return exitcode.Status(exitcode.No)
	}
	return nil
}

func (d *doctorView) add(name, status, format string, args ...any) *check {
	d.Checks = append(d.Checks, check{Name: name, Status: status, Message: fmt.Sprintf(format, args...)})
	d.OK = d.OK && status != "fail"
	return &d.Checks[len(d.Checks)-1]
}

func (d *doctorView) fail(name string, err error) {
	about := cli.Describe(err)
	d.add(name, "fail", "%s", about.Message).Hint = about.Hint
}

func (c *doctorCmd) examine(ctx context.Context, std *cli.IO, d *doctorView) {
	s, err := configure(std, c.nameFlags, c.specFlags)
	if err != nil {
		d.fail("config", err)
		return
	}
	defer s.close()
	if !s.settings.Enabled {
		d.fail("config", s.disabled())
		return
	}
	d.add("config", "pass", "image %s, container %s, network %s", s.settings.Image, s.settings.Container, s.settings.Network)
	if path, err := exec.LookPath("docker"); err != nil {
		d.add("cli", "pass", "there is no docker command, and none is needed")
	} else {
		d.add("cli", "pass", "%s, which is not needed", path)
	}
	if err := s.connect(ctx, c.Host); err != nil {
		d.fail("daemon", err)
		return
	}
	d.add("daemon", "pass", "%s (%s), API %s", s.engine.Host, s.engine.Source, s.engine.API)
	if err := s.plans(ctx); err != nil {
		d.fail("mounts", err)
		return
	}
	d.add("mounts", "pass", "%d", len(s.plan.Mounts))
	for who, how := range s.plan.Auth {
		status := "pass"
		if how == "keychain" || how == "none" {
			status = "warn"
		}
		d.add("auth", status, "%s: %s", who, how)
	}
	for _, w := range s.plan.Warnings {
		d.add("mounts", "warn", "%s", w)
	}
	if s.image.ID == "" {
		d.add("image", "warn", "there is no image %q yet", s.settings.Image).Hint = "ductor-sandbox up"
	} else {
		d.add("image", "pass", "%s %s", s.settings.Image, s.image.ID)
	}
	in, err := s.box.Find(ctx)
	switch {
	case err != nil:
		d.fail("container", err)
	case in == nil:
		d.add("container", "warn", "there is no container %q yet", s.settings.Container).Hint = "ductor-sandbox up"
	case !in.State.Running:
		d.add("container", "warn", "it is %s", in.State.Status).Hint = "ductor-sandbox up"
	case !s.box.Ready(in):
		d.add("container", "warn", "it is not what is wanted now").Hint = "ductor-sandbox up"
	default:
		if err := s.probe(ctx, in.ID); err != nil {
			d.fail("container", err)
			return
		}
		d.add("container", "pass", "it runs, and runs commands")
	}
}
