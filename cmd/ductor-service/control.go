package main

import (
	"context"
	"fmt"
	"time"

	"ductor/cmd/ductor-service/internal/backend"
	"ductor/internal/common/cli"
	"ductor/internal/common/home"
)

// Run starts the service, if it does not run.
func (c *startCmd) Run(std *cli.IO) error {
	return control(std, c.Name, c.Timeout, backend.Manager.Start)
}

// Run stops the service; it is no error if it does not run.
func (c *stopCmd) Run(std *cli.IO) error {
	return control(std, c.Name, c.Timeout, backend.Manager.Stop)
}

// Run goes through the service manager, so that the bot stays its own.
func (c *restartCmd) Run(std *cli.IO) error {
	return control(std, c.Name, c.Timeout, backend.Manager.Restart)
}

func control(std *cli.IO, name home.Name, limit time.Duration, do func(backend.Manager, context.Context) error) error {
	b, err := find(std, name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return do(b.manager, ctx)
}

// Run says what was removed, and what was left.
func (c *uninstallCmd) Run(std *cli.IO) error {
	b, err := find(std, c.Name)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	if !exists(string(b.home.Run(b.name))) { // nothing to lock, and nothing to make for it
		return c.remove(ctx, std, b)
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return c.remove(ctx, std, b)
}

func (c *uninstallCmd) remove(ctx context.Context, std *cli.IO, b bot) error {
	done, err := b.manager.Uninstall(ctx, c.KeepLinger)
	if err != nil {
		return err
	}
	if done.Definition == "" {
		_, err = fmt.Fprintf(std.Out, "%s: not installed\n", c.Name)
		return err
	}
	_, err = fmt.Fprintf(std.Out, "removed %s\n", done.Definition)
	for _, k := range done.Kept {
		fmt.Fprintf(std.Out, "kept %s: %s\n", k.What, k.Why)
	}
	return err
}
