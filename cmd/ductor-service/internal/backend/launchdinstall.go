package backend

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
)

// Install places the agents and loads them; without Start they are loaded at
// the next login. A service that runs already is loaded again if it changed.
func (l *Launchd) Install(ctx context.Context, p Plan) (Installed, error) {
	before, err := l.agents(ctx)
	if err != nil {
		return Installed{}, err
	}
	v, err := judge(l.Platform(), before.stored(), p)
	if err != nil {
		return Installed{}, err
	}
	c := change{agents: before, verdict: v, patience: before.patience(p.Service)}
	c.plan(p)
	if slices.ContainsFunc(c.load, func(j job) bool { return j.label == l.service.Label() }) && before.inside() {
		return Installed{}, errInside()
	}
	if err := c.do(ctx, p.Service); err != nil {
		return Installed{}, c.undo(ctx, err)
	}
	return Installed{Action: v.action, Definition: l.path(l.main()), Backups: c.copies}, nil
}

// change is what an installation does, and can undo.
type change struct {
	agents
	verdict
	patience int
	unload   []job // whose definitions go
	load     []job // once more, if they are loaded
	enable   []job
	touched  []job // which are not as they were, or may not be
	copies   []string
}

// plan sorts the jobs. If nothing is to be done for any, nothing is touched.
func (c *change) plan(p Plan) {
	for i, j := range c.jobs {
		name := j.label + ".plist"
		changed := slices.ContainsFunc(c.write, func(f definition.File) bool { return f.Name == name })
		runs := j.pid > 0 || j.loaded && i > 0 // a timer runs now and then only
		switch {
		case slices.Contains(c.verdict.remove, name):
			c.unload = append(c.unload, j)
			continue
		case i > 0 && p.Service.Updater == "":
			continue // whatever it is, it is not ours
		case changed && j.loaded, p.Start && !runs:
			c.load = append(c.load, j)
		}
		if changed || j.disabled || p.Start && !runs {
			c.enable = append(c.enable, j)
		}
	}
}

func (c *change) do(ctx context.Context, s definition.Service) error {
	if err := c.place(s); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	for _, j := range c.enable {
		if err := c.must(ctx, "enable", j.target()); err != nil {
			return err
		}
	}
	for _, j := range c.unload {
		if err := c.take(ctx, j); err != nil {
			return err
		}
		if err := removeFile(c.path(j.label + ".plist")); err != nil {
			return err
		}
	}
	for _, j := range c.load {
		if err := c.take(ctx, j); err != nil {
			return err
		}
		if err := c.Launchd.load(ctx, c.domains, j.label); err != nil {
			return err
		}
		if _, err := c.up(ctx, c.domains, j.label); err != nil {
			return err
		}
	}
	return nil
}

// take unloads a job, and remembers that.
func (c *change) take(ctx context.Context, j job) error {
	c.touched = append(c.touched, j)
	return c.Launchd.unload(ctx, c.domains, j.label, c.patience)
}

// place writes the files. launchd makes no folders for its logs: without them
// the service would not start.
func (c *change) place(s definition.Service) error {
	if err := os.MkdirAll(filepath.Join(s.Home, "logs"), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(c.folder, 0o755); err != nil {
		return err
	}
	for _, name := range c.backup {
		kept, err := keepCopy(c.path(name), c.files[name].data)
		if err != nil {
			return err
		}
		c.copies = append(c.copies, kept)
	}
	for _, f := range c.write {
		if err := atomicfile.Write(c.path(f.Name), f.Data, mode(f.Data)); err != nil {
			return err
		}
	}
	return nil
}

// undo makes everything as it was, as far as that can be had, and returns why
// it had to. The time for that is its own: the caller's may be over.
func (c *change) undo(ctx context.Context, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute+time.Duration(2*c.patience)*time.Second)
	defer cancel()
	var errs []error
	for _, j := range c.touched {
		errs = append(errs, c.Launchd.unload(ctx, c.domains, j.label, c.patience))
	}
	errs = append(errs, c.putBack())
	for _, j := range c.touched {
		if j.loaded {
			errs = append(errs, c.Launchd.load(ctx, []string{j.domain}, j.label))
		}
	}
	for _, j := range c.enable {
		if j.disabled {
			errs = append(errs, c.must(ctx, "disable", j.target()))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return exitcode.Errorf(exitcode.Of(why), "%w; and what was there could not be put back: %w", why, err).
			WithHint("ductor-service status --name %s", c.service.Name)
	}
	return why
}

// putBack restores the files that were written or removed.
func (c *change) putBack() error {
	names := slices.Clone(c.verdict.remove)
	for _, f := range c.write {
		names = append(names, f.Name)
	}
	removeCopies(c.copies)
	var errs []error
	for _, name := range names {
		if f, there := c.files[name]; there {
			errs = append(errs, atomicfile.Write(c.path(name), f.data, f.mode))
		} else {
			errs = append(errs, removeFile(c.path(name)))
		}
	}
	return errors.Join(errs...)
}
