package main

import (
	"context"
	"time"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// statusTime is what a question may take: a daemon that does not answer is an
// answer.
const statusTime = 10 * time.Second

// Run looks, and makes nothing.
func (c *statusCmd) Run(std *cli.IO) error {
	ctx, cancel := context.WithTimeout(context.Background(), statusTime)
	defer cancel()
	s, err := configure(std, c.nameFlags, c.specFlags)
	if err != nil {
		return err
	}
	defer s.close()
	if err = s.look(ctx, c.Host); !s.settings.Enabled { // that is why, whatever else is the matter
		err = s.disabled()
	}
	v := s.view(ctx)
	if err != nil {
		v.fail(err)
		v.Ready = false
	}
	if err := v.print(std, c.JSON); err != nil {
		return err
	}
	if !v.Ready {
		return exitcode.Status(exitcode.No)
	}
	return nil
}
