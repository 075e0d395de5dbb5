package main

import (
	"fmt"
	"strings"
	"time"
)

// shownExits is how many ends get a line of their own.
const shownExits = 5

// exits shows all ends in a line, and the last ones in a table.
func (p *page) exits(v statusView) {
	ends := v.Exits
	if len(ends) == 0 {
		ends = fromStatus(v.LastExit)
	}
	if len(ends) == 0 {
		return
	}
	if len(ends) > 1 {
		p.row("history", "%s", history(ends, p.scr))
	}
	ends = ends[max(0, len(ends)-shownExits):]
	clock := clockFor(ends, p.now)
	var rows [][]string
	for _, e := range ends {
		row := []string{e.how(), e.lasted(), e.ledTo(p.scr)}
		if !e.Time.IsZero() {
			row = append([]string{e.Time.In(p.now.Location()).Format(clock)}, row...)
		}
		rows = append(rows, row)
	}
	label := "last exits"
	for i, line := range align(rows) {
		p.row(label, "%s", line)
		label = ""
		if words := ends[i].lastWords(); words != "" {
			p.row("", "%s%s", strings.Repeat(" ", len(clock)+2), words)
		}
	}
}

// marks draw the ends of runs: nobody minds a dot.
var marks = []struct{ reason, mark, words string }{
	{"restart", ".", "restart"},
	{"crash", "x", "crash"},
	{"stop", "-", "stop"},
	{"fatal", "!", "fatal"},
	{"", "?", "open"},
}

// history is one character an end, oldest first, and what they mean.
func history(ends []runEnd, scr screen) string {
	var line strings.Builder
	count := map[string]int{}
	for _, e := range ends {
		for _, m := range marks {
			if m.reason == e.Reason {
				line.WriteString(scr.paint(colorOf(e.Reason), m.mark))
			}
		}
		count[e.Reason]++
	}
	var words []string
	for _, m := range marks {
		if n := count[m.reason]; n > 0 {
			words = append(words, fmt.Sprintf("%s %d %s", m.mark, n, m.words))
		}
	}
	return line.String() + "  (" + strings.Join(words, ", ") + ")"
}

// clockFor leaves the day out where it goes without saying.
func clockFor(ends []runEnd, now time.Time) string {
	for _, e := range ends {
		if e.Time.In(now.Location()).Format(time.DateOnly) != now.Format(time.DateOnly) {
			return time.DateTime
		}
	}
	return time.TimeOnly
}

func (e runEnd) how() string {
	if e.Signal != "" {
		return plain(e.Signal)
	}
	return fmt.Sprintf("code %d", e.Code)
}

func (e runEnd) lasted() string {
	if e.RuntimeSeconds == nil || e.Message != "" {
		return "not executed"
	}
	return "after " + runtimeOf(*e.RuntimeSeconds)
}

func (e runEnd) ledTo(scr screen) string {
	text := scr.paint(colorOf(e.Reason), plain(e.Reason))
	if e.Cause != "" {
		text += ": " + reasonWords(e.Cause)
	}
	return text
}

// lastWords is the last line of what it wrote, or why it was not executed.
func (e runEnd) lastWords() string {
	if words := lastLine(e.Tail); words != "" {
		return words
	}
	return lastLine(e.Message)
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return plain(text[strings.LastIndexByte(text, '\n')+1:])
}
