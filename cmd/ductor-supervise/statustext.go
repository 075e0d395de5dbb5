package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
)

// page is a view for people, line by line.
type page struct {
	scr   screen
	now   time.Time
	lines []string
}

func (p *page) row(name, format string, args ...any) {
	p.lines = append(p.lines, strings.TrimRight(fmt.Sprintf("  %-11s %s", name, fmt.Sprintf(format, args...)), " "))
}

// text is what a person wants to know, the most pressing first.
func (v statusView) text(now time.Time, scr screen) []string {
	p := &page{scr: scr, now: now}
	state := scr.paint(colorOf(v.State), plain(v.State))
	if !v.Since.IsZero() && v.LastState == "" {
		state += " for " + span(now.Sub(v.Since))
	}
	p.lines = append(p.lines, v.Name+": "+state)
	p.problems(v)
	p.process(v)
	p.notices(v)
	p.restarts(v)
	p.exits(v)
	return p.lines
}

func colorOf(state string) string {
	switch state {
	case "up", "ready":
		return green
	case "starting", "stopping", "backoff":
		return yellow
	case "fatal", "crash", unknown:
		return red
	}
	return ""
}

func (p *page) problems(v statusView) {
	if v.LastState != "" {
		p.row("problem", "the supervisor died without a word; its last state was %q", v.LastState)
	}
	if v.Problem != "" && v.State == unknown {
		p.row("problem", "%s", plain(v.Problem))
	} else if v.Problem != "" {
		p.row("problem", "%s; this is from the events", plain(v.Problem))
	}
	if v.Hook != "" {
		p.row("next start", "when the %s hook has ended", plain(v.Hook))
	} else if v.NextStart != nil {
		p.row("next start", "in %s", until(v.NextStart.Sub(p.now)))
	}
	if v.Text != "" {
		p.row("says", "%s", plain(v.Text))
	}
}

func (p *page) process(v statusView) {
	up, known := v.uptime(p.now)
	switch {
	case v.Leftover:
		p.row("leftover", "PID %d runs on without a supervisor; the next one stops it first", v.PID)
	case v.PID != 0 && known && v.State != "up": // whose own time is the same
		p.row("PID", "%d, started %s ago", v.PID, span(up))
	case v.PID != 0:
		p.row("PID", "%d", v.PID)
	}
	if len(v.Command) > 0 {
		p.row("command", "%s", plain(strings.Join(v.Command, " ")))
	}
	if v.Supervised {
		p.row("supervisor", "PID %d", v.Supervisor.PID)
	} else {
		p.row("supervisor", "none")
	}
	if v.Log != "" {
		p.row("log", "%s", plain(v.Log))
	}
}

// notices are changes of files that led to nothing.
func (p *page) notices(v statusView) {
	files := func(n *notice) string {
		if n.Count > 1 {
			return fmt.Sprintf("%s and %d more", plain(n.Path), n.Count-1)
		}
		return plain(n.Path)
	}
	if n := v.Held; n != nil {
		p.row("held", "%s changed %s ago; the restart waits for %s to go", files(n), p.since(n.Time), plain(n.Message))
	}
	if n := v.Preflight; n != nil {
		p.row("preflight", "failed %s ago after a change of %s; the bot stays as it is", p.since(n.Time), files(n))
		if words := lastLine(n.Message); words != "" {
			p.row("", "%s", words)
		}
	}
	if n := v.Suspended; n != nil {
		p.row("watching", "suspended %s ago: %d file changes were acted on within a minute, the last of %s; until nothing changes for a minute, or a restart is asked for",
			p.since(n.Time), n.Count, plain(n.Path))
	}
}

func (p *page) since(t time.Time) string { return span(p.now.Sub(t)) }

func (p *page) restarts(v statusView) {
	known := 0
	reasons := slices.SortedFunc(maps.Keys(v.Reasons), func(a, b string) int {
		return cmp.Or(v.Reasons[b]-v.Reasons[a], strings.Compare(a, b))
	})
	var words []string
	for _, reason := range reasons {
		known += v.Reasons[reason]
		words = append(words, fmt.Sprintf("%d %s", v.Reasons[reason], reasonWords(reason)))
	}
	total := max(v.Restarts, known)
	switch {
	case total == 0:
		return
	case known == 0:
		words = []string{"the last: " + reasonWords(v.Reason)}
	case total > known:
		words = append(words, fmt.Sprintf("%d forgotten", total-known))
	}
	p.row("restarts", "%d: %s", total, strings.Join(words, ", "))
}

// reasonWords names a start's reason, and an end's cause.
func reasonWords(reason string) string {
	words := map[string]string{"code": "own request", "change": "file change", "hang": "it hung", "storm": "too many restarts",
		"gave_up": "too many crashes", "stop_code": "own request"}[reason]
	return cmp.Or(words, plain(reason))
}

// until counts down to 0s, which is reached when it is over.
func until(d time.Duration) string {
	return span((max(d, 0) + time.Second - 1).Truncate(time.Second))
}

// span is a time for people: 45s, 3m5s, 2h3m, 3d4h.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// runtimeOf is how long a run lasted, more exactly if it was short.
func runtimeOf(seconds float64) string {
	d := time.Duration(min(seconds, 1e9) * float64(time.Second))
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return span(d)
}

// fromStatus is the one end that status.json knows, for when there are no
// events.
func fromStatus(e *journal.LastExit) []runEnd {
	if e == nil {
		return nil
	}
	return []runEnd{{Code: e.Code, Signal: e.Signal, RuntimeSeconds: &e.RuntimeSeconds, Reason: e.Reason}}
}
