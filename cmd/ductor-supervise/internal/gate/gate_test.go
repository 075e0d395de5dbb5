package gate

import (
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func sec(n int) time.Time { return t0.Add(time.Duration(n) * time.Second) }

func change(n int) Change { return Change{Path: "a.py", Count: 1, Last: sec(n)} }

type want struct {
	t *testing.T
	g *Gate
}

func (w want) is(v Verdict, got Verdict, c Change, count int) {
	w.t.Helper()
	if got != v || v != Nothing && c.Count != count {
		w.t.Fatalf("verdict %d for %+v, want %d for %d files (%+v)", got, c, v, count, w.g)
	}
}

// seen is a change after which it stays quiet.
func (w want) seen(n int) (Verdict, Change) {
	v, c := w.g.Seen(change(n), false, sec(n))
	if v == Nothing && w.g.Waiting() {
		return w.g.Look(false, w.g.Due())
	}
	return v, c
}

// TestManySavesAreFewRestarts: a tool that rewrites a file every 250 ms, for a
// minute, and a person who saves every two seconds, for ten.
func TestManySavesAreFewRestarts(t *testing.T) {
	for name, tt := range map[string]struct {
		every     time.Duration
		saves     int
		least, in int
	}{"tool": {250 * time.Millisecond, 240, 7, 8}, "person": {2 * time.Second, 300, 15, 90}} {
		g := &Gate{Config: Usual}
		passed := 0
		take := func(v Verdict, _ Change) {
			if v == Pass {
				passed++
			}
		}
		for i := range tt.saves {
			now := t0.Add(time.Duration(i) * tt.every)
			take(g.Seen(Change{Path: "a.py", Count: 1, Last: now}, false, now))
			for due := g.Due(); !due.IsZero() && due.Before(now.Add(tt.every)); due = g.Due() {
				take(g.Look(false, due))
			}
		}
		take(g.Look(false, g.Due()))
		if shut, _ := g.Shut(); shut || g.Waiting() || passed < tt.least || passed > tt.in {
			t.Errorf("%s: shut %v, %d restarts, want %d to %d; something waits: %v", name, shut, passed, tt.least, tt.in, g.Waiting())
		}
	}
}

// TestRestEndsALoop: after a minute without changes the next one counts.
func TestRestEndsALoop(t *testing.T) {
	w := want{t, &Gate{Config: Usual}}
	for i := range 10 {
		w.seen(i * 6)
	}
	for i := range 5 { // it goes on for a while
		v, c := w.g.Seen(change(60+i*59), false, sec(60+i*59))
		w.is(Nothing, v, c, 0)
	}
	v, c := w.g.Seen(change(400), false, sec(400))
	w.is(Pass, v, c, 1)
}

// TestHoldDuringPreflight: it began too late to hold the check back, and not
// too late for the restart.
func TestHoldDuringPreflight(t *testing.T) {
	w := want{t, &Gate{Config: Usual}}
	w.g.Preflight = true
	v, c := w.g.Seen(change(1), false, sec(1))
	w.is(Check, v, c, 1)
	v, c = w.g.Checked(true, true, sec(2))
	w.is(Nothing, v, c, 0)
	v, c = w.g.Look(true, sec(2))
	w.is(Wait, v, c, 1)
	v, c = w.g.Look(false, sec(3))
	w.is(Check, v, c, 1)
}

// TestRunDuringPreflight: whatever the answer is, that run has the change.
func TestRunDuringPreflight(t *testing.T) {
	for _, ok := range []bool{false, true} {
		w := want{t, &Gate{Config: Usual}}
		w.g.Preflight = true
		v, c := w.g.Seen(change(1), false, sec(1))
		w.is(Check, v, c, 1)
		w.g.Started()
		v, c = w.g.Checked(ok, false, sec(2))
		w.is(Nothing, v, c, 0)
	}
}

func TestNothingInTheWayPasses(t *testing.T) {
	w := want{t, &Gate{Config: Usual}}
	v, c := w.g.Seen(change(1), false, sec(1))
	w.is(Pass, v, c, 1)
	v, c = w.g.Look(false, sec(2))
	w.is(Nothing, v, c, 0)
}

func TestHeldChangesAddUpAndPassOnce(t *testing.T) {
	w := want{t, &Gate{Config: Usual}}
	v, c := w.g.Seen(change(1), true, sec(1))
	w.is(Wait, v, c, 1)
	v, c = w.g.Seen(Change{Path: "b.py", Count: 2, Last: sec(2)}, true, sec(2))
	w.is(Nothing, v, c, 0) // it was said already
	v, c = w.g.Look(true, sec(3))
	w.is(Nothing, v, c, 0)
	v, c = w.g.Look(false, sec(4))
	w.is(Pass, v, c, 3)
	if c.Path != "a.py" || !c.Last.Equal(sec(2)) {
		t.Errorf("passed %+v", c)
	}
	v, c = w.g.Look(false, sec(5))
	w.is(Nothing, v, c, 0)
}

func TestNewRunHasSeenWhatWaits(t *testing.T) {
	w := want{t, &Gate{Config: Usual}}
	v, c := w.g.Seen(change(1), true, sec(1))
	w.is(Wait, v, c, 1)
	w.g.Started()
	v, c = w.g.Look(false, sec(2))
	w.is(Nothing, v, c, 0)
	v, c = w.g.Seen(change(3), true, sec(3)) // and the next one is told again
	w.is(Wait, v, c, 1)
}

func TestPreflightDecides(t *testing.T) {
	w := want{t, &Gate{Config: Usual}}
	w.g.Preflight = true
	for i, ok := range []bool{false, true} {
		v, c := w.g.Seen(change(i), false, sec(i))
		w.is(Check, v, c, 1)
		v, c = w.g.Checked(ok, false, sec(i))
		w.is(map[bool]Verdict{false: Fail, true: Pass}[ok], v, c, 1)
	}
}

// Whatever the preflight says of what has changed meanwhile, it is not said of
// what lies there now.
func TestChangeDuringPreflightIsCheckedAgain(t *testing.T) {
	for _, ok := range []bool{false, true} {
		w := want{t, &Gate{Config: Usual}}
		w.g.Preflight = true
		v, c := w.g.Seen(change(1), false, sec(1))
		w.is(Check, v, c, 1)
		v, c = w.g.Seen(Change{Path: "b.py", Count: 1, Last: sec(2)}, false, sec(2))
		w.is(Nothing, v, c, 0)
		v, c = w.g.Checked(ok, false, sec(2))
		w.is(Nothing, v, c, 0)
		v, c = w.g.Look(false, sec(3))
		w.is(Check, v, c, 2)
		v, c = w.g.Checked(true, false, sec(3))
		w.is(Pass, v, c, 2)
		if !c.Last.Equal(sec(2)) {
			t.Errorf("passed %+v", c)
		}
	}
}

func TestTenRestartsInAMinuteAreALoop(t *testing.T) {
	for _, preflight := range []bool{false, true} {
		w := want{t, &Gate{Config: Usual}}
		w.g.Preflight = preflight
		for i := range 10 {
			if shut, _ := w.g.Shut(); shut {
				t.Fatalf("shut after %d", i)
			}
			v, c := w.seen(i * 6)
			if preflight {
				w.is(Check, v, c, 1)
				v, c = w.g.Checked(false, false, sec(i*6))
				w.is(Fail, v, c, 1)
			} else {
				w.is(Pass, v, c, 1)
			}
		}
		if shut, n := w.g.Shut(); !shut || n != 10 {
			t.Fatalf("after ten: shut %v, count %d", shut, n)
		}
		v, c := w.g.Seen(change(100), false, sec(100))
		w.is(Nothing, v, c, 0)
		w.g.Open()
		v, _ = w.g.Seen(change(101), false, sec(101))
		if v == Nothing {
			t.Error("still shut after a restart was asked for")
		}
	}
}

func TestTenRestartsInMoreThanAMinuteAreWork(t *testing.T) {
	w := want{t, &Gate{Config: Usual}}
	for i := range 100 {
		v, c := w.seen(i * 7)
		w.is(Pass, v, c, 1)
	}
	if len(w.g.passed) > 10 {
		t.Errorf("%d times are remembered", len(w.g.passed))
	}
}
