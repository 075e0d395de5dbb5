// Command ductor-lock runs a command so that at most one runs.
package main

import (
	"io"
	"os"
	"runtime"

	"ductor/internal/common/cli"
)

// The parent-death signal that a supervisor asked for belongs to the first
// thread; an exec by another one would lose it, and the bot would outlive a
// killed supervisor.
func init() { runtime.LockOSThread() }

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	std := &cli.IO{Tool: "ductor-lock", In: stdin, Out: stdout, Err: stderr, Getenv: os.Getenv}
	std.Misused = func(err error) { misused(args, err) }
	return cli.Run(std, description, grammarFor(args), args)
}
