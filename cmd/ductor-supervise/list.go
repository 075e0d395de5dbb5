package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
)

// Run prints one line a bot, whether it runs or not. One that cannot be looked
// at does not hide the others.
func (c *listCmd) Run(std *cli.IO) error {
	dir, err := home.Find(std.Getenv)
	if err != nil {
		return exitcode.Errorf(exitcode.Config, "%w", err)
	}
	names, err := bots(std, dir)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return exitcode.Errorf(exitcode.No, "no bot has been supervised in %q yet", dir)
	}
	scr, now := screenOf(std), time.Now()
	rows := [][]string{{"NAME", "STATE", "PID", "UPTIME", "RESTARTS", "LAST EXIT", "COMMAND"}}
	for _, name := range names {
		v := c.view(std, dir.Run(name), name)
		if !c.JSON {
			rows = append(rows, v.cells(now, scr))
		} else if err := printLine(std, v); err != nil {
			return err
		}
	}
	if c.JSON {
		return nil
	}
	for _, line := range align(rows) {
		if _, err := fmt.Fprintln(std.Out, scr.fit(line)); err != nil {
			return err
		}
	}
	return nil
}

// bots returns the names of the folders in run/, in the order of the alphabet.
func bots(std *cli.IO, dir home.Home) (names []home.Name, err error) {
	entries, err := os.ReadDir(dir.RunRoot())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, exitcode.File(exitcode.IOErr, err)
	}
	for _, e := range entries {
		if info, err := os.Stat(string(dir.Run(home.Name(e.Name())))); err != nil || !info.IsDir() {
			continue
		}
		var name home.Name
		if err := name.UnmarshalText([]byte(e.Name())); err != nil {
			cli.Warn(std, "%q in %q is passed over: it is no name of a bot", e.Name(), dir.RunRoot())
			continue
		}
		names = append(names, name)
	}
	return names, nil
}

// view reads the events only where they are shown: those of a hundred bots are
// a matter of seconds.
func (c *listCmd) view(std *cli.IO, run home.Run, name home.Name) statusView {
	l := newLooker(run, name)
	v, err := l.brief()
	if err == nil && (c.JSON || v.State == "ready" || v.State == "stopping") {
		v, err = l.view()
	}
	if err != nil {
		cli.Warn(std, "%s: %v", name, err)
		v = statusView{Status: journal.Status{Name: string(name), State: unknown, Command: []string{}}, Problem: err.Error()}
	}
	return v
}

// cells is a bot's row in the table.
func (v statusView) cells(now time.Time, scr screen) []string {
	cells := []string{v.Name, scr.paint(colorOf(v.State), plain(v.State)), "-", "-", "-", "-", "-"}
	if v.PID != 0 {
		cells[2] = strconv.Itoa(v.PID)
	}
	if up, ok := v.uptime(now); ok {
		cells[3] = span(up)
	}
	if v.Supervisor.PID != 0 {
		cells[4] = strconv.Itoa(v.Restarts)
	}
	cells[5] = v.lastExit(now, scr)
	if len(v.Command) > 0 {
		cells[6] = plain(strings.Join(v.Command, " "))
	}
	return cells
}

// lastExit is how the last run ended, and since when it is over if no other
// has begun.
func (v statusView) lastExit(now time.Time, scr screen) string {
	switch {
	case v.Leftover:
		return "supervisor died, bot runs on"
	case v.LastState != "":
		return "supervisor died"
	case v.LastExit == nil:
		return "-"
	}
	end := fromStatus(v.LastExit)[0]
	text := end.how()
	if end.Reason != "" {
		text += ", " + end.ledTo(scr)
	}
	if v.PID == 0 && !v.Since.IsZero() {
		text += ", " + span(now.Sub(v.Since)) + " ago"
	}
	return text
}
