package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	mounts "github.com/docker/docker/api/types/mount"
	"golang.org/x/term"

	"ductor/cmd/ductor-sandbox/internal/box"
	"ductor/cmd/ductor-sandbox/internal/engine"
	"ductor/cmd/ductor-sandbox/internal/image"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/jsonout"
)

type mountPoint = mounts.Mount

// Run makes the container, or starts it, and tries it.
func (c *upCmd) Run(std *cli.IO) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.Timeout)
	defer cancel()
	s, err := open(ctx, std, c.nameFlags, c.specFlags)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.want(ctx); err != nil {
		return timedOut(ctx, err, c.Timeout)
	}
	s.quiet = c.JSON
	if c.BuildOnly {
		if err := s.build(ctx, c.Recreate); err != nil {
			return timedOut(ctx, err, c.Timeout)
		}
		return s.view(ctx).print(std, c.JSON)
	}
	s.renews = true
	st, err := s.up(ctx, box.Options{Recreate: c.Recreate, Now: c.Now})
	if err != nil {
		return timedOut(ctx, err, c.Timeout)
	}
	v := s.view(ctx)
	v.Changed, v.Drift.Action = st.Changed, st.Drift
	if err := v.print(std, c.JSON); err != nil || v.Ready {
		return err
	}
	return exitcode.Status(exitcode.TempFail) // commands run in it, and it protects less than is wanted
}

func timedOut(ctx context.Context, err error, limit time.Duration) error {
	if err != nil && ctx.Err() != nil {
		return exitcode.Errorf(exitcode.Timeout, "it took more than %s: %w", limit, err).WithHint("ductor-sandbox up --timeout %s", 6*limit)
	}
	return err
}

// up leads to a container that runs, one caller at a time.
func (s *sandbox) up(ctx context.Context, o box.Options) (box.State, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return box.State{}, err
	}
	defer unlock()
	// Who had the lock may have made another image.
	if err := s.plans(ctx); err != nil {
		return box.State{}, err
	}
	if s.renews {
		if err := s.renew(ctx); err != nil {
			return box.State{}, err
		}
	}
	if s.image.ID == "" {
		if !s.settings.AutoBuild {
			return box.State{}, exitcode.Errorf(exitcode.Unavailable, "there is no image %q, and auto_build is off", s.settings.Image).WithID("image_missing").
				WithHint("ductor-sandbox up --build-only")
		}
		if err := s.build(ctx, false); err != nil {
			return box.State{}, err
		}
	}
	in, err := s.find(ctx)
	if err != nil {
		return box.State{}, err
	}
	o.Recreate = o.Recreate || len(s.lost(in)) > 0
	st, err := s.box.Ensure(ctx, o)
	if err != nil {
		return st, err
	}
	if st.Drift == box.Pending {
		cli.Warn(s.std, "the container %q is not what is wanted now, and commands run in it: it is made anew when none does, or by up --now", s.settings.Container)
	}
	if st.Changed != box.Reused {
		err = s.probe(ctx, st.ID)
	}
	if err != nil && ctx.Err() == nil {
		err = cmp.Or(s.box.Failed(ctx, st.ID), err)
	}
	if err == nil && st.Drift != box.Pending {
		err = s.led(ctx)
	}
	s.reap(ctx, st.ID)
	return st, err
}

// led looks whether each mount leads where it was planned to: something on this
// machine may have changed the way in between.
func (s *sandbox) led(ctx context.Context) error {
	in, err := s.find(ctx)
	if lost := s.lost(in); err == nil && len(lost) > 0 {
		return exitcode.Errorf(exitcode.NoPerm, "the mount %q is not of what was planned: something has changed its path meanwhile", lost[0]).WithID("mount_refused").
			WithHint("ductor-sandbox up, when nothing writes there; --dangerous, if that is how this machine is")
	}
	return err
}

// outdated: the image was made from another Dockerfile than would be used now.
func (s *sandbox) outdated(ctx context.Context) (bool, error) {
	return s.image.IsOutdated(ctx, s.engine.Client, image.Source{Path: s.settings.Dockerfile})
}

// renew makes an image anew that is outdated. The old one is better than none.
func (s *sandbox) renew(ctx context.Context) error {
	outdated, err := s.outdated(ctx)
	if err != nil || !outdated || !s.settings.AutoBuild {
		return err
	}
	limited, cancel := withReserve(ctx)
	defer cancel()
	if err := s.build(limited, false); ctx.Err() != nil {
		return err
	} else if err != nil {
		cli.Warn(s.std, "the image is of an older Dockerfile, and stays: %v", err)
	}
	return nil
}

// reserve is for the container that is made of whatever image there is.
const reserve = 30 * time.Second

func withReserve(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if left := time.Until(end); ok {
		return context.WithTimeout(ctx, left-min(reserve, left/2))
	}
	return context.WithCancel(ctx)
}

// build makes the image, with its progress on a terminal; anew does every step
// again, which gets what is newest.
func (s *sandbox) build(ctx context.Context, anew bool) error {
	progress := io.Discard
	if f, ok := s.std.Err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		progress = f
	}
	if !s.quiet {
		fmt.Fprintf(s.std.Err, "ductor-sandbox: building the image %q\n", s.settings.Image)
	}
	found, err := image.Build(ctx, s.engine.Client, image.Request{Ref: s.settings.Image, Source: image.Source{Path: s.settings.Dockerfile}, Progress: progress, NoCache: anew})
	if err != nil {
		return engine.Classify(err, "build the image")
	}
	s.image = found
	return s.plans(ctx) // it may be of another architecture than this program
}

// view is what up and status print.
type view struct {
	Ready     bool              `json:"ready"`
	Container containerView     `json:"container"`
	Image     imageView         `json:"image"`
	Engine    *engineView       `json:"engine,omitempty"`
	Drift     driftView         `json:"drift"`
	User      string            `json:"user,omitempty"`
	WorkDir   string            `json:"workdir,omitempty"`
	Mounts    []mountView       `json:"mounts,omitempty"`
	Auth      map[string]string `json:"auth,omitempty"`
	Network   string            `json:"network"`
	Runs      int               `json:"runs"`
	Changed   box.Changed       `json:"changed,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	Message   string            `json:"message,omitempty"`
	Fix       string            `json:"fix,omitempty"`
	Warnings  []string          `json:"warnings,omitempty"`
}

type containerView struct {
	Name  string `json:"name"`
	ID    string `json:"id,omitempty"`
	State string `json:"state,omitempty"` // absent, or Docker's word; "" is unknown
	Since string `json:"since,omitempty"`
}

type imageView struct {
	Ref   string `json:"ref"`
	ID    string `json:"id,omitempty"`
	Stale bool   `json:"stale"`
}

type engineView struct {
	Host     string `json:"host"`
	Source   string `json:"source"`
	Version  string `json:"version,omitempty"`
	API      string `json:"api"`
	Rootless bool   `json:"rootless"`
}

type driftView struct {
	Drifted bool      `json:"drifted"`
	Action  box.Drift `json:"action,omitempty"`
}

type mountView struct {
	Host   string `json:"host,omitempty"`
	Inside string `json:"inside"`
	Write  bool   `json:"write"`
}

// strange names what in config.json nobody reads: a protection that is misspelled
// is none.
func (s *sandbox) strange() (warnings []string) {
	for _, key := range s.settings.Unknown {
		warnings = append(warnings, fmt.Sprintf("%q in the docker section of %q is not known here", key, s.configFile()))
	}
	return warnings
}

// view looks, and changes nothing.
func (s *sandbox) view(ctx context.Context) view {
	warnings := append(s.strange(), s.plan.Warnings...)
	if n := len(s.plan.Unprotected); n > 0 {
		more := ""
		if n > 1 {
			more = fmt.Sprintf(" and %d more, which doctor names", n-1)
		}
		warnings = append(warnings, fmt.Sprintf("commands can make or change what this machine would run or obey: %q%s", s.plan.Unprotected[0], more))
	}
	v := view{Container: containerView{Name: s.settings.Container}, Image: imageView{Ref: s.settings.Image, ID: s.image.ID},
		Network: s.settings.Network, WorkDir: s.plan.WorkDir, Auth: s.plan.Auth, Warnings: warnings}
	if s.engine != nil {
		v.Engine = &engineView{s.engine.Host, s.engine.Source, s.engine.Version, s.engine.API, s.info.Rootless}
	}
	if s.box == nil {
		return v
	}
	v.User = s.box.Spec.User
	for _, m := range s.plan.Mounts {
		v.Mounts = append(v.Mounts, mountView{m.Source, m.Target, !m.ReadOnly})
	}
	v.Image.Stale, _ = s.outdated(ctx)
	in, err := s.find(ctx)
	switch {
	case err != nil:
		v.fail(err)
	case in != nil:
		v.Container.ID, v.Container.State = in.ID, string(in.State.Status)
		if in.State.Running {
			v.Container.Since = in.State.StartedAt
		}
		runs := in.State.Running && !in.State.Paused
		lost := len(s.lost(in)) > 0
		v.Drift.Drifted = runs && (lost || !s.box.Ready(in))
		v.Ready = runs && !lost && !s.box.Weaker(in)
		if v.Drift.Drifted {
			v.Reason, v.Message, v.Fix = "drift", "it is not what is wanted now", "ductor-sandbox up"
		} else if !runs {
			v.Reason, v.Message, v.Fix = "not_running", "no command can run in it now", "ductor-sandbox up"
		}
		v.Image.Stale = v.Image.Stale || s.image.ID != "" && in.Image != s.image.ID
	case s.image.ID == "":
		v.Container.State = "absent"
		v.Reason, v.Message, v.Fix = "image_missing", fmt.Sprintf("there is no image %q", s.settings.Image), "ductor-sandbox up"
	default:
		v.Container.State = "absent"
		v.Reason, v.Message, v.Fix = "container_missing", fmt.Sprintf("there is no container %q", s.settings.Container), "ductor-sandbox up"
	}
	if runs, err := s.runs.List(); err == nil {
		for _, r := range runs {
			if r.Alive() {
				v.Runs++
			}
		}
	}
	return v
}

func (v *view) fail(err error) {
	d := cli.Describe(err)
	v.Reason, v.Message, v.Fix = d.Error, d.Message, d.Hint
}

func (v view) print(std *cli.IO, json bool) error {
	if json {
		return printJSON(std, v)
	}
	_, err := io.WriteString(std.Out, v.text())
	return err
}

func (v view) text() string {
	text := fmt.Sprintf("%s: %s", v.Container.Name, cmp.Or(v.Container.State, "unknown"))
	if v.Changed != "" && v.Changed != box.Reused {
		text += ", " + string(v.Changed)
	}
	if v.Message != "" {
		text += ": " + v.Message
	}
	text += "\n"
	if v.Image.Stale && !v.Drift.Drifted {
		text += "  its image is of an older Dockerfile: ductor-sandbox up\n"
	}
	if v.Fix != "" {
		text += "  type: " + v.Fix + "\n"
	}
	for _, w := range v.Warnings {
		text += "  note: " + w + "\n"
	}
	return text
}

func printJSON(std *cli.IO, v any) error {
	line, err := jsonout.Line(v)
	if err == nil {
		_, err = std.Out.Write(line)
	}
	return err
}
