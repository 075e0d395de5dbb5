package main

import (
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
)

// maxExits is how many ends of runs are shown.
const maxExits = 20

// timeline is what the events tell beyond status.json.
type timeline struct {
	StartedAt *time.Time     `json:"started_at,omitempty"`      // of the run
	Reasons   map[string]int `json:"restart_reasons,omitempty"` // how many of the restarts had which; old ones may be forgotten
	Exits     []runEnd       `json:"exits,omitempty"`           // the last ends, oldest first, those under earlier supervisors too
	Held      *notice        `json:"held,omitempty"`            // a change waits for the hold file
	Suspended *notice        `json:"watch_suspended,omitempty"` // changes are of no account until a restart is asked for
	Preflight *notice        `json:"preflight_failed,omitempty"`
}

// runEnd is how a run ended, or a start that came to nothing.
type runEnd struct {
	Time           time.Time `json:"time"`
	Code           int       `json:"code"` // 128+n for signal n
	Signal         string    `json:"signal,omitempty"`
	RuntimeSeconds *float64  `json:"runtime_seconds,omitempty"` // absent if nothing ran
	Reason         string    `json:"reason,omitempty"`          // what it led to, as in last_exit; absent while that is open
	Cause          string    `json:"cause,omitempty"`           // and why: see past
	Message        string    `json:"message,omitempty"`         // why the command was not executed
	Tail           string    `json:"tail,omitempty"`
}

// notice is a change of files that led to no restart.
type notice struct {
	Time    time.Time `json:"time"`
	Path    string    `json:"path"`
	Count   int       `json:"count"`
	Message string    `json:"message,omitempty"` // held: the hold file; preflight_failed: its last lines
}

func noticeOf(e journal.Event) *notice {
	return &notice{Time: e.Time, Path: e.Path, Count: e.Count, Message: e.Message}
}

// past adds events up. What it has of the status is what status.json would
// say, for when that cannot be read.
type past struct {
	timeline
	status  journal.Status
	open    bool   // what the last end led to is not known yet
	cause   string // of that, before it is known: hang, storm, gave_up, stop_code
	message string // the run that is about to end was not executed
}

// add takes the next event.
func (p *past) add(e journal.Event) {
	switch e.Type {
	case journal.SupervisorStart:
		p.begin(e)
	case journal.ChildStart, journal.ChildUp, journal.ChildReady:
		p.started(e)
	case journal.ChildExit:
		p.ended(e)
	case journal.NotExecuted:
		p.message = e.Message
		if p.status.PID == 0 { // there was not even a process
			p.ended(e)
		}
	case journal.RestartRequest:
		p.stopping(e)
		p.Held, p.Preflight, p.Suspended = nil, nil, nil
	case journal.Change:
		p.stopping(e)
		p.Held, p.Preflight = nil, nil
	case journal.StopRequest:
		p.stopping(e)
	case journal.Hang, journal.Storm, journal.GaveUp, journal.UnrequestedExit:
		p.because(e)
	case journal.Backoff:
		p.backoff(e)
	case journal.SupervisorExit:
		p.finish(e)
	case journal.Held:
		p.Held = noticeOf(e)
	case journal.WatchSuspended:
		p.Suspended = noticeOf(e)
	case journal.PreflightFailed:
		p.Held, p.Preflight = nil, noticeOf(e)
	}
}

// begin: another supervisor. What the last end under the one before led to
// will not be told any more.
func (p *past) begin(e journal.Event) {
	*p = past{timeline: timeline{Exits: p.Exits}}
	p.enter("starting", e)
	p.status.Supervisor.PID, p.status.Command = e.PID, e.Command
}

func (p *past) enter(state string, e journal.Event) {
	p.status.State, p.status.Since = state, e.Time
	p.status.NextStart = nil
}

func (p *past) started(e journal.Event) {
	switch {
	case e.Type == journal.ChildReady:
		p.enter("ready", e)
	case e.Type == journal.ChildStart:
		p.enter("starting", e)
		p.StartedAt = &e.Time
		p.Held, p.Preflight = nil, nil
		p.status.PID, p.status.Reason = e.PID, e.Reason
		if e.Reason != "first" {
			p.restarted(e.Reason)
		}
		p.cause, p.message = "", ""
	case p.status.State == "starting": // and not ready already
		p.enter("up", e)
	}
}

func (p *past) restarted(reason string) {
	p.settle("restart", reason)
	if p.Reasons == nil {
		p.Reasons = map[string]int{}
	}
	p.Reasons[reason]++
	p.status.Restarts++
}

// stopping: somebody wants the run to end.
func (p *past) stopping(e journal.Event) {
	if p.status.PID != 0 && p.status.State != "stopping" {
		p.enter("stopping", e)
	}
}

// because notes what comes with the end of a run. A storm that is found out
// during a back-off is about no end.
func (p *past) because(e journal.Event) {
	if !p.open && e.Type != journal.Hang {
		return
	}
	p.cause = map[journal.Type]string{journal.Hang: "hang", journal.Storm: "storm",
		journal.GaveUp: "gave_up", journal.UnrequestedExit: "stop_code"}[e.Type]
	if e.Type == journal.Hang {
		p.stopping(e)
	}
}

func (p *past) ended(e journal.Event) {
	p.stopping(e)
	end := runEnd{Time: e.Time, Signal: e.Signal, RuntimeSeconds: e.RuntimeSeconds, Message: p.message, Tail: e.Tail}
	if e.Code != nil {
		end.Code = *e.Code
	}
	p.Exits = append(p.Exits, end)
	p.Exits = p.Exits[max(0, len(p.Exits)-maxExits):]
	p.StartedAt, p.open, p.message, p.status.PID = nil, true, "", 0
	p.status.LastExit = &journal.LastExit{Code: end.Code, Signal: end.Signal}
	if end.RuntimeSeconds != nil {
		p.status.LastExit.RuntimeSeconds = *end.RuntimeSeconds
	}
}

// settle says what the last end led to, once.
func (p *past) settle(reason, cause string) {
	if p.open {
		end := &p.Exits[len(p.Exits)-1]
		end.Reason, end.Cause = reason, cause
		p.status.LastExit.Reason = reason
	}
	p.open, p.cause = false, ""
}

func (p *past) backoff(e journal.Event) {
	p.enter("backoff", e)
	p.status.Crashes, p.status.Reason = e.Crashes, "crash"
	if e.DelaySeconds != nil {
		next := e.Time.Add(time.Duration(*e.DelaySeconds * float64(time.Second)))
		p.status.NextStart = &next
	}
	p.settle("crash", p.cause)
}

func (p *past) finish(e journal.Event) {
	state, reason := "down", "stop"
	if e.Reason == "fatal" || e.Code != nil && *e.Code != 0 {
		state, reason = "fatal", "fatal"
	}
	p.enter(state, e)
	p.settle(reason, p.cause)
	p.Held, p.Suspended, p.Preflight = nil, nil, nil
}
