package supervisor

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/cmd/ductor-supervise/internal/policy"
	"ductor/cmd/ductor-supervise/internal/tree"
	"ductor/cmd/ductor-supervise/internal/watch"
	"ductor/internal/common/holder"
	"ductor/internal/common/process"
)

// cleanPoll is how often a tree is looked at whose leader is gone. On Linux
// the end of an orphan is told at once, and this is only the net below.
const cleanPoll = 20 * time.Millisecond

// loop turns what happens into events until the policy quits.
func (s *supervisor) loop() (int, error) {
	files := watch.NewFiles(append([]string{s.run.CtlStop(), s.cfg.Hold}, s.markers...), s.warnLater)
	defer files.Close()
	changes, closeTrees, err := s.watchTrees(files)
	if err != nil {
		return 0, err
	}
	defer closeTrees()
	s.clearStop()
	alive, stopAlive := ticks(s.above.Watchdog())
	defer stopAlive()
	timer := time.NewTimer(0)
	defer timer.Stop()

	s.drainSignals()
	if s.stopFirst {
		s.step(policy.Stop{}, journal.Event{})
	}
	s.step(policy.Begin{}, journal.Event{})
	s.writeStatus()
	s.report()
	for !s.quit {
		s.tellNext()
		s.notice(time.Now(), 0)
		s.arm(timer)
		select {
		case sig := <-s.signals.c:
			s.signal(sig, s.signals.hangup)
		case sig := <-s.signals.restart:
			s.signal(sig, s.signals.hangup)
		case out := <-s.outcome:
			s.learn(out)
		case exit := <-s.exited:
			s.leaderExited(exit)
		case <-s.keeper.Changed():
			s.childEnded()
		case <-files.Look():
			s.lookAtFiles()
		case c := <-changes:
			s.changed(c)
		case m := <-s.messages():
			s.hear(m)
		case <-alive:
			s.above.Send("WATCHDOG=1")
		case err := <-s.above.Trouble():
			s.warnOnce("tell the service manager: %v", err)
		case r := <-done(s.preflight):
			s.preflightDone(r)
		case r := <-done(s.crashHook):
			s.crashHookDone(r)
		case r := <-done(s.eventHook):
			s.eventHookDone(r)
		case e := <-s.later:
			s.emit(e)
		case <-timer.C:
			s.tick()
		}
		s.writeStatus()
		s.report()
	}
	end := journal.Event{Type: journal.SupervisorExit, Code: &s.state.Code}
	if s.state.Phase == policy.Fatal && !s.state.Exit.NotExecuted {
		end.Reason = string(policy.Fatal)
	}
	s.emit(end)
	s.endHooks()
	return s.state.Code, nil
}

// tick looks at what has no other way to tell.
func (s *supervisor) tick() {
	now := time.Now()
	s.notice(now, now.Sub(s.timerDue))
	s.hearAll()
	s.beat()
	s.step(policy.Tick{}, journal.Event{})
	s.clean()
	s.lookAtHold()
}

// ticks never delivers for an interval of 0.
func ticks(every time.Duration) (c <-chan time.Time, stop func()) {
	if every <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// slack is how much later than asked for a loaded machine may wake us.
const slack = 5 * time.Second

// notice finds out that this machine slept: the clock on the wall went on, and
// the one for deadlines did not, or it did, and we were woken that much too
// late. Then the bot could not keep a deadline either.
func (s *supervisor) notice(now time.Time, late time.Duration) {
	gap := max(late, now.Round(0).Sub(s.woke.Round(0))-now.Sub(s.woke))
	s.woke = now
	if gap < slack {
		return
	}
	seconds := gap.Round(time.Second).Seconds()
	s.emit(journal.Event{Type: journal.Resume, DelaySeconds: &seconds})
	s.pulse.slept(now)
	s.step(policy.Resume{}, journal.Event{})
}

// beat looks for a sign of life, the first of which means ready.
func (s *supervisor) beat() {
	if s.pulse.path == "" || s.tree == nil || s.state.Phase == policy.Stopping {
		return
	}
	if at, ok := s.pulse.look(time.Now()); ok {
		s.step(policy.Alive{}, journal.Event{})
		s.step(policy.Beat{At: at}, journal.Event{})
	}
}

// drainSignals acts on stops that came before the first start.
func (s *supervisor) drainSignals() {
	for {
		select {
		case sig := <-s.signals.c:
			s.signal(sig, s.signals.hangup)
		default:
			return
		}
	}
}

// arm sets the timer to the next deadline, or stops it: idle means asleep.
func (s *supervisor) arm(timer *time.Timer) {
	s.timerDue = s.state.Due()
	sooner := func(d time.Time) {
		if !d.IsZero() && (s.timerDue.IsZero() || d.Before(s.timerDue)) {
			s.timerDue = d
		}
	}
	stopping := s.state.Phase == policy.Stopping
	if s.tree != nil && stopping && (s.state.Exit != nil || s.state.Killed) {
		if s.cleanDue.IsZero() { // not put off by all that happens meanwhile
			s.cleanDue = time.Now().Add(cleanPoll)
		}
		sooner(s.cleanDue)
	}
	if s.tree != nil && !stopping {
		sooner(s.pulse.due())
	}
	sooner(s.gate.Due())
	if s.timerDue.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(s.timerDue))
}

// step lets the policy decide, tells what it noted, and does what it said.
// cause has the details of a request: who made it, by which file.
func (s *supervisor) step(ev policy.Event, cause journal.Event) {
	before := s.state
	next, actions, notes := policy.Step(s.cfg.Policy, s.state, ev, time.Now())
	s.state = next
	if before.Phase != next.Phase {
		s.since = time.Now()
		if exit := cmp.Or(before.Exit, next.Exit); exit != nil && !before.Hooking && before.Phase != policy.Backoff && next.Phase != policy.Stopping {
			s.ended(next, exit)
		}
	}
	for _, n := range notes {
		s.note(n, cause)
	}
	for _, a := range actions {
		switch a {
		case policy.Spawn:
			s.spawn()
		case policy.Terminate:
			s.tree.Terminate(s.cfg.StopSignal)
		case policy.Kill:
			s.tree.Kill()
		case policy.RunHook:
			s.startCrashHook()
		case policy.EndHook:
			s.crashHook.End()
		case policy.Quit:
			s.quit = true
		}
	}
}

// note turns a note of the policy into an event.
func (s *supervisor) note(n policy.Note, cause journal.Event) {
	e := cause
	e.Type = journal.Type(n.Type)
	switch e.Type {
	case journal.RestartRequest, journal.Storm:
		e.Reason = string(n.Cause)
		if e.Type == journal.RestartRequest && n.Cause == policy.CauseChange {
			e.Type = journal.Change
		} else if e.Type == journal.Storm {
			s.crash = "storm"
		} else {
			s.gate.Open() // somebody wants it to go on
			s.shutTold = false
		}
	case journal.Backoff:
		delay := n.Delay.Seconds()
		e.DelaySeconds, e.Crashes = &delay, s.state.Crashes
	case journal.Escalate, journal.ChildReady:
		e.PID = s.tree.PID
	case journal.Hang:
		s.hung(n, &e)
	case journal.UnrequestedExit:
		e.Code = &s.state.Exit.Code
	case journal.GaveUp:
		e.Count = len(s.state.CrashedAt)
	}
	s.emit(e)
}

// hung says how it was found out.
func (s *supervisor) hung(n policy.Note, e *journal.Event) {
	e.PID, e.Reason, s.crash = s.tree.PID, "watchdog", "hang"
	silent := n.Delay.Round(time.Millisecond).Seconds()
	switch {
	case s.triggered:
		e.Reason = "trigger"
		return
	case s.pulse.path != "":
		e.Reason = "heartbeat"
	}
	e.DelaySeconds = &silent
}

// learn takes what the status descriptor said. A failure is acted on when the
// process that reported it has ended.
func (s *supervisor) learn(out outcome) {
	if s.tree == nil || out.pid != s.tree.PID {
		return
	}
	s.learnt = true
	if f := out.failure; f != nil {
		s.failure = out.failure
		s.emit(journal.Event{Type: journal.NotExecuted, Code: &f.Code, Message: f.Message})
		return
	}
	s.step(policy.Executed{}, journal.Event{})
	s.emit(journal.Event{Type: journal.ChildUp, PID: out.pid})
}

// leaderExited takes the end of the child. Whether it was the command's end or
// the launcher's is known from the status descriptor alone, which is closed by
// now: all that had it open is gone.
func (s *supervisor) leaderExited(exit tree.Exit) {
	if !s.learnt {
		select {
		case out := <-s.outcome:
			s.learn(out)
		case <-time.After(time.Second):
		}
	}
	s.hearAll()
	s.status.Text = "" // of a bot that is no more
	s.exited = nil
	s.exit = exit
	e := policy.Exit{Code: exit.Code, Signal: exit.Signal != nil}
	if s.failure != nil {
		e = policy.Exit{Code: s.failure.Code, NotExecuted: true}
	}
	// What is told is what is judged: a look at the clock for each could differ
	// on a machine that has much to do.
	s.step(policy.LeaderExited{Exit: e}, journal.Event{})
	s.ranFor = s.state.EndedAt.Sub(s.state.StartedAt).Round(time.Millisecond).Seconds()
	s.emit(journal.Event{Type: journal.ChildExit, PID: s.tree.PID, Code: &exit.Code, Signal: signalName(exit.Signal), RuntimeSeconds: &s.ranFor, Tail: s.streams.Tail()})
	s.clean()
}

// childEnded: the kernel told that some child of ours ended.
func (s *supervisor) childEnded() {
	if s.tree == nil {
		s.keeper.Reap(0)
		return
	}
	s.keeper.Reap(s.tree.PID)
	s.clean()
}

// clean looks whether the tree is gone whose leader is.
func (s *supervisor) clean() {
	if s.tree == nil || s.state.Phase != policy.Stopping {
		return
	}
	s.cleanDue = time.Time{}
	if s.state.Killed {
		s.tree.Kill()
		s.complain()
	}
	if s.state.Exit != nil && s.tree.Gone() {
		// What the bot asked for with its last act is told after its end, or
		// not yet at all; it was asked for all the same.
		s.lookAtFiles()
		s.tree = nil
		if !s.cfg.NoLock {
			_ = holder.Release(s.run.BotPID()) // if it is held by somebody else, it is theirs
		}
		s.step(policy.TreeGone{}, journal.Event{})
	}
}

// complain says once that KILL does not end what it was sent to: a process in
// a device driver, or another user's.
func (s *supervisor) complain() {
	switch {
	case s.killedAt.IsZero():
		s.killedAt = time.Now()
	case time.Since(s.killedAt) > stopMargin:
		s.warnOnce("PID %d or what came of it is still there, %s after KILL; waiting for its end", s.tree.PID, stopMargin)
	}
}

// ended keeps the end of a run for status.json.
func (s *supervisor) ended(next policy.State, exit *policy.Exit) {
	reason := "restart"
	switch next.Phase {
	case policy.Down:
		reason = "stop"
	case policy.Fatal:
		reason = "fatal"
	case policy.Backoff:
		reason = "crash"
	}
	s.status.LastExit = &journal.LastExit{Code: exit.Code, Signal: signalName(s.exit.Signal), RuntimeSeconds: s.ranFor, Reason: reason}
}

func (s *supervisor) watchTrees(files *watch.Files) (<-chan watch.Change, func(), error) {
	if len(s.cfg.WatchDirs) == 0 {
		return nil, func() {}, nil
	}
	filter := s.cfg.WatchFilter
	filter.Own = slices.Concat(filter.Own, s.markers) // they are requests of their own
	t, err := watch.NewTrees(s.cfg.WatchDirs, filter, watch.Options{Mode: s.cfg.WatchMode, Share: files, Warn: s.warnLater, Watching: s.watching})
	if err != nil {
		return nil, nil, err
	}
	return t.Changes(), t.Close, nil
}

// warnLater is for goroutines other than the loop's.
func (s *supervisor) warnLater(format string, args ...any) {
	s.emitLater(journal.Event{Type: journal.Warning, Message: fmt.Sprintf(format, args...)})
}

// watching tells how folders are watched, and how many.
func (s *supervisor) watching(mode string, folders int) {
	s.emitLater(journal.Event{Type: journal.Watching, Reason: mode, Count: folders})
}

// emitLater never waits for the loop: what it has no room for is not told.
func (s *supervisor) emitLater(e journal.Event) {
	select {
	case s.later <- e:
	default:
	}
}

// signal acts on a signal to the supervisor.
func (s *supervisor) signal(sig os.Signal, hangup policy.Event) {
	by := journal.Event{Signal: signalName(sig), Reason: "signal"}
	switch ev := meaning(sig, hangup).(type) {
	case policy.Stop:
		if !s.counts(sig) {
			return
		}
		by.Type = journal.StopRequest
		s.emit(by)
		s.step(ev, journal.Event{})
	case policy.Restart:
		s.step(ev, by)
	}
}

// counts reports whether a stop signal is to be acted on. The first one on top
// of a stop that is under way by a file is not the second signal, which kills.
// Nor is a hangup, which shell and kernel both send when a window closes, nor
// a TERM that comes right behind another: timeout(1) signals its child, and then
// the child's group.
func (s *supervisor) counts(sig os.Signal) bool {
	again := s.state.Intent == policy.IntentStop
	echo := sig == syscall.SIGTERM && s.lastStop == sig && time.Since(s.stoppedAt) < echoTime
	first := s.stopSignals == 0
	s.stopSignals++
	s.lastStop, s.stoppedAt = sig, time.Now()
	return !again || !first && !echo && !isHangup(sig)
}

// echoTime is far more than timeout(1) needs from one to the other.
const echoTime = 10 * time.Millisecond

// writeStatus replaces status.json if something in it changed. It comes after
// the acts, since a start should not wait for a file.
func (s *supervisor) writeStatus() {
	st := s.status
	st.State, st.Since = string(s.state.Phase), s.since.UTC().Truncate(time.Millisecond)
	st.Restarts, st.Crashes, st.Reason = s.state.Restarts, s.state.Crashes, string(s.state.Cause)
	st.PID, st.Child, st.NextStart = 0, nil, nil
	if s.tree != nil {
		st.PID = s.tree.PID
		if s.child.PID != st.PID {
			s.child, _ = process.Of(st.PID) // gone already: then nothing is known of it
		}
		if s.child.PID == st.PID {
			st.Child = &s.child
		}
	}
	if st.Hook = ""; s.state.Hooking {
		st.Hook = onCrash // and the next start is when it ends, at the earliest
	} else if s.state.Phase == policy.Backoff {
		next := s.state.Deadline.UTC().Truncate(time.Millisecond)
		st.NextStart = &next
	}
	if same(st, s.written) {
		return
	}
	if err := journal.WriteStatus(s.run.Status(), st); err != nil {
		if !s.statusSick {
			s.warn("status is not stored: %v", err)
		}
		s.statusSick = true
		return
	}
	s.written, s.statusSick = st, false
}

func same(a, b journal.Status) bool {
	return a.State == b.State && a.Since.Equal(b.Since) && a.PID == b.PID && a.Restarts == b.Restarts &&
		a.Reason == b.Reason && a.Text == b.Text && a.Hook == b.Hook && a.LastExit == b.LastExit && slices.Equal(a.Command, b.Command)
}
