package main

import (
	"fmt"
	"io"
	"strings"

	"ductor/cmd/ductor-update/internal/install"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/jsonout"
)

// Run says how it is installed; the exit code says whether that can be upgraded.
func (c *modeCmd) Run(std *cli.IO) error {
	in, err := c.find(std)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(std, in)
	} else {
		_, err = io.WriteString(std.Out, modeText(in))
	}
	for _, w := range in.Warnings {
		cli.Warn(std, "%q", w)
	}
	if err == nil && !in.Upgradeable {
		return exitcode.Status(exitcode.Config)
	}
	return err
}

// root is in place of / where the system itself is looked at: tests may run in
// a container, where nothing is upgraded.
var root string

func (f packageFlag) find(std *cli.IO) (install.Install, error) {
	return install.Find(install.Query{Package: f.Package, Python: f.Python, Getenv: std.Getenv, Root: root})
}

// modeText quotes what comes from files.
func modeText(in install.Install) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", in.Package, in.Mode)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-10s %s\n", name, safe(value))
		}
	}
	row("version", in.Version)
	row("program", in.Program)
	row("python", in.Python)
	row("from", in.Source)
	row("specifier", in.Specifier)
	if !in.Upgradeable {
		row("refused", in.Reason)
	} else {
		row("note", in.Reason)
	}
	row("type", in.Fix)
	return b.String()
}

// safe keeps a text from steering the terminal.
func safe(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func printJSON(std *cli.IO, v any) error {
	line, err := jsonout.Line(v)
	if err == nil {
		_, err = std.Out.Write(line)
	}
	return err
}
