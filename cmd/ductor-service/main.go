// Command ductor-service makes a bot start with the machine.
package main

import (
	"io"
	"os"

	"ductor/internal/common/cli"
)

func main() {
	openStreams()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	std := &cli.IO{Tool: "ductor-service", In: stdin, Out: stdout, Err: stderr, Getenv: os.Getenv}
	return cli.Run(std, description, grammarFor(args), args)
}
