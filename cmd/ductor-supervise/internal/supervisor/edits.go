package supervisor

import (
	"time"

	"ductor/cmd/ductor-supervise/internal/gate"
	"ductor/cmd/ductor-supervise/internal/hook"
	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/cmd/ductor-supervise/internal/policy"
	"ductor/cmd/ductor-supervise/internal/watch"
)

// changed takes a burst of file changes. A start that is on its way will have
// seen them.
func (s *supervisor) changed(c watch.Change) {
	underWay := s.state.Phase == policy.Stopping && s.state.Intent >= policy.IntentRestart
	if underWay || !c.Last.After(s.state.StartedAt) {
		return
	}
	now := time.Now()
	s.judge(s.gate.Seen(gate.Change{Path: c.Path, Count: c.Count, Last: c.Last}, s.hold.Held(now), now))
}

// lookAtHold decides anew about a change that waits.
func (s *supervisor) lookAtHold() {
	if s.gate.Waiting() {
		now := time.Now()
		s.judge(s.gate.Look(s.hold.Held(now), now))
	}
}

// judge does what the gate says about a change.
func (s *supervisor) judge(v gate.Verdict, c gate.Change) {
	about := journal.Event{Path: c.Path, Count: c.Count}
	switch v {
	case gate.Wait:
		about.Type, about.Message = journal.Held, s.hold.Path
		s.emit(about)
	case gate.Check:
		s.startPreflight(about)
	case gate.Pass:
		s.step(policy.Restart{Cause: policy.CauseChange, At: c.Last}, about)
	}
	loop, n := s.gate.Shut()
	if s.shutTold = s.shutTold && loop; loop && !s.shutTold && !s.gate.Waiting() && s.preflight == nil {
		s.shutTold = true
		s.emit(journal.Event{Type: journal.WatchSuspended, Path: c.Path, Count: n})
	}
}

// startPreflight checks an edit while the bot runs on.
func (s *supervisor) startPreflight(about journal.Event) {
	about.Type = journal.Change
	h, err := s.startHook(s.cfg.Preflight, about, nil, s.cfg.PreflightTimeout)
	if err != nil {
		s.preflightDone(hook.Result{Err: err})
		return
	}
	s.preflight = h
}

// preflightDone lets the change through, or keeps the bot that runs.
func (s *supervisor) preflightDone(r hook.Result) {
	s.endHook(&s.preflight)
	now := time.Now()
	v, c := s.gate.Checked(r.OK(), s.hold.Held(now), now)
	if v == gate.Fail {
		e := result(journal.PreflightFailed, r)
		e.Path, e.Count = c.Path, c.Count
		s.emit(e)
	}
	s.judge(v, c)
	s.lookAtHold()
}
