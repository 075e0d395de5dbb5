package main

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
	imagetypes "github.com/docker/docker/api/types/image"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// downTime is for what a daemon does in a second.
const downTime = time.Minute

// Run removes the container, unless a command runs in it.
func (c *downCmd) Run(std *cli.IO) error {
	ctx, cancel := context.WithTimeout(context.Background(), downTime)
	defer cancel()
	s, err := configure(std, c.nameFlags, specFlags{Container: c.Container})
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.attach(ctx, c.Host); err != nil {
		return err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	in, err := s.find(ctx)
	if err != nil {
		return err
	}
	if in != nil {
		done, busy, err := s.vacate(ctx, in.ID, c.Force)
		if err != nil {
			return err
		}
		defer done()
		if busy {
			return exitcode.Errorf(exitcode.TempFail, "commands run in the container %q", s.settings.Container).WithID("busy").
				WithHint("ductor-sandbox ps, or down --force")
		}
		if err := s.box.Remove(ctx, in.ID); err != nil {
			return err
		}
	}
	s.reap(ctx, "")
	if !c.Image {
		return nil
	}
	_, err = s.engine.Client.ImageRemove(ctx, s.settings.Image, imagetypes.RemoveOptions{PruneChildren: true})
	switch {
	case errdefs.IsConflict(err):
		return exitcode.Errorf(exitcode.TempFail, "the image %q is in use: %w", s.settings.Image, err).WithID("busy")
	case errdefs.IsNotFound(err):
		return nil
	}
	return err
}
