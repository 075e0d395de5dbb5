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
}

// Usual is the guard against a bot, or a preflight, that writes what is
// watched: 10 restarts in 60 s, as process-compose has it.
var Usual = Config{Loop: 10, Window: time.Minute}

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
	waiting  Change // nothing while Count is 0
	checked  Change // what the preflight that runs is about
	checking bool
	told     bool // that something waits for the hold
	passed   []time.Time
	shut     bool
}

// Waiting reports whether a change waits for a hold to end, which somebody has
// to look at.
func (g *Gate) Waiting() bool { return g.waiting.Count > 0 && !g.checking }

// Seen takes a change. held says whether somebody holds restarts back.
func (g *Gate) Seen(c Change, held bool, now time.Time) (Verdict, Change) {
	if g.shut {
		return Nothing, c
	}
	if g.waiting.Count > 0 {
		c.Path, c.Count = g.waiting.Path, g.waiting.Count+c.Count
	}
	g.waiting = c
	return g.Look(held, now)
}

// Look decides anew about what waits.
func (g *Gate) Look(held bool, now time.Time) (Verdict, Change) {
	switch {
	case !g.Waiting():
		return Nothing, Change{}
	case held && g.told:
		return Nothing, g.waiting
	case held:
		g.told = true
		return Wait, g.waiting
	}
	return g.try(now)
}

// try counts an attempt, and not a restart: a preflight that writes what is
// watched is a loop too.
func (g *Gate) try(now time.Time) (Verdict, Change) {
	c := g.waiting
	g.waiting, g.told = Change{}, false
	g.passed = slices.DeleteFunc(g.passed, func(t time.Time) bool { return now.Sub(t) > g.Window })
	g.passed = append(g.passed, now)
	g.shut = g.Loop > 0 && len(g.passed) >= g.Loop
	if !g.Preflight {
		return Pass, c
	}
	g.checked, g.checking = c, true
	return Check, c
}

// Checked takes the preflight's answer. What changed meanwhile makes the
// answer one about yesterday, and is to be looked at next.
func (g *Gate) Checked(ok bool) (Verdict, Change) {
	g.checking = false
	switch {
	case g.waiting.Count > 0:
		g.waiting.Path, g.waiting.Count = g.checked.Path, g.waiting.Count+g.checked.Count
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

// Started forgets what waits: the new run has seen it.
func (g *Gate) Started() { g.waiting, g.told = Change{}, false }
