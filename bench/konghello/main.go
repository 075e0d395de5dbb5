// Command konghello is the least that a kong program can be, to compare starts
// with: what it costs more than hello, no program of this house can save.
package main

import (
	"os"

	"github.com/alecthomas/kong"
)

type grammar struct {
	Version kong.VersionFlag `help:"Print the version and exit."`
	Greet   struct {
		Name string `default:"world" help:"Whom to greet."`
	} `cmd:"" help:"Say hello."`
}

func main() {
	parser, err := kong.New(&grammar{}, kong.Vars{"version": "konghello 1"})
	if err != nil {
		os.Exit(70)
	}
	_, err = parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
}
