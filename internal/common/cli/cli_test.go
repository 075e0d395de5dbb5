package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"ductor/internal/common/exitcode"
)

// result is what the verbs of the test grammar return.
var result error

type grammar struct {
	Common
	Do   doCmd   `cmd:"" help:"Do."`
	Exec execCmd `cmd:"" help:"Execute."`
	Odd  oddCmd  `cmd:"" help:"Odd."`
}

type doCmd struct {
	JSON bool `name:"json" help:"JSON."`
	N    int  `help:"A number."`
}

func (*doCmd) Run(std *IO) error {
	Warn(std, "careful:\n%d", 1)
	return result
}

type execCmd struct {
	Flag    bool    `help:"A flag."`
	Command Command `arg:"" optional:"" passthrough:"partial" help:"The command."`
}

func (c *execCmd) Run(std *IO) error {
	_, err := std.Out.Write([]byte(strings.Join(c.Command.Words(), "|")))
	return err
}

type oddCmd struct{}

func (*oddCmd) AfterApply() error { return exitcode.Errorf(exitcode.NoPerm, "odd").WithHint("do") }
func (*oddCmd) Run() error        { return nil }

func try(err error, args ...string) (code int, stdout, stderr string) {
	result = err
	var out, errs bytes.Buffer
	std := &IO{Tool: "tool", Out: &out, Err: &errs, Getenv: func(string) string { return "" }}
	code = Run(std, "A tool.", &grammar{}, args)
	return code, out.String(), errs.String()
}

func TestRun(t *testing.T) {
	warning := "tool: warning: careful:; 1\n"
	for _, c := range []struct {
		err            error
		args           string
		code           int
		stdout, stderr string
	}{
		{nil, "do", 0, "", warning},
		{exitcode.Status(7), "do", 7, "", warning},
		{errors.New("one\ntwo"), "do", 71, "", warning + "tool: error: one; two\n"},
		{exitcode.Errorf(75, "busy").WithHint("wait"), "do", 75, "", warning + "tool: error: busy\ntool: hint: wait\n"},
		{exitcode.Errorf(64, "late"), "do", 64, "", warning + "tool: error: late\nTry 'tool --help'.\n"},
		{exitcode.Errorf(75, "busy").WithHint("wait").WithID("held"), "do --json", 75, "",
			warning + `{"schema":1,"error":"held","code":75,"message":"busy","hint":"wait"}` + "\n"},
		{errors.New("x"), "do --json", 71, "", warning + `{"schema":1,"error":"oserr","code":71,"message":"x"}` + "\n"},
		{nil, "do --n=x --json", 64, "", `{"schema":1,"error":"usage","code":64,"message":"--n: expected a valid 64 bit int but got \"x\""}` + "\n"},
		{nil, "do --frob", 64, "", "tool: error: unknown flag --frob\nTry 'tool --help'.\n"},
		{nil, "odd", 77, "", "tool: error: odd\ntool: hint: do\n"},
		{nil, "exec a --flag -- --json", 0, "a|--flag|--|--json", ""},
		{nil, "exec --flag -- -- a", 0, "--|a", ""},
		{nil, "exec --flga a", 64, "", "tool: error: unknown flag --flga, did you mean \"--flag\"?\nTry 'tool --help'.\n"},
		{nil, "exec --frob -- --json", 64, "", "tool: error: unknown flag --frob\nTry 'tool --help'.\n"},
		{nil, "--version", 0, "tool devel\n", ""},
	} {
		code, out, errs := try(c.err, strings.Fields(c.args)...)
		if strings.HasPrefix(out, "tool devel") {
			out = "tool devel\n" // a test may be built with the commit
		}
		if code != c.code || out != c.stdout || errs != c.stderr {
			t.Errorf("%s: %d, %q, %q", c.args, code, out, errs)
		}
	}
}

// TestHelpGoesToStdout, and parsing does not go on after it.
func TestHelpGoesToStdout(t *testing.T) {
	for _, args := range []string{"--help", "-h", "do --help", "exec --help", "do --n=1 --help", "exec -h"} {
		code, out, errs := try(errors.New("it ran"), strings.Fields(args)...)
		if code != 0 || errs != "" || !strings.HasPrefix(out, "Usage: tool ") {
			t.Errorf("%s: %d, %q, %q", args, code, out, errs)
		}
	}
}
