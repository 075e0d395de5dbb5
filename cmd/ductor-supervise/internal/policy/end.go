package policy

import (
	"slices"
	"time"

	"ductor/internal/common/exitcode"
)

// ended decides what comes after a run of which nothing is left.
func ended(c Config, s State, now time.Time) (State, []Action, []Note) {
	exit := *s.Exit
	own := !exit.Signal && !exit.NotExecuted // the code is the bot's own word
	switch {
	case s.Intent == IntentStop:
		return quit(s, Down, 0)
	case own && slices.Contains(c.FatalCodes, exit.Code):
		return quit(s, Fatal, exit.Code)
	case exit.NotExecuted && !s.Executed && s.Intent == NoIntent && !mayBeMended(c, s, exit.Code):
		return quit(s, Fatal, exit.Code)
	case s.Intent == IntentHang:
		return crashed(c, s, now)
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

// mayBeMended: a command that is not there at the first start is a mistake, but
// where there is a crash hook it may also be the half done upgrade that the hook
// undoes. It has one chance.
func mayBeMended(c Config, s State, code int) bool {
	return c.CrashHook && s.Restarts == 0 && (code == exitcode.CannotExec || code == exitcode.NotFound)
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
			next, actions, _ := quit(s, Fatal, failure(s))
			return next, actions, []Note{{Type: "gave_up"}}
		}
	}
	delay := Delay(c, s.Crashes)
	s.Phase, s.Intent, s.Cause, s.Deadline = Backoff, NoIntent, CauseCrash, now.Add(delay)
	note := []Note{{Type: "backoff", Delay: delay}}
	if c.CrashHook {
		s.Hooking = true
		return s, []Action{RunHook}, note
	}
	return s, nil, note
}

// failure is the code for giving up: the bot's own, unless that was its answer
// to our stop signal, or reads as success.
func failure(s State) int {
	switch {
	case s.Intent == IntentHang:
		return exitcode.Timeout
	case s.Exit.Code == 0:
		return exitcode.No
	}
	return s.Exit.Code
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
