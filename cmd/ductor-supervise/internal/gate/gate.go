// Package gate decides which file changes may restart the bot: those that
// nobody holds back, that pass the preflight, and that do not come in a loop.
// It starts nothing and reads no clock.
package gate

import (
	"slices"
	"time"
)

// Config is the part of the command line that decisions depend on.
type Config struct {
	Preflight bool          // a change has to be checked first
	Loop      int           // so many restarts within Window are a feedback loop
	Window    time.Duration // of Loop
	Free      int           // so many within Window are at once
	Quiet     time.Duration // nothing may change for that long before the next, doubled for each further one
	Patience  time.Duration // with changes that never end
	Poll      time.Duration // how often a hold is looked at: that it grew old, or that its holder died, tells nobody
}

// Usual is the guard against a bot, or a preflight, that writes what is
// watched: 10 restarts in 60 s, as process-compose has it. Somebody who saves
// now and then, or a tool that rewrites one file after the other, does not come
// to so many: the more restarts there were, the longer it has to be quiet.
var Usual = Config{Loop: 10, Window: time.Minute, Free: 5, Quiet: 250 * time.Millisecond, Patience: 30 * time.Second, Poll: time.Second}

// Change is what was seen, or the sum of what was.
type Change struct {
	Path  string    // the first file
	Count int       // how many
	Last  time.Time // when the last of them changed
}

// Verdict is what to do about it.
type Verdict int

const (
	Nothing Verdict = iota // not now
	Wait                   // for the hold to end; told once
	Check                  // run the preflight
	Pass                   // restart
	Fail                   // the preflight said no: keep the bot that runs
)

// Gate is the state. Its zero value with a Config is ready.
type Gate struct {
	Config
	waiting  Change    // nothing while Count is 0
	since    time.Time // it waits
	due      time.Time // to look at it again
	checked  Change    // what the preflight that runs is about
	checking bool
	outdated bool // a run has begun since, which has what is checked
	told     bool // that something waits for the hold
	passed   []time.Time
	shut     bool
	seen     time.Time // the last change
}

// Waiting reports whether a change waits, for a hold to end or for quiet.
func (g *Gate) Waiting() bool { return g.waiting.Count > 0 && !g.checking }

// Due is when to look at what waits; zero is never.
func (g *Gate) Due() time.Time {
	if !g.Waiting() {
		return time.Time{}
	}
	return g.due
}

// Seen takes a change. held says whether somebody holds restarts back. After a
// loop that has come to rest it begins anew.
func (g *Gate) Seen(c Change, held bool, now time.Time) (Verdict, Change) {
	if g.shut && now.Sub(g.seen) > g.Window {
		g.Open()
	}
	g.seen = now
	if g.shut {
		return Nothing, c
	}
	g.wait(c, now)
	return g.Look(held, now)
}

// wait adds a change to what waits.
func (g *Gate) wait(c Change, now time.Time) {
	if g.waiting.Count > 0 {
		c.Path, c.Count = g.waiting.Path, g.waiting.Count+c.Count
	} else {
		g.since = now
	}
	g.waiting = c
}

// Look decides anew about what waits.
func (g *Gate) Look(held bool, now time.Time) (Verdict, Change) {
	switch {
	case !g.Waiting():
		return Nothing, Change{}
	case held:
		before := g.told
		g.told, g.due = true, now.Add(g.Poll)
		if before {
			return Nothing, g.waiting
		}
		return Wait, g.waiting
	}
	if g.due = g.settled(now); now.Before(g.due) {
		return Nothing, g.waiting
	}
	return g.try(now)
}

// settled is when it will have been quiet for long enough.
func (g *Gate) settled(now time.Time) time.Time {
	g.passed = slices.DeleteFunc(g.passed, func(t time.Time) bool { return now.Sub(t) > g.Window })
	more := len(g.passed) - g.Free
	if more < 0 {
		return now
	}
	at, most := g.seen.Add(g.Quiet<<min(more, 16)), g.since.Add(g.Patience)
	if at.After(most) {
		return most
	}
	return at
}

// try counts an attempt, and not a restart: a preflight that writes what is
// watched is a loop too.
func (g *Gate) try(now time.Time) (Verdict, Change) {
	c := g.waiting
	g.waiting, g.told = Change{}, false
	g.passed = append(g.passed, now)
	g.shut = g.Loop > 0 && len(g.passed) >= g.Loop
	if !g.Preflight {
		return Pass, c
	}
	g.checked, g.checking, g.outdated = c, true, false
	return Check, c
}

// Checked takes the preflight's answer. What changed meanwhile makes the
// answer one about yesterday, and is to be looked at next; and so does a hold
// that began meanwhile, or a run.
func (g *Gate) Checked(ok, held bool, now time.Time) (Verdict, Change) {
	g.checking = false
	switch {
	case g.outdated:
		return Nothing, g.waiting
	case g.waiting.Count > 0:
		g.waiting.Path, g.waiting.Count = g.checked.Path, g.waiting.Count+g.checked.Count
		return Nothing, g.waiting
	case ok && held:
		g.wait(g.checked, now)
		return Nothing, g.waiting
	case ok:
		return Pass, g.checked
	}
	return Fail, g.checked
}

// Shut reports whether changes are of no account any more, because they came
// in a loop, and how many restarts it took.
func (g *Gate) Shut() (loop bool, count int) { return g.shut, len(g.passed) }

// Open forgets the loop: somebody asked for a restart.
func (g *Gate) Open() { g.shut, g.passed = false, nil }

// Started forgets what waits, and what is checked: the new run has seen it.
func (g *Gate) Started() { g.waiting, g.told, g.outdated = Change{}, false, true }
