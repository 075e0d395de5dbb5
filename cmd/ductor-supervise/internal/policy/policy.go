// Package policy decides what a supervisor does next: a pure function of its
// state, an event and the time. It starts no process and reads no clock.
//
// One rule runs through it: intent decides, then the code. stop > fatal >
// restart > crash.
package policy

import (
	"fmt"
	"slices"
	"time"
)

// Config is the part of the command line that decisions depend on.
type Config struct {
	StopCodes    []int         // end the supervisor with success
	RestartCodes []int         // start again at once
	FatalCodes   []int         // a human is needed; the supervisor ends with the same code
	BackoffMin   time.Duration // delay after a crash that ended a long run
	BackoffMax   time.Duration
	ResetAfter   time.Duration // a run of this length is a long one
	Budget       Rate          // short runs that may ask for a restart; more count as crashes
	MaxCrashes   Rate          // so many crashes end the supervisor
	StopTimeout  time.Duration // between the stop signal and KILL
}

// Rate is N events within Per; the zero Rate sets no limit. A window is all
// that is remembered, so N also bounds the memory.
type Rate struct {
	N   int
	Per time.Duration
}

// Phase is the state's name, as status.json has it.
type Phase string

const (
	Idle     Phase = "idle"     // before the first start; never seen from outside
	Starting Phase = "starting" // spawned, not known to be executed
	Up       Phase = "up"       // executed
	Stopping Phase = "stopping" // the tree is being ended
	Backoff  Phase = "backoff"  // waiting for the next start
	Down     Phase = "down"     // ended as asked for
	Fatal    Phase = "fatal"    // ended because a human is needed
)

// Phases lists all of them, for tests and for readers of status.json.
func Phases() []Phase { return []Phase{Idle, Starting, Up, Stopping, Backoff, Down, Fatal} }

// Intent is why the tree is being ended. A larger one overrides a smaller.
type Intent int

const (
	NoIntent Intent = iota
	IntentRestart
	IntentStop
)

// State is all that decisions are made from. The zero value with Phase Idle is
// the beginning.
type State struct {
	Phase     Phase
	Intent    Intent
	Cause     Cause       // of the intent, or of the next start
	Exit      *Exit       // how the leader ended, while its tree is cleaned up
	StartedAt time.Time   // of the current or last run
	EndedAt   time.Time   // of its leader: the time that its tree took after that makes no long run
	Executed  bool        // some run was executed: the first start is over
	Killed    bool        // KILL was sent to this run's tree
	Deadline  time.Time   // of the stop timeout or of the back-off; zero when there is none
	Crashes   int         // consecutive short runs
	Restarts  int         // starts after the first
	ShortRuns []time.Time // that asked for a restart, within the budget's window
	Storming  bool        // they were too many, and no long run has come since
	CrashedAt []time.Time
	Code      int // the supervisor's exit code, in Down and Fatal
}

// Exit is how a run ended.
type Exit struct {
	Code   int  // the exit code, or 128+n
	Signal bool // died of a signal
	// NotExecuted means that the command never ran: Code is the launcher's.
	NotExecuted bool
}

// Cause says why something is wanted; it ends up in DUCTOR_RESTART_REASON, in
// status.json and in the log.
type Cause string

const (
	CauseFirst  Cause = "first"  // the first start
	CauseCode   Cause = "code"   // the bot exited with a restart code
	CauseCrash  Cause = "crash"  // it ended otherwise
	CauseMarker Cause = "marker" // somebody wrote restart-requested
	CauseSignal Cause = "signal" // USR1 or HUP
	CauseChange Cause = "change" // a watched file changed
)

// Event is what happened. The concrete types are below.
type Event interface{ event() }

type (
	// Begin is the first event.
	Begin struct{}
	// Executed: the command runs.
	Executed struct{}
	// SpawnFailed: there is no process at all. Code is 126, 127 or 71.
	SpawnFailed struct{ Code int }
	// LeaderExited: the child ended; others of its tree may live.
	LeaderExited struct{ Exit Exit }
	// TreeGone: nothing of the run is left.
	TreeGone struct{}
	// Stop was asked for; a second one means now.
	Stop struct{}
	// Restart was asked for at At, which is compared with the last start for
	// file changes only: the start has seen a change that came before it.
	Restart struct {
		Cause Cause
		At    time.Time
	}
	// Tick: the deadline may have passed.
	Tick struct{}
)

func (Begin) event()        {}
func (Executed) event()     {}
func (SpawnFailed) event()  {}
func (LeaderExited) event() {}
func (TreeGone) event()     {}
func (Stop) event()         {}
func (Restart) event()      {}
func (Tick) event()         {}

// Action is what the supervisor does to the world.
type Action string

const (
	Spawn     Action = "spawn"     // start the command
	Terminate Action = "terminate" // send the stop signal to the tree
	Kill      Action = "kill"      // send KILL to the tree
	Quit      Action = "quit"      // end the supervisor with State.Code
)

// Note is a fact worth telling people and programs about a step.
type Note struct {
	Type  string        // as in events.jsonl
	Cause Cause         // with "restart_request"
	Delay time.Duration // with "backoff"
}

// Step returns the state after an event, what to do, and what to tell.
func Step(c Config, s State, ev Event, now time.Time) (State, []Action, []Note) {
	s.ShortRuns, s.CrashedAt = slices.Clone(s.ShortRuns), slices.Clone(s.CrashedAt)
	switch e := ev.(type) {
	case Begin:
		if s.Phase == Idle {
			return spawn(s, CauseFirst, now)
		}
	case Executed:
		if s.Phase == Starting {
			s.Phase, s.Executed = Up, true
			return s, nil, nil
		}
		s.Executed = s.Executed || s.Phase == Stopping
	case SpawnFailed:
		if s.Phase == Starting {
			exit := Exit{Code: e.Code, NotExecuted: true}
			s.Phase, s.Exit, s.EndedAt = Stopping, &exit, now
			return ended(c, s, now)
		}
	case LeaderExited:
		return leaderExited(c, s, e.Exit, now)
	case TreeGone:
		if s.Phase == Stopping && s.Exit != nil {
			return ended(c, s, now)
		}
	case Stop:
		return stop(c, s, now)
	case Restart:
		return restart(c, s, e, now)
	case Tick:
		return tick(s, now)
	default:
		panic(fmt.Sprintf("policy: unknown event %T", ev))
	}
	return s, nil, nil
}

func spawn(s State, cause Cause, now time.Time) (State, []Action, []Note) {
	s.Phase, s.Intent, s.Cause, s.Exit = Starting, NoIntent, cause, nil
	s.Killed, s.Deadline, s.StartedAt = false, time.Time{}, now
	if cause != CauseFirst {
		s.Restarts++
	}
	return s, []Action{Spawn}, nil
}

func quit(s State, phase Phase, code int) (State, []Action, []Note) {
	s.Phase, s.Code, s.Deadline = phase, code, time.Time{}
	return s, []Action{Quit}, nil
}

// leaderExited ends what the leader left behind; a tree that is being ended
// already has had its signal.
func leaderExited(c Config, s State, exit Exit, now time.Time) (State, []Action, []Note) {
	switch s.Phase {
	case Starting, Up:
		s.Phase, s.Exit, s.EndedAt, s.Deadline = Stopping, &exit, now, now.Add(c.StopTimeout)
		return s, []Action{Terminate}, nil
	case Stopping:
		if s.Exit == nil {
			s.Exit, s.EndedAt = &exit, now
		}
	}
	return s, nil, nil
}

func stop(c Config, s State, now time.Time) (State, []Action, []Note) {
	switch s.Phase {
	case Idle, Backoff:
		return quit(s, Down, 0)
	case Starting, Up:
		s.Phase, s.Intent, s.Deadline = Stopping, IntentStop, now.Add(c.StopTimeout)
		return s, []Action{Terminate}, nil
	case Stopping:
		if s.Intent != IntentStop {
			s.Intent = IntentStop
			return s, nil, nil
		}
		return kill(s)
	}
	return s, nil, nil
}

// kill is for a tree that does not end: the deadline is over, or somebody asked
// a second time. Whoever acts on it repeats it until the tree is gone.
func kill(s State) (State, []Action, []Note) {
	if s.Killed {
		return s, nil, nil
	}
	s.Killed, s.Deadline = true, time.Time{}
	return s, []Action{Kill}, []Note{{Type: "escalate"}}
}

func restart(c Config, s State, e Restart, now time.Time) (State, []Action, []Note) {
	if e.Cause == CauseChange && !e.At.After(s.StartedAt) {
		return s, nil, nil
	}
	note := []Note{{Type: "restart_request", Cause: e.Cause}}
	switch s.Phase {
	case Backoff:
		if s.overBudget(c, e.Cause, now) { // the start that back-off leads to is the answer
			return s, nil, []Note{{Type: "storm", Cause: e.Cause}}
		}
		s.forgive()
		next, actions, _ := spawn(s, e.Cause, now)
		return next, actions, note
	case Starting, Up:
		s.Phase, s.Intent, s.Cause, s.Deadline = Stopping, IntentRestart, e.Cause, now.Add(c.StopTimeout)
		return s, []Action{Terminate}, note
	case Stopping:
		if s.Intent == NoIntent {
			s.Intent, s.Cause = IntentRestart, e.Cause
			return s, nil, note
		}
	}
	return s, nil, nil
}

func tick(s State, now time.Time) (State, []Action, []Note) {
	if s.Deadline.IsZero() || now.Before(s.Deadline) {
		return s, nil, nil
	}
	switch s.Phase {
	case Stopping:
		return kill(s)
	case Backoff:
		return spawn(s, CauseCrash, now)
	}
	return s, nil, nil
}

// ended decides what comes after a run of which nothing is left.
func ended(c Config, s State, now time.Time) (State, []Action, []Note) {
	exit := *s.Exit
	own := !exit.Signal && !exit.NotExecuted // the code is the bot's own word
	switch {
	case s.Intent == IntentStop:
		return quit(s, Down, 0)
	case own && slices.Contains(c.FatalCodes, exit.Code):
		return quit(s, Fatal, exit.Code)
	case exit.NotExecuted && !s.Executed && s.Intent == NoIntent:
		return quit(s, Fatal, exit.Code)
	case s.Intent == IntentRestart:
		return again(c, s, s.Cause, now)
	case own && slices.Contains(c.RestartCodes, exit.Code):
		return again(c, s, CauseCode, now)
	case own && slices.Contains(c.StopCodes, exit.Code):
		next, actions, _ := quit(s, Down, 0)
		return next, actions, []Note{{Type: "unrequested_exit"}}
	}
	return crashed(c, s, now)
}

// again starts the next run at once. Requests that the bot can make itself (a
// code, a marker) have a budget of short runs: a /restart that is delivered
// again after each start must not become a fork storm.
func again(c Config, s State, cause Cause, now time.Time) (State, []Action, []Note) {
	if s.overBudget(c, cause, now) {
		next, actions, notes := crashed(c, s, now)
		return next, actions, append([]Note{{Type: "storm", Cause: cause}}, notes...)
	}
	if s.ranLong(c) {
		s.Storming = false
	}
	s.forgive()
	return spawn(s, cause, now)
}

func (s *State) ranLong(c Config) bool { return s.EndedAt.Sub(s.StartedAt) >= c.ResetAfter }

// overBudget counts a request that the bot can make itself after a short run.
func (s *State) overBudget(c Config, cause Cause, now time.Time) bool {
	selfMade := cause == CauseCode || cause == CauseMarker
	if !selfMade || c.Budget.N == 0 || s.ranLong(c) {
		return false
	}
	s.ShortRuns = append(within(s.ShortRuns, c.Budget.Per, now), now)
	s.ShortRuns = s.ShortRuns[max(0, len(s.ShortRuns)-c.Budget.N-1):]
	over := len(s.ShortRuns) > c.Budget.N
	s.Storming = s.Storming || over
	return over
}

// forgive clears the crash count, but not the one that a storm built up: the
// budget lets a request pass now and then, and the delays would begin anew.
func (s *State) forgive() {
	if !s.Storming {
		s.Crashes = 0
	}
}

// crashed backs off for min(MIN·2ⁿ, MAX), n being the consecutive short runs,
// or gives up.
func crashed(c Config, s State, now time.Time) (State, []Action, []Note) {
	s.Crashes++
	if s.ranLong(c) {
		s.Crashes, s.Storming = 0, false
	}
	if c.MaxCrashes.N > 0 {
		s.CrashedAt = append(within(s.CrashedAt, c.MaxCrashes.Per, now), now)
		if len(s.CrashedAt) >= c.MaxCrashes.N {
			next, actions, _ := quit(s, Fatal, s.Exit.Code)
			return next, actions, []Note{{Type: "gave_up"}}
		}
	}
	delay := Delay(c, s.Crashes)
	s.Phase, s.Intent, s.Deadline = Backoff, NoIntent, now.Add(delay)
	return s, nil, []Note{{Type: "backoff", Delay: delay}}
}

// Delay is min(MIN·2ⁿ, MAX).
func Delay(c Config, n int) time.Duration {
	d := c.BackoffMin
	for ; n > 0 && d > 0 && d < c.BackoffMax; n-- {
		if d > c.BackoffMax/2 { // also where doubling would overflow
			return c.BackoffMax
		}
		d *= 2
	}
	return min(d, c.BackoffMax)
}

// within drops what is older than per.
func within(times []time.Time, per time.Duration, now time.Time) []time.Time {
	return slices.DeleteFunc(times, func(t time.Time) bool { return now.Sub(t) > per })
}
