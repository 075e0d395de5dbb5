package main

import (
	"fmt"

	"ductor/cmd/ductor-update/internal/version"
	"ductor/internal/common/cli"
)

// Run prints the order of two versions by PEP 440.
func (c *compareCmd) Run(std *cli.IO) error {
	a, err := version.Parse(c.A)
	if err != nil {
		return err
	}
	b, err := version.Parse(c.B)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.Out, version.Compare(a, b))
	return err
}
