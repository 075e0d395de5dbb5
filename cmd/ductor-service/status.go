package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"ductor/cmd/ductor-service/internal/backend"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// Exit codes of status, as LSB and systemctl have them.
const (
	codeStopped      = 3
	codeNotInstalled = 4
)

// statusView is what status --json prints.
type statusView struct {
	Name string `json:"name"`
	backend.Status
	Home string   `json:"home,omitempty"`
	Bot  *botView `json:"bot,omitempty"` // under a supervisor that runs
}

// Run prints how the service is; the exit code is the answer for scripts.
func (c *statusCmd) Run(std *cli.IO) error {
	b, err := find(std, c.Name)
	if err != nil {
		return err
	}
	st, err := b.manager.Status(context.Background())
	if err != nil {
		return err
	}
	v := statusView{Name: string(c.Name), Status: st}
	if st.Stored != nil {
		v.Home = st.Stored.Home
	}
	if bot, ok := b.readBot(); ok && b.supervised() {
		v.Bot = &bot
	}
	if c.JSON {
		err = printJSON(std, v)
	} else {
		_, err = io.WriteString(std.Out, v.text())
	}
	if err != nil {
		return err
	}
	switch st.State {
	case backend.Running:
		return nil
	case backend.NotInstalled:
		return exitcode.Status(codeNotInstalled)
	}
	return exitcode.Status(codeStopped)
}

// text is the same for people.
func (v statusView) text() string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s: %s (%s)\n", v.Name, v.State, v.Manager)
	if v.PID != 0 {
		row("pid", "%d", v.PID)
	}
	if v.Since != nil {
		row("since", "%s", v.Since.Local().Format(time.DateTime))
	}
	if v.Bot != nil {
		row("bot", "%s", v.Bot.line())
	}
	if v.LastExit != nil && v.State != backend.Running {
		row("last exit", "%s", v.LastExit)
	}
	if v.Starts != "" {
		row("starts", "%s", map[string]string{backend.StartsBoot: "when the machine does", backend.StartsLogin: "when you log in", backend.StartsManual: "by hand only"}[v.Starts])
	}
	if v.Definition != "" {
		row("definition", "%s", v.Definition)
	}
	for _, d := range v.Dropins {
		row("drop-in", "%s", d)
	}
	if v.Timer {
		row("timer", "looks for a new version each hour")
	}
	for _, p := range v.Problems {
		row("problem", "%s: %s", p.Code, p.Message)
		if p.Fix != "" {
			row("", "%s", p.Fix)
		}
	}
	return b.String()
}

func (v botView) line() string {
	text := v.State
	if v.PID != 0 {
		text += fmt.Sprintf(", PID %d", v.PID)
	}
	if v.Restarts > 0 {
		text += fmt.Sprintf(", restarts: %d", v.Restarts)
	}
	if v.LastExit != nil {
		text += ", the last run " + v.LastExit.String()
	}
	if v.Text != "" {
		text += ": " + strings.Map(printable, v.Text)
	}
	return text
}

// printable keeps what a bot says of itself from steering the terminal.
func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return '?'
	}
	return r
}
