package policy

import (
	"fmt"
	"slices"
	"time"
)

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
	case Alive:
		return alive(s)
	case Beat:
		if s.runs() && c.HangTimeout > 0 {
			s.BeatAt, s.HangAt = e.At, e.At.Add(c.HangTimeout)
		}
	case Hung:
		if s.runs() {
			return hang(c, s, now)
		}
	case Ending:
		if s.runs() {
			s.Phase, s.Deadline, s.HangAt = Stopping, now.Add(c.StopTimeout), time.Time{}
		}
	case Extend:
		return extend(s, now.Add(e.By)), nil, nil
	case Resume:
		return resume(c, s, now), nil, nil
	case HookDone:
		return hookDone(s, now)
	case SpawnFailed:
		if s.Phase == Starting {
			exit := Exit{Code: e.Code, NotExecuted: true}
			s.Phase, s.Exit, s.EndedAt = Stopping, &exit, now
			return ended(c, s, now)
		}
	case LeaderExited:
		return leaderExited(c, s, e.Exit, now)
	case TreeGone:
		if s.Phase == Stopping && s.Exit != nil && !s.Hooking {
			return ended(c, s, now)
		}
	case Stop:
		return stop(c, s, now)
	case Restart:
		return restart(c, s, e, now)
	case Tick:
		return tick(c, s, now)
	default:
		panic(fmt.Sprintf("policy: unknown event %T", ev))
	}
	return s, nil, nil
}

// runs reports whether there is a run that nobody has begun to end.
func (s State) runs() bool { return s.Phase == Starting || s.Phase == Up || s.Phase == Ready }

// Due is when a Tick is wanted; zero is never.
func (s State) Due() time.Time {
	switch {
	case s.runs():
		return s.HangAt
	case s.Phase == Backoff && s.Hooking:
		return time.Time{}
	}
	return s.Deadline
}

// alive may come before the news that the command was executed, which it
// proves.
func alive(s State) (State, []Action, []Note) {
	if s.Phase != Starting && s.Phase != Up {
		return s, nil, nil
	}
	s.Phase, s.Executed = Ready, true
	return s, nil, []Note{{Type: "child_ready"}}
}

func hang(c Config, s State, now time.Time) (State, []Action, []Note) {
	next, actions := terminate(c, s, IntentHang, now)
	last := s.BeatAt
	if last.IsZero() {
		last = s.StartedAt
	}
	return next, actions, []Note{{Type: "hang", Delay: now.Sub(last)}}
}

// terminate begins to end a run.
func terminate(c Config, s State, intent Intent, now time.Time) (State, []Action) {
	s.Phase, s.Intent, s.Asked = Stopping, intent, true
	s.Deadline, s.HangAt = now.Add(c.StopTimeout), time.Time{}
	return s, []Action{Terminate}
}

// extend moves the deadline that the bot is held to, but never to an earlier
// time.
func extend(s State, to time.Time) State {
	switch {
	case s.runs() && !s.HangAt.IsZero() && s.HangAt.Before(to):
		s.HangAt = to
	case s.Phase == Stopping && !s.Deadline.IsZero() && s.Deadline.Before(to):
		s.Deadline = to
	}
	return s
}

// resume gives the bot its full time again. A back-off has no need of that:
// nobody was held to it.
func resume(c Config, s State, now time.Time) State {
	switch {
	case s.runs() && !s.HangAt.IsZero():
		s.HangAt = now.Add(c.HangTimeout)
	case s.Phase == Stopping && !s.Deadline.IsZero():
		return extend(s, now.Add(c.StopTimeout))
	}
	return s
}

// hookDone lets a stop or a start go on that waited for the hook.
func hookDone(s State, now time.Time) (State, []Action, []Note) {
	waited := s.Hooking
	s.Hooking = false
	switch {
	case waited && s.Phase == Stopping:
		return quit(s, Down, 0)
	case waited && s.Phase == Backoff && !now.Before(s.Deadline):
		return spawn(s, s.Cause, now)
	}
	return s, nil, nil
}

func spawn(s State, cause Cause, now time.Time) (State, []Action, []Note) {
	s.Phase, s.Intent, s.Cause, s.Exit = Starting, NoIntent, cause, nil
	s.Asked, s.Killed, s.Deadline, s.HangAt, s.StartedAt, s.BeatAt = false, false, time.Time{}, time.Time{}, now, time.Time{}
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
	if !s.runs() && (s.Phase != Stopping || s.Exit != nil || s.Hooking) {
		return s, nil, nil
	}
	s.Exit, s.EndedAt = &exit, now
	if s.Asked || s.Killed {
		return s, nil, nil
	}
	next, actions := terminate(c, s, s.Intent, now)
	return next, actions, nil
}

func stop(c Config, s State, now time.Time) (State, []Action, []Note) {
	switch {
	case s.Hooking: // nothing of it may be left behind either
		s.Phase, s.Intent, s.Deadline = Stopping, IntentStop, time.Time{}
		return s, []Action{EndHook}, nil
	case s.Phase == Idle || s.Phase == Backoff:
		return quit(s, Down, 0)
	case s.runs():
		next, actions := terminate(c, s, IntentStop, now)
		return next, actions, nil
	case s.Phase == Stopping:
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
	switch {
	case s.Phase == Backoff:
		if s.overBudget(c, e.Cause, now) { // the start that back-off leads to is the answer
			return s, nil, []Note{{Type: "storm", Cause: e.Cause}}
		}
		s.forgive()
		if s.Hooking { // the hook may be putting things right: it comes first
			s.Cause, s.Deadline = e.Cause, now
			return s, nil, note
		}
		next, actions, _ := spawn(s, e.Cause, now)
		return next, actions, note
	case s.runs():
		s.Cause = e.Cause
		next, actions := terminate(c, s, IntentRestart, now)
		return next, actions, note
	case s.Phase == Stopping:
		if s.Intent < IntentRestart {
			s.Intent, s.Cause = IntentRestart, e.Cause
			return s, nil, note
		}
	}
	return s, nil, nil
}

func tick(c Config, s State, now time.Time) (State, []Action, []Note) {
	if due := s.Due(); due.IsZero() || now.Before(due) {
		return s, nil, nil
	}
	switch s.Phase {
	case Stopping:
		return kill(s)
	case Backoff:
		return spawn(s, s.Cause, now)
	}
	return hang(c, s, now)
}
