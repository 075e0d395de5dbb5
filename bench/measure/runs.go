//go:build linux

package main

import (
	"math/rand/v2"
	"path/filepath"
)

// shortRounds are those of short programs.
const shortRounds = 300

// warmUp is how many rounds before so many do not count: caches are to be warm.
func warmUp(rounds int) int { return max(1, rounds/30) }

// contender is a short program in a comparison.
type contender struct {
	name string
	ours bool
	argv []string
	env  []string // see spec
}

// compare runs every contender once a round, in an order that changes, so that
// what disturbs the machine disturbs all alike.
func (b *bench) compare(rounds int, list []contender) []row { return b.compareCrowds(rounds, 1, list) }

// compareCrowds is compare with n of a contender at once, until the last is done.
func (b *bench) compareCrowds(rounds, n int, list []contender) []row {
	rows := make([]row, len(list))
	for i, c := range list {
		rows[i] = row{name: c.name, ours: c.ours}
	}
	for round := range warmUp(rounds) + rounds {
		for _, i := range rand.Perm(len(list)) {
			if rows[i].err != nil {
				continue
			}
			took, err := b.timeRuns(n, spec{argv: list[i].argv, env: list[i].env, quiet: true})
			if rows[i].err = err; err == nil && round >= warmUp(rounds) {
				rows[i].values = append(rows[i].values, took.Seconds()*1e3)
			}
		}
	}
	return rows
}

// start is what a program costs that does next to nothing.
func (b *bench) start() []section {
	return []section{{
		what: "start", unit: "ms", digits: 2, ref: "true",
		budget: atMost("≤ 2 × true + 1 ms", 2, "true", 1),
		rows: b.compare(shortRounds, []contender{
			{"ductor-lock --version", true, []string{b.ours("ductor-lock"), "--version"}, nil},
			{"ductor-supervise --version", true, []string{b.ours("ductor-supervise"), "--version"}, nil},
			{"true", false, []string{b.find("true")}, nil},
			{"Go hello", false, []string{b.helper("hello")}, nil},
			{"kong hello", false, []string{b.helper("konghello"), "--version"}, nil},
		}),
	}}
}

// lock is what it costs to run something under a lock that is free.
func (b *bench) lock() []section {
	dir := b.folder("lock")
	nothing := b.find("true")
	list := []contender{{"ductor-lock run F -- true", true, []string{b.ours("ductor-lock"), "run", filepath.Join(dir, "ours"), "--", nothing}, nil}}
	for _, peer := range []struct {
		name string
		args []string
	}{{"flock", nil}, {"setlock", nil}, {"s6-setlock", nil}, {"chpst", []string{"-l"}}} {
		if path := b.find(peer.name); path != "" {
			argv := append(append([]string{path}, peer.args...), filepath.Join(dir, peer.name), nothing)
			list = append(list, contender{name: label(peer.name, peer.args, "F true"), argv: argv})
		}
	}
	return []section{{
		what: "run under a lock", unit: "ms", digits: 2, ref: "flock F true",
		budget: atMost("≤ 2 × flock (goal 1.5)", 2, "flock F true", 0),
		rows:   b.compare(shortRounds, list),
	}}
}

func label(name string, args []string, tail string) string {
	for _, a := range args {
		name += " " + a
	}
	return name + " " + tail
}
