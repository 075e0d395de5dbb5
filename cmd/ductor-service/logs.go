package main

import (
	"time"

	"ductor/cmd/ductor-service/internal/backend"
	"ductor/internal/common/cli"
)

// defaultLines is how many there are without -n and --since.
const defaultLines = 100

// Run prints what the service wrote, from where its manager keeps it.
func (c *logsCmd) Run(std *cli.IO) error {
	b, err := find(std, c.Name)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	return b.manager.Logs(ctx, std.Out, std.Err, c.lines())
}

func (c *logsCmd) lines() backend.Lines {
	q := backend.Lines{Last: defaultLines, Follow: c.Follow, Since: time.Time(c.Since)}
	if !q.Since.IsZero() {
		q.Last = -1
	}
	if c.Lines != nil {
		q.Last = *c.Lines
	}
	return q
}
