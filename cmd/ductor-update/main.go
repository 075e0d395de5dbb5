// Command ductor-update sees a new version of a bot.
package main

import (
	"io"
	"os"

	"ductor/internal/common/cli"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	std := &cli.IO{Tool: "ductor-update", In: stdin, Out: stdout, Err: stderr, Getenv: os.Getenv}
	return cli.Run(std, description, &grammar{}, args)
}
