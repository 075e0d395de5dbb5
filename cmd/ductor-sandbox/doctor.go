package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

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

// examine goes on as long as the next look has a meaning.
func (c *doctorCmd) examine(ctx context.Context, std *cli.IO, d *doctorView) {
	s, err := configure(std, c.nameFlags, c.specFlags)
	if err == nil && !s.settings.Enabled {
		err = s.disabled()
	}
	if err != nil {
		d.fail("config", err)
		return
	}
	defer s.close()
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
	d.add("daemon", "pass", "%s (%s), %s, API %s", s.engine.Host, s.engine.Source, s.engine.Version, s.engine.API)
	d.kernel(ctx, s)
	if _, err := os.Stat(filepath.Join(string(s.home), "workspace")); err != nil {
		d.add("mounts", "warn", "nothing was made in %q yet", s.home).Hint = "ductor-sandbox up"
		return
	}
	if err := s.plans(ctx); err != nil {
		d.fail("mounts", err)
		return
	}
	d.mounts(s)
	d.container(ctx, s)
}

// kernel is what protects, or does not, where the containers are.
func (d *doctorView) kernel(ctx context.Context, s *sandbox) {
	info, err := s.engine.Info(ctx)
	if err != nil {
		d.fail("kernel", err)
		return
	}
	for _, limit := range []struct {
		known bool
		what  string
		hint  string
	}{
		{info.MemoryLimit, "memory", "on a Raspberry Pi: cgroup_enable=memory cgroup_memory=1 in cmdline.txt, and reboot"},
		{info.CPULimit, "processors", ""}, {info.PidsLimit, "processes", ""},
	} {
		if !limit.known {
			d.add("limits", "warn", "the kernel there cannot limit %s, so nothing does", limit.what).Hint = limit.hint
		}
	}
	if !info.Seccomp {
		d.add("seccomp", "warn", "the daemon filters no system calls")
	} else {
		d.add("seccomp", "pass", "the daemon's own profile")
	}
	for _, kind := range []struct {
		is   bool
		name string
	}{{info.Rootless, "rootless Docker"}, {info.Desktop, "Docker Desktop"}, {info.Podman, "Podman"}, {info.SELinux, "SELinux"}, {info.UserNS, "a remapped user namespace"}} {
		if kind.is {
			d.add("untried", "warn", "this is %s, which is provided for, but was not tried by those who made this", kind.name)
		}
	}
}

func (d *doctorView) mounts(s *sandbox) {
	d.add("mounts", "pass", "%d", len(s.plan.Mounts))
	for _, who := range slices.Sorted(maps.Keys(s.plan.Auth)) {
		status := "pass"
		if how := s.plan.Auth[who]; how == "keychain" || how == "none" {
			status = "warn"
		}
		d.add("auth", status, "%s: %s", who, s.plan.Auth[who])
	}
	for _, w := range append(s.strange(), s.plan.Warnings...) {
		d.add("mounts", "warn", "%s", w)
	}
	for _, path := range s.plan.Unprotected {
		d.add("mounts", "warn", "a command can make or change %q, which this machine would obey", path)
	}
}

func (d *doctorView) container(ctx context.Context, s *sandbox) {
	if s.image.ID == "" {
		d.add("image", "warn", "there is no image %q yet", s.settings.Image).Hint = "ductor-sandbox up"
	} else if outdated, err := s.outdated(ctx); err != nil {
		d.fail("image", err)
	} else if outdated {
		d.add("image", "warn", "%q is of an older Dockerfile", s.settings.Image).Hint = "ductor-sandbox up"
	} else {
		d.add("image", "pass", "%s %s", s.settings.Image, s.image.ID)
	}
	in, err := s.find(ctx)
	if err == nil && in != nil && s.box.Ready(in) && len(s.lost(in)) == 0 {
		if err = s.probe(ctx, in.ID); err == nil {
			d.add("container", "pass", "it runs, and runs commands")
			return
		}
	}
	why := "it is not what is wanted now"
	switch {
	case err != nil:
		d.fail("container", err)
		return
	case in == nil:
		why = fmt.Sprintf("there is no container %q yet", s.settings.Container)
	case !in.State.Running:
		why = fmt.Sprintf("it is %s", in.State.Status)
	}
	d.add("container", "warn", "%s", why).Hint = "ductor-sandbox up"
}
