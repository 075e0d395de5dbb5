// Command ductor-sandbox runs commands in one persistent container.
package main

import (
	"io"
	"os"

	"ductor/cmd/ductor-sandbox/internal/box"
	"ductor/cmd/ductor-sandbox/internal/inside"
	"ductor/internal/common/cli"
)

func main() {
	if os.Args[0] == box.HelperPath { // in the container
		os.Exit(inside.Main(os.Args[1:]))
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	if os.Getenv("DUCTOR_NAME") == "" { // kong would take the empty one for a name
		_ = os.Unsetenv("DUCTOR_NAME")
	}
	std := &cli.IO{Tool: "ductor-sandbox", In: stdin, Out: stdout, Err: stderr, Getenv: os.Getenv}
	return cli.Run(std, description, &grammar{}, args)
}
