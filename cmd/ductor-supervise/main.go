// Command ductor-supervise keeps one command running.
package main

import (
	"io"
	"os"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

func main() {
	if code, is := asGuard(); is {
		os.Exit(code)
	}
	openStreams()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	std := &cli.IO{Tool: "ductor-supervise", In: stdin, Out: stdout, Err: stderr, Getenv: os.Getenv}
	args = withVerb(args)
	code := cli.Run(std, description, grammarFor(args), args)
	// launchd starts again whatever did not exit 0, and has no list of codes
	// that mean "a human is needed".
	if std.Getenv("DUCTOR_SERVICE") == "launchd" && (code == exitcode.Usage || code == exitcode.Config) {
		cli.Warn(std, "exit code %d becomes 0, so that launchd does not start this again", code)
		return exitcode.OK
	}
	return code
}
