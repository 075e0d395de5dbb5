package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"ductor/cmd/ductor-service/internal/backend"
	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// check is one question of doctor's and its answer.
type check struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// doctorView is what doctor --json prints.
type doctorView struct {
	Name   string  `json:"name"`
	OK     bool    `json:"ok"`
	Checks []check `json:"checks"`
}

// examiner is a manager that can look further than status does.
type examiner interface {
	Examine(ctx context.Context) []backend.Problem
}

// Run looks at all that can be wrong: exit 0 if nothing is, 1 if something.
func (c *doctorCmd) Run(std *cli.IO) error {
	b, err := find(std, c.Name)
	if err != nil {
		return err
	}
	v := doctorView{Name: string(c.Name), OK: true}
	st := v.manager(context.Background(), b)
	v.tools(std, st.Stored)
	if c.JSON {
		err = printJSON(std, v)
	} else {
		_, err = io.WriteString(std.Out, v.text())
	}
	if err == nil && !v.OK {
		return exitcode.Status(exitcode.No)
	}
	return err
}

func (v *doctorView) add(c check) {
	v.OK = v.OK && c.OK
	v.Checks = append(v.Checks, c)
}

// manager asks whether there is one, how the service is, and what is wrong.
func (v *doctorView) manager(ctx context.Context, b bot) backend.Status {
	st, err := b.manager.Status(ctx)
	if err != nil {
		f := cli.Describe(err)
		v.add(check{"manager", false, f.Message, f.Hint})
		return st
	}
	v.add(check{"manager", true, st.Manager, ""})
	problems := st.Problems
	if e, can := b.manager.(examiner); can {
		problems = append(problems, e.Examine(ctx)...)
	}
	for _, p := range problems {
		v.add(check{p.Code, false, p.Message, p.Fix})
	}
	switch {
	case !st.Installed:
		v.add(check{"service", false, "it is not installed", "ductor-service install --name " + v.Name})
	case st.State != backend.Running:
		v.add(check{"service", false, "it is " + string(st.State), "ductor-service logs --name " + v.Name})
	default:
		v.add(check{"service", true, "it runs, " + st.Definition, ""})
		v.bot(b)
	}
	return st
}

func (v *doctorView) bot(b bot) {
	bot, ok := b.readBot()
	switch {
	case !ok || !b.supervised():
	case bot.State == "up" || bot.State == "ready":
		v.add(check{"bot", true, bot.line(), ""})
	default:
		v.add(check{"bot", false, bot.line(), "ductor-service logs --name " + v.Name})
	}
}

// needed are the programs that the default command needs, and that a bot which
// drives AI CLIs may want.
var needed = []struct {
	name     string
	required bool
}{{"ductor-supervise", true}, {"ductor-lock", true}, {"claude", false}, {"codex", false}, {"gemini", false}, {"node", false}, {"git", false}}

// tools looks for programs where a start would, which knows nothing of the
// shell that we run in.
func (v *doctorView) tools(std *cli.IO, st *definition.Stored) {
	r := recipe(std, "")
	if st != nil {
		r.Caller = st.Path
		r.Own = append(r.Own, filepath.Dir(st.Command[0]))
	} else {
		r.Keep = false
	}
	v.add(check{"path", true, r.Path(), ""})
	for _, n := range needed {
		found := ""
		for _, dir := range r.Folders() {
			if p, err := exec.LookPath(filepath.Join(dir, n.name)); err == nil && found == "" {
				found = p
			}
		}
		switch {
		case found != "":
			v.add(check{n.name, true, found, ""})
		case n.required:
			v.add(check{n.name, false, "it is in none of these folders", "put a link to it into ~/.local/bin"})
		}
	}
}

func (v doctorView) text() string {
	var b strings.Builder
	for _, c := range v.Checks {
		word := "ok"
		if !c.OK {
			word = "problem"
		}
		fmt.Fprintf(&b, "%-8s %s: %s\n", word, c.Name, c.Message)
		if c.Fix != "" {
			fmt.Fprintf(&b, "%-8s %s\n", "", c.Fix)
		}
	}
	return b.String()
}
