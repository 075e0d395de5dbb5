package supervisor

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"ductor/cmd/ductor-supervise/internal/hook"
	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/cmd/ductor-supervise/internal/policy"
)

const (
	// eventHookTime bounds --on-event: the next event waits for it.
	eventHookTime = 30 * time.Second
	// eventBacklog is how many events wait for it; older ones are dropped.
	eventBacklog = 100
	// lastHooks is how long the end waits for the last events to be told. It is
	// within stopMargin, which the lock's record promises.
	lastHooks = 2 * time.Second
	// lastHook is for the very last one, which has the supervisor's exit code.
	lastHook = 1500 * time.Millisecond
	// tellMissed is the least time between two warnings about events that were
	// not told.
	tellMissed = time.Minute
	// onEvent and onCrash are the reasons in events about hooks.
	onEvent, onCrash = "on-event", "on-crash"
)

// hookOf is a variable that marks hooks as DUCTOR_INSTANCE marks the bot.
const hookOf = "DUCTOR_HOOK_OF"

// told is an event in both forms.
type told struct {
	line  []byte
	event journal.Event
}

// startHook runs a command with an event in its environment. It is no part of
// the bot's tree.
func (s *supervisor) startHook(command string, about journal.Event, input []byte, limit time.Duration) (*hook.Hook, error) {
	env := slices.DeleteFunc(s.environment(), func(kv string) bool {
		return strings.HasPrefix(kv, "DUCTOR_INSTANCE=") || strings.HasPrefix(kv, "NOTIFY_SOCKET=") || strings.HasPrefix(kv, "WATCHDOG_USEC=")
	})
	env = append(env, hookOf+"="+s.instance) // for a successor: see byInstance
	h, err := hook.Start(hook.Spec{Command: command, Env: append(env, eventEnv(about)...), Dir: s.cfg.Dir, Input: input,
		Timeout: limit, Grace: min(s.cfg.Policy.StopTimeout, stopMargin)})
	if err == nil {
		s.keeper.Spare(h.PID, true)
	}
	return h, err
}

// endHook forgets one that is over.
func (s *supervisor) endHook(h **hook.Hook) {
	if *h != nil {
		s.keeper.Spare((*h).PID, false)
		*h = nil
	}
}

// done is the channel of a hook, which may be none.
func done(h *hook.Hook) <-chan hook.Result {
	if h == nil {
		return nil
	}
	return h.Done()
}

// eventEnv has the main fields for a shell; the rest is on standard input.
func eventEnv(e journal.Event) (env []string) {
	add := func(name, value string) {
		if value != "" {
			env = append(env, "DUCTOR_EVENT"+name+"="+strings.ReplaceAll(value, "\x00", "?"))
		}
	}
	add("", string(e.Type))
	add("_TEXT", e.Text())
	add("_REASON", e.Reason)
	add("_SIGNAL", e.Signal)
	add("_PATH", e.Path)
	if e.Code != nil {
		add("_CODE", strconv.Itoa(*e.Code))
	}
	if e.PID != 0 {
		add("_PID", strconv.Itoa(e.PID))
	}
	if e.Crashes != 0 {
		add("_CRASHES", strconv.Itoa(e.Crashes))
	}
	return env
}

// result is how a hook ended, as an event.
func result(t journal.Type, r hook.Result) journal.Event {
	ran := r.Runtime.Round(time.Millisecond).Seconds()
	e := journal.Event{Type: t, Code: &r.Code, Signal: signalName(r.Signal), RuntimeSeconds: &ran, Message: strings.TrimSpace(r.Tail)}
	switch {
	case r.Err != nil:
		code := 127
		e.Code, e.Message = &code, r.Err.Error()
	case r.TimedOut:
		e.Message = strings.TrimSpace("it took too long\n" + e.Message)
	}
	return e
}

// startCrashHook runs what comes between a crash and the next start. Besides
// the event it is told why that end was a crash, and which one it is.
func (s *supervisor) startCrashHook() {
	about := s.lastEnd.event
	about.Reason, about.Crashes = cmp.Or(s.crash, "crash"), s.state.Crashes
	h, err := s.startHook(s.cfg.OnCrash, about, s.lastEnd.line, s.cfg.HookTimeout)
	if err != nil {
		s.crashHookDone(hook.Result{Err: err})
		return
	}
	s.crashHook = h
}

func (s *supervisor) crashHookDone(r hook.Result) {
	s.endHook(&s.crashHook)
	e := result(journal.HookEnd, r)
	e.Reason = onCrash
	s.emit(e)
	s.step(policy.HookDone{}, journal.Event{})
}

// tell queues an event for --on-event. What that hook did itself is not told
// to it, or it would never end.
func (s *supervisor) tell(line []byte, e journal.Event) {
	if e.Type == journal.ChildExit || e.Type == journal.NotExecuted && s.tree == nil {
		s.lastEnd = told{slices.Clone(line), e}
	}
	if s.cfg.OnEvent == "" || s.closing || e.Type == journal.HookEnd && e.Reason == onEvent {
		return
	}
	if len(s.untold) >= eventBacklog {
		s.untold = s.untold[1:]
		s.missed++
	}
	s.untold = append(s.untold, told{slices.Clone(line), e})
}

// tellNext starts the hook for the next event, if it has time for it. That is
// done after the acts, never before.
func (s *supervisor) tellNext() {
	for s.eventHook == nil && len(s.untold) > 0 {
		next := s.untold[0]
		s.untold = s.untold[1:]
		h, err := s.startHook(s.cfg.OnEvent, next.event, next.line, eventHookTime)
		if err != nil {
			s.eventHookDone(hook.Result{Err: err})
			continue
		}
		s.eventHook = h
	}
}

func (s *supervisor) eventHookDone(r hook.Result) {
	s.endHook(&s.eventHook)
	if !r.OK() {
		e := result(journal.HookEnd, r)
		e.Reason = onEvent
		s.emit(e)
	}
	if !s.closing && time.Since(s.toldOf) >= tellMissed {
		s.tellOfMissed()
	}
}

// tellOfMissed is not for the hook itself, which has too much to do already.
func (s *supervisor) tellOfMissed() {
	if s.missed == 0 {
		return
	}
	missed, closing := s.missed, s.closing
	s.missed, s.toldOf, s.closing = 0, time.Now(), true
	s.warn("%d events were not told to the %s hook: it takes too long", missed, onEvent)
	s.closing = closing
}

// endHooks lets the last events be told, for a bounded time, and leaves no
// hook behind. If there is no time for all, the very last event is told before
// the others. Somebody who asks for the stop again does not want to wait.
func (s *supervisor) endHooks() {
	s.closing = true
	if s.preflight != nil {
		cut(s.preflight)
	}
	if !s.runHooks(lastHooks) && len(s.untold) > 0 {
		s.missed += len(s.untold) - 1
		s.untold = s.untold[len(s.untold)-1:]
		s.runHooks(lastHook)
	}
	s.tellOfMissed()
	s.keeper.Dismiss()
}

// runHooks tells what waits, and reports whether there was time for all of it.
func (s *supervisor) runHooks(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for s.tellNext(); s.eventHook != nil; s.tellNext() {
		select {
		case r := <-s.eventHook.Done():
			s.eventHookDone(r)
			continue
		case <-s.signals.c:
		case <-timer.C:
		}
		s.eventHookDone(cut(s.eventHook))
		return false
	}
	return true
}

// cut kills a hook. One that does not end even so is not waited for: the
// supervisor has to.
func cut(h *hook.Hook) hook.Result {
	h.End()
	h.End()
	select {
	case r := <-h.Done():
		return r
	case <-time.After(lastHook):
		return hook.Result{Err: errors.New("it does not end")}
	}
}
