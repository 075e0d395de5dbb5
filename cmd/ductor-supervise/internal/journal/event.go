package journal

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Event is one line of events.jsonl. Type says which of the other fields are
// there; ductor-files(5) has the table.
type Event struct {
	Seq            int64     `json:"seq"` // grows by one, across supervisors too
	Time           time.Time `json:"time"`
	Type           Type      `json:"type"`
	PID            int       `json:"pid,omitempty"`
	Code           *int      `json:"code,omitempty"` // 128+n for signal n
	Signal         string    `json:"signal,omitempty"`
	RuntimeSeconds *float64  `json:"runtime_seconds,omitempty"`
	Reason         string    `json:"reason,omitempty"`
	Path           string    `json:"path,omitempty"`
	Count          int       `json:"count,omitempty"`
	Crashes        int       `json:"crashes,omitempty"`
	DelaySeconds   *float64  `json:"delay_seconds,omitempty"`
	PIDs           []int     `json:"pids,omitempty"`
	Command        []string  `json:"command,omitempty"`
	Message        string    `json:"message,omitempty"`
	Tail           string    `json:"tail,omitempty"` // the end of the bot's standard error
}

// Type names what happened.
type Type string

const (
	SupervisorStart Type = "supervisor_start" // pid, command
	Leftovers       Type = "leftovers"        // pids: of a dead supervisor, stopped
	ChildStart      Type = "child_start"      // pid, reason
	ChildUp         Type = "child_up"         // pid: the command was executed
	ChildExit       Type = "child_exit"       // pid, code, signal, runtime_seconds, tail
	NotExecuted     Type = "not_executed"     // code, message
	Backoff         Type = "backoff"          // delay_seconds, crashes
	RestartRequest  Type = "restart_request"  // reason, path or signal
	Change          Type = "change"           // path, count
	StopRequest     Type = "stop_request"     // reason: signal or file; signal
	Escalate        Type = "escalate"         // pid: KILL was sent to its tree
	Storm           Type = "storm"            // reason: too many short runs asked for a restart
	UnrequestedExit Type = "unrequested_exit" // code: the bot ended itself with a stop code
	GaveUp          Type = "gave_up"          // count: --max-crashes
	ChildReady      Type = "child_ready"      // pid: the bot said that it can work
	Hang            Type = "hang"             // pid, reason: heartbeat, watchdog or trigger; delay_seconds: how long nothing came
	PreflightFailed Type = "preflight_failed" // path, count: of the change; code, signal; message: the last lines
	Held            Type = "held"             // path, count: of the change; message: the hold file it waits for
	Watching        Type = "watching"         // reason: native or poll; count: folders
	WatchSuspended  Type = "watch_suspended"  // path, count: file changes that were acted on, and were too many
	HookEnd         Type = "hook_end"         // reason: on-crash or on-event; code, signal, runtime_seconds, message
	Resume          Type = "resume"           // delay_seconds: how long this machine slept
	Warning         Type = "warning"          // message
	SupervisorExit  Type = "supervisor_exit"  // code
)

// Types lists all, for the test that compares them with the page.
func Types() []Type {
	return []Type{SupervisorStart, Leftovers, ChildStart, ChildUp, ChildExit, NotExecuted, Backoff, RestartRequest,
		Change, StopRequest, Escalate, Storm, UnrequestedExit, GaveUp, ChildReady, Hang, PreflightFailed, Held, Watching,
		WatchSuspended, HookEnd, Resume, Warning, SupervisorExit}
}

// Text is the event for people: what, and why.
func (e Event) Text() string {
	switch e.Type {
	case SupervisorStart:
		return fmt.Sprintf("supervisor %d keeps running: %s", e.PID, strings.Join(e.Command, " "))
	case Leftovers:
		return fmt.Sprintf("stopped what a dead supervisor left behind: PID %s", strings.Trim(fmt.Sprint(e.PIDs), "[]"))
	case ChildStart:
		return fmt.Sprintf("started PID %d (%s)", e.PID, startReason(e.Reason))
	case ChildExit:
		return fmt.Sprintf("PID %d %s after %s%s", e.PID, e.how(), seconds(e.RuntimeSeconds), lines(e.lastWords()))
	case NotExecuted:
		return fmt.Sprintf("not executed (code %d): %s", e.code(), e.Message)
	case Backoff:
		return fmt.Sprintf("that is a crash%s; next start in %s", consecutive(e.Crashes), seconds(e.DelaySeconds))
	case RestartRequest:
		return "restart asked for by " + e.by()
	case Change:
		return "changed: " + e.Path + others(e.Count)
	case StopRequest:
		return "stop asked for by " + e.by()
	case Escalate:
		return fmt.Sprintf("killing what is left of PID %d's tree", e.PID)
	case Storm:
		return "too many restarts of short runs (" + e.Reason + "): this one counts as a crash"
	case UnrequestedExit:
		return fmt.Sprintf("the bot ended itself with code %d, which means stop", e.code())
	case GaveUp:
		return fmt.Sprintf("giving up: the limit of crashes is reached (%d)", e.Count)
	case ChildReady:
		return fmt.Sprintf("PID %d is ready", e.PID)
	case Hang:
		if e.DelaySeconds == nil {
			return fmt.Sprintf("PID %d hangs, by its own word", e.PID)
		}
		return fmt.Sprintf("PID %d hangs: no %s for %s", e.PID, e.Reason, seconds(e.DelaySeconds))
	case PreflightFailed:
		return fmt.Sprintf("changed: %s%s; the preflight %s, so the bot stays as it is%s", e.Path, others(e.Count), e.how(), lines(e.Message))
	case Held:
		return fmt.Sprintf("changed: %s%s; waiting for %s to go", e.Path, others(e.Count), e.Message)
	case Watching:
		return fmt.Sprintf("watching %s (%s)", number(e.Count, "folder"), e.Reason)
	case WatchSuspended:
		return fmt.Sprintf("%d file changes were acted on within a minute, the last of %s: no more of them until nothing changes for a minute, or a restart is asked for", e.Count, e.Path)
	case HookEnd:
		return fmt.Sprintf("the %s hook %s after %s%s", e.Reason, e.how(), seconds(e.RuntimeSeconds), lines(e.Message))
	case Resume:
		return fmt.Sprintf("the clock went on by %s without us (sleep?); all deadlines begin anew", seconds(e.DelaySeconds))
	case Warning:
		return "warning: " + e.Message
	case SupervisorExit:
		if e.Reason == "fatal" {
			return fmt.Sprintf("supervisor ends with code %d: a human is needed", e.code())
		}
		return fmt.Sprintf("supervisor ends with code %d", e.code())
	}
	return ""
}

// Printable is Text for a terminal or a log: a file's name, or what a program
// said, must not talk to the one, or look like a line of ours in the other.
func (e Event) Printable() string {
	return strings.ReplaceAll(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r != '\n' && !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, e.Text()), "\n", "\n    ")
}

func (e Event) how() string {
	if e.Signal != "" {
		return "died of " + e.Signal
	}
	return fmt.Sprintf("exited with code %d", e.code())
}

// code is 0 for an event that has none: an older or a foreign writer's.
func (e Event) code() int {
	if e.Code == nil {
		return 0
	}
	return *e.Code
}

func (e Event) by() string {
	for _, s := range []string{e.Signal, e.Path, e.Reason} {
		if s != "" {
			return s
		}
	}
	return "nobody known"
}

// lines sets the last words of a program off.
func lines(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	return ":\n" + text
}

func startReason(reason string) string {
	text := map[string]string{
		"first": "first start", "code": "it asked to be restarted", "crash": "after a crash",
		"marker": "restart marker", "signal": "restart signal", "change": "file change",
	}[reason]
	if text == "" {
		return reason
	}
	return text
}

func number(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func consecutive(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(", %d short runs in a row", n)
}

func others(count int) string {
	if count < 2 {
		return ""
	}
	return fmt.Sprintf(" and %d more", count-1)
}

func seconds(s *float64) string {
	if s == nil {
		return "an unknown time"
	}
	d := time.Duration(*s * float64(time.Second))
	if d >= 10*time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}
