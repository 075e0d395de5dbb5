package main

import (
	"fmt"
	"strings"
	"time"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/holder"
	"ductor/internal/common/jsonout"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
)

// statusJSON is the object of `status --json`.
type statusJSON struct {
	PIDFile  string            `json:"pidfile"`
	Held     bool              `json:"held"`
	Evidence holder.Evidence   `json:"evidence"`
	Label    holder.LabelState `json:"label"`
	Holder   *holderJSON       `json:"holder,omitempty"`
}

// holderJSON is the holder as the tools show it. Of a holder without a record
// only the PID is known, and not even that across PID namespaces.
type holderJSON struct {
	PID        int               `json:"pid,omitempty"`
	Command    []string          `json:"command,omitempty"`
	Since      *time.Time        `json:"since,omitempty"`
	Supervisor *process.Identity `json:"supervisor,omitempty"`
	Child      *process.Identity `json:"child,omitempty"`
}

func newHolderJSON(s holder.State) *holderJSON {
	h := &holderJSON{PID: s.PID}
	if r := s.Record; r != nil {
		h.Command, h.Since, h.Supervisor, h.Child = r.Command, &r.Since, r.Supervisor, r.Child
	}
	return h
}

// Run prints who holds the lock; the exit code is the answer for scripts.
func (c *statusCmd) Run(std *cli.IO) error {
	pidfile, err := lockfile.Resolve(c.PIDFile)
	if err != nil {
		return err
	}
	s, err := holder.Inspect(pidfile, true)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(std, pidfile, s)
	} else {
		err = printText(std, c.PIDFile, s)
	}
	if err == nil && !s.Held() {
		return exitcode.Status(exitcode.No)
	}
	return err
}

func printJSON(std *cli.IO, pidfile string, s holder.State) error {
	out := statusJSON{PIDFile: pidfile, Held: s.Held(), Evidence: s.Evidence, Label: s.Label}
	if s.Held() {
		out.Holder = newHolderJSON(s)
	}
	line, err := jsonout.Line(out)
	if err == nil {
		_, err = std.Out.Write(line)
	}
	return err
}

func printText(std *cli.IO, name string, s holder.State) error {
	text := "free"
	if s.Held() {
		text = "held by " + describe(s, time.Now())
	}
	switch s.Label {
	case holder.StaleLabel:
		text += "; the PID file is stale"
	case holder.GarbageLabel:
		text += "; the PID file holds no PID"
	}
	_, err := fmt.Fprintf(std.Out, "%s: %s\n", name, text)
	return err
}

// describe is one phrase: PID, command, age, and what is odd about the holder.
func describe(s holder.State, now time.Time) string {
	switch {
	case s.Evidence == holder.Free: // it ended while we looked
		return "a process that has just ended"
	case s.PID == 0 && !lockfile.NamesHolder:
		return "a process that left no record"
	case s.PID == 0:
		return "a process of another PID namespace"
	}
	text := fmt.Sprintf("PID %d", s.PID)
	if r := s.Record; r != nil {
		text += fmt.Sprintf(" (%s) for %s", shorten(strings.Join(r.Command, " ")), age(now.Sub(r.Since)))
		if r.Supervisor != nil && r.Supervisor.Alive() {
			text += fmt.Sprintf(", supervised by PID %d", r.Supervisor.PID)
		}
	}
	switch {
	case s.Evidence == holder.Lost && s.Record.PID != s.PID:
		text += ", left by its ductor-lock"
	case s.Evidence == holder.Lost:
		text += ", which has closed its lock file"
	case s.Evidence == holder.Foreign:
		text += ", which wrote the PID file without a lock"
	}
	return text
}

// shorten keeps a long command line from drowning the message.
func shorten(s string) string {
	const limit = 80
	runes := []rune(strings.Map(printable, s))
	if len(runes) <= limit {
		return string(runes)
	}
	return string(runes[:limit-1]) + "…"
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}

// age is a duration that a person reads at a glance.
func age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}
