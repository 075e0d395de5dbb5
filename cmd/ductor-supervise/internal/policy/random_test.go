package policy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"
)

// world is the least that can be under a policy: a leader, its tree, a clock.
// It checks each step against the invariants.
type world struct {
	c      Config
	s      State
	now    time.Time
	leader bool // lives
	tree   bool // something of the run lives, be it the leader
	failed bool // the spawn failed; the policy has not been told
	hook   bool // the crash hook runs
	stops  int  // were asked for
	trail  []string
}

func newWorld(c Config) *world {
	return &world{c: c, s: State{Phase: Idle}, now: t0}
}

// step is one decision of the policy, and its consequences.
func (w *world) step(ev Event, spawnFails bool) error {
	before := w.s
	next, actions, _ := Step(w.c, before, ev, w.now)
	w.s = next
	w.trail = append(w.trail, fmt.Sprintf("%s %T%+v -> %s %v", w.now.Sub(t0), ev, ev, next.Phase, actions))
	if _, ok := ev.(Stop); ok {
		w.stops++
	}
	if len(actions) > 1 {
		return fmt.Errorf("%d actions at once: %v", len(actions), actions)
	}
	var act Action
	if len(actions) == 1 {
		act = actions[0]
	}
	if err := w.checkCause(before, ev, act); err != nil {
		return err
	}
	if err := w.act(act, spawnFails); err != nil {
		return err
	}
	return w.check(before, act)
}

// checkCause: no action without a reason for it.
func (w *world) checkCause(before State, ev Event, act Action) error {
	_, begun := ev.(Begin)
	_, gone := ev.(TreeGone)
	_, noProcess := ev.(SpawnFailed)
	_, stop := ev.(Stop)
	_, restart := ev.(Restart)
	_, exited := ev.(LeaderExited)
	_, tick := ev.(Tick)
	late := tick && !before.Deadline.IsZero() && !w.now.Before(before.Deadline)
	_, hung := ev.(Hung)
	_, hookDone := ev.(HookDone)
	late = late || tick && before.runs() && !before.HangAt.IsZero() && !w.now.Before(before.HangAt)
	runs := before.runs()
	ok := true
	switch act {
	case Spawn:
		ok = begun && before.Phase == Idle || gone && before.Phase == Stopping || before.Phase == Backoff && (restart || late || hookDone) && !w.hook
	case Terminate:
		ok = runs && (stop || restart || exited || hung || late) || exited && before.Phase == Stopping && !before.Asked
	case RunHook:
		ok = gone && before.Phase == Stopping || noProcess
	case EndHook:
		ok = stop && before.Hooking
	case Kill:
		ok = before.Phase == Stopping && !before.Killed && (late || stop && before.Intent == IntentStop)
	case Quit:
		ok = gone && before.Phase == Stopping || noProcess && before.Phase == Starting || stop && (before.Phase == Idle || before.Phase == Backoff) || hookDone && before.Intent == IntentStop
	}
	if !ok {
		return fmt.Errorf("action %q has no cause", act)
	}
	return nil
}

func (w *world) act(act Action, spawnFails bool) error {
	switch act {
	case Spawn:
		if w.tree {
			return fmt.Errorf("spawned while the old tree lives")
		}
		if w.stops > 0 {
			return fmt.Errorf("spawned after a stop")
		}
		if w.hook {
			return fmt.Errorf("spawned beside the crash hook")
		}
		w.leader, w.tree, w.failed = !spawnFails, !spawnFails, spawnFails
	case Terminate, Kill:
		if !w.tree {
			return fmt.Errorf("%s for nothing", act)
		}
	case RunHook:
		if w.hook || w.tree {
			return fmt.Errorf("a hook beside another, or beside a run")
		}
		w.hook = true
	case EndHook:
		if !w.hook {
			return fmt.Errorf("there is no hook to end")
		}
	case Quit:
		if w.tree || w.hook {
			return fmt.Errorf("quit while the tree or the hook lives")
		}
	}
	return nil
}

// check holds after every step.
func (w *world) check(before State, act Action) error {
	s := w.s
	switch ended := before.Phase == Down || before.Phase == Fatal; {
	case ended && !reflect.DeepEqual(before, s):
		return fmt.Errorf("something happened after the end: %+v", s)
	case (s.Phase == Down || s.Phase == Fatal) && !ended && act != Quit:
		return fmt.Errorf("ended without a word")
	case w.stops > 0 && s.Phase != Down && s.Phase != Fatal && s.Intent != IntentStop:
		return fmt.Errorf("the stop is forgotten")
	case s.Phase == Down && w.stops > 0 && before.Phase == Stopping && before.Intent == IntentStop && s.Code != 0:
		return fmt.Errorf("a stop that was asked for ends with %d", s.Code)
	}
	wantRestarts := before.Restarts
	if act == Spawn && before.Phase != Idle {
		wantRestarts++
	}
	if s.Restarts != wantRestarts {
		return fmt.Errorf("restarts went from %d to %d", before.Restarts, s.Restarts)
	}
	if s.runs() && s.Intent != NoIntent {
		return fmt.Errorf("phase %s with intent %d", s.Phase, s.Intent)
	}
	if s.Hooking != w.hook {
		return fmt.Errorf("hooking is %v, but it is %v", s.Hooking, w.hook)
	}
	if due := s.Phase == Backoff || s.Phase == Stopping && !s.Killed && !s.Hooking; due == s.Deadline.IsZero() {
		return fmt.Errorf("deadline %v in %s (killed: %v)", s.Deadline, s.Phase, s.Killed)
	}
	if w.leader && !s.runs() && s.Phase != Stopping {
		return fmt.Errorf("a leader lives in %s", s.Phase)
	}
	if w.c.Budget.N > 0 && len(s.ShortRuns) > w.c.Budget.N+1 || w.c.MaxCrashes.N > 0 && len(s.CrashedAt) > w.c.MaxCrashes.N {
		return fmt.Errorf("memory grows: %d short runs, %d crashes", len(s.ShortRuns), len(s.CrashedAt))
	}
	return w.wayOn()
}

// wayOn: the machine is never stuck. What the world can do next leads to
// another phase, and a stop leads to the end.
func (w *world) wayOn() error {
	if w.s.Phase == Down || w.s.Phase == Fatal {
		return nil
	}
	s := w.s
	play := func(events ...Event) {
		for _, ev := range events {
			s, _, _ = Step(w.c, s, ev, w.now)
		}
	}
	switch s.Phase {
	case Idle:
		play(Begin{})
	case Starting, Up, Ready:
		if w.failed {
			play(SpawnFailed{127})
		} else {
			play(LeaderExited{Exit{Code: 1}})
		}
	case Stopping:
		play(LeaderExited{Exit{Code: 1}}, TreeGone{}, HookDone{})
	case Backoff:
		play(HookDone{})
		if s.Phase == Backoff {
			s, _, _ = Step(w.c, s, Tick{}, s.Deadline)
		}
	}
	if s.Phase == w.s.Phase {
		return fmt.Errorf("stuck in %s", s.Phase)
	}
	s = w.s
	if w.failed {
		play(SpawnFailed{127})
	}
	if play(Stop{}, LeaderExited{Exit{Code: 1}}, TreeGone{}, HookDone{}); s.Phase != Down && s.Phase != Fatal {
		return fmt.Errorf("a stop leads to %s", s.Phase)
	}
	return nil
}

// next does something that can happen in this world; pick chooses.
func (w *world) next(pick func(n int) int) error {
	w.pass(pick)
	if w.failed {
		w.failed = false
		return w.step(SpawnFailed{[]int{71, 126, 127}[pick(3)]}, false)
	}
	if w.hook && pick(4) == 0 {
		w.hook = false
		return w.step(HookDone{}, pick(20) == 0)
	}
	fails := pick(20) == 0
	switch k := pick(50); {
	case k == 0:
		return w.step(Stop{}, fails)
	case k < 6:
		causes := []Cause{CauseMarker, CauseSignal, CauseChange}
		return w.step(Restart{Cause: causes[pick(3)], At: w.now.Add(time.Duration(pick(3)-1) * time.Second)}, fails)
	case k < 16:
		return w.step(Tick{}, fails)
	case k < 18:
		return w.step(Begin{}, fails)
	case k < 22:
		return w.step(Executed{}, fails)
	case k < 32:
		back := time.Duration(pick(2)) * time.Second
		return w.step([]Event{Alive{}, Beat{w.now.Add(-back)}, Beat{w.now}, Alive{}, Hung{}, Ending{}, Extend{back}, Resume{}}[pick(8)], fails)
	case w.leader:
		w.leader = false
		codes := []int{0, 1, 42, 42, 42, 78, 127, 255}
		e := Exit{Code: codes[pick(len(codes))]}
		switch pick(5) {
		case 0:
			e = Exit{Code: 128 + 1 + pick(31), Signal: true}
		case 1:
			e.NotExecuted = true
		}
		return w.step(LeaderExited{e}, fails)
	case w.tree && w.s.Exit != nil && pick(3) > 0:
		w.tree = false
		return w.step(TreeGone{}, fails)
	}
	if !w.tree && w.s.Phase == Idle {
		return w.step(Begin{}, fails)
	}
	return w.step(Tick{}, fails)
}

// pass lets time go by, often exactly to a deadline.
func (w *world) pass(pick func(n int) int) {
	steps := []time.Duration{0, 0, 1, time.Millisecond, time.Second, 5 * time.Second, 11 * time.Second, 61 * time.Second}
	if k := pick(len(steps) + 2); k < len(steps) {
		w.now = w.now.Add(steps[k])
	} else if !w.s.Deadline.IsZero() && w.s.Deadline.After(w.now) {
		w.now = w.s.Deadline
	}
}

// configs are the corners of the command line.
func configs() []Config {
	strict, mad, hasty := usual, usual, usual
	strict.Budget, strict.MaxCrashes = Rate{1, time.Minute}, Rate{2, time.Minute}
	mad.BackoffMin, mad.BackoffMax, mad.ResetAfter, mad.StopTimeout, mad.Budget = 0, 0, 0, 0, Rate{}
	hasty.StopCodes, hasty.FatalCodes, hasty.MaxCrashes, hasty.BackoffMin, hasty.BackoffMax = nil, nil, Rate{50, time.Hour}, 0, 0
	strict.CrashHook, hasty.CrashHook, mad.HangTimeout = true, true, 0
	return []Config{usual, strict, mad, hasty}
}

func (w *world) fatal(t *testing.T, err error) {
	t.Helper()
	trail := w.trail[max(0, len(w.trail)-25):]
	for _, line := range trail {
		t.Log(line)
	}
	t.Fatalf("%v\nstate %+v", err, w.s)
}

// TestRandomSequences walks 200,000 random steps; SEED repeats a walk.
func TestRandomSequences(t *testing.T) {
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	seen := map[Phase]int{}
	spawns := 0
	for steps := 0; steps < 200_000; {
		w := newWorld(configs()[r.IntN(4)])
		for range 400 {
			if err := w.next(r.IntN); err != nil {
				w.fatal(t, err)
			}
			steps++
			seen[w.s.Phase]++
			if w.s.Phase == Down || w.s.Phase == Fatal {
				for range 5 { // nothing may come after the end
					if err := w.next(r.IntN); err != nil {
						w.fatal(t, err)
					}
				}
				break
			}
		}
		spawns += w.s.Restarts
	}
	for _, p := range Phases() {
		if seen[p] == 0 {
			t.Errorf("the walk never came to %q: it proves nothing about it", p)
		}
	}
	if spawns < 5000 {
		t.Errorf("only %d restarts in the whole walk", spawns)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add(uint8(0), []byte{0, 30, 39, 0, 39, 1, 5, 2, 39, 0, 3, 2})
	f.Add(uint8(1), []byte("the quick brown fox jumps over the lazy dog"))
	f.Fuzz(func(t *testing.T, which uint8, script []byte) {
		w := newWorld(configs()[int(which)%4])
		pick := func(n int) int {
			if len(script) == 0 {
				return 0
			}
			b := script[0]
			script = script[1:]
			return int(b) % n
		}
		for len(script) > 0 {
			if err := w.next(pick); err != nil {
				w.fatal(t, err)
			}
		}
	})
}
