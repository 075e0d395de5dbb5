// Package cli turns a kong grammar into a program of this house: its rules for
// help, misuse, errors, exit codes.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"ductor/internal/common/buildinfo"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/jsonout"
)

// IO is what a verb may touch of the outside; verbs take it as an argument of
// their Run method.
type IO struct {
	Tool   string // the program's name, as in its messages
	In     *os.File
	Out    io.Writer
	Err    io.Writer
	Getenv func(string) string
	// Misused, if any, is told of a wrong command line besides the user.
	Misused func(error)
}

// Common is embedded in every grammar.
type Common struct {
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// Command is the tail of a command line that starts a program.
type Command []string

// Words returns the command without the one "--" that kong leaves in front; a
// second one is the command's own.
func (c Command) Words() []string {
	if len(c) > 0 && c[0] == "--" {
		return c[1:]
	}
	return c
}

// Number is an integer that may be negative. kong would take the "-100" of
// "--chat-id -100" for a flag.
type Number int64

// Decode takes the next word whatever it looks like.
func (n *Number) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Pop()
	if token.IsEOL() {
		return errors.New("its number is missing")
	}
	word := token.String()
	v, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", word)
	}
	*n = Number(v)
	return nil
}

// exit is what our kong exit hook panics with: kong goes on parsing when the
// hook returns, and only main may leave the process.
type exit int

// Run parses args by grammar, runs the chosen verb, and returns the exit code.
// Help and version go to std.Out; a failure is one line on std.Err, or one
// JSON object when the verb was asked for --json.
func Run(std *IO, description string, grammar any, args []string) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exit:
			code = int(r)
		default:
			panic(r)
		}
	}()
	// Asked by scripts, and by people who measure: no grammar is needed for it.
	if len(args) == 1 && args[0] == "--version" {
		fmt.Fprintln(std.Out, version(std))
		return exitcode.OK
	}
	parser, err := New(std, description, grammar)
	if err != nil {
		fmt.Fprintf(std.Err, "%s: error: grammar: %v\n", std.Tool, err)
		return exitcode.Software
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return misuse(std, err, asksJSON(args))
	}
	return report(std, ctx.Run(std), ctx)
}

// New builds the parser of a tool; its tests render the help of every verb.
func New(std *IO, description string, grammar any) (*kong.Kong, error) {
	return kong.New(grammar,
		kong.Name(std.Tool),
		kong.Description(description),
		kong.Writers(std.Out, std.Err),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.Vars{"version": version(std)},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
	)
}

func version(std *IO) string { return std.Tool + " " + buildinfo.Version() }

// misuse reports a wrong command line: one line and where to look, never the
// whole usage.
func misuse(std *IO, err error, json bool) int {
	var e *exitcode.Error
	if !errors.As(err, &e) {
		e = exitcode.Errorf(exitcode.Usage, "%w", err)
	}
	if std.Misused != nil {
		std.Misused(e)
	}
	Fail(std, e, json)
	if e.Code != exitcode.Usage {
		return e.Code
	}
	if !json {
		fmt.Fprintf(std.Err, "Try '%s --help'.\n", std.Tool)
	}
	return exitcode.Usage
}

// asksJSON looks for --json among the words that could be ours, for errors
// that come before the flags are known.
func asksJSON(args []string) bool {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return slices.Contains(args, "--json")
}

// report prints what a verb returned and gives its exit code.
func report(std *IO, err error, ctx *kong.Context) int {
	var status exitcode.Status
	switch {
	case err == nil:
		return exitcode.OK
	case errors.As(err, &status):
		return int(status)
	}
	json := false
	for _, flag := range ctx.Flags() {
		json = json || flag.Name == "json" && ctx.FlagValue(flag) == true
	}
	Fail(std, err, json)
	if code := exitcode.Of(err); code != exitcode.Usage || json {
		return code
	}
	fmt.Fprintf(std.Err, "Try '%s --help'.\n", std.Tool)
	return exitcode.Usage
}

// Fail prints one failure: a line and perhaps a hint, or one JSON object.
func Fail(std *IO, err error, json bool) {
	if json {
		if line, jerr := jsonout.Line(Describe(err)); jerr == nil {
			std.Err.Write(line)
			return
		}
	}
	word := "error: "
	if exitcode.Of(err) == exitcode.No { // an answer, and no failure
		word = ""
	}
	fmt.Fprintf(std.Err, "%s: %s%s\n", std.Tool, word, oneLine(err.Error()))
	var e *exitcode.Error
	if errors.As(err, &e) && e.Hint != "" {
		Hint(std, "%s", e.Hint)
	}
}

// Describe renders an error for programs.
func Describe(err error) jsonout.Failure {
	f := jsonout.Failure{Error: "oserr", Code: exitcode.Of(err), Message: oneLine(err.Error())}
	for _, c := range exitcode.Table() {
		if c.Number == f.Code {
			f.Error = strings.ToLower(c.Name)
		}
	}
	var e *exitcode.Error
	if errors.As(err, &e) {
		f.Hint = e.Hint
		if e.ID != "" {
			f.Error = e.ID
		}
	}
	return f
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "; ") }

// Warn prints what went wrong without stopping the program.
func Warn(std *IO, format string, args ...any) {
	fmt.Fprintf(std.Err, "%s: warning: %s\n", std.Tool, oneLine(fmt.Sprintf(format, args...)))
}

// Hint prints something to type.
func Hint(std *IO, format string, args ...any) {
	fmt.Fprintf(std.Err, "%s: hint: %s\n", std.Tool, oneLine(fmt.Sprintf(format, args...)))
}
