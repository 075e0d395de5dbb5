//go:build linux

package main

import (
	"math/rand/v2"
	"path/filepath"
)

// rounds of short programs, and how many before them do not count: caches are
// to be warm.
const (
	shortRounds = 300
	warmUp      = 10
)

// contender is a short program in a comparison.
type contender struct {
	name string
	ours bool
	argv []string
}

// compare runs every contender once a round, in an order that changes, so that
// what disturbs the machine disturbs all alike.
func (b *bench) compare(list []contender) []row {
	rows := make([]row, len(list))
	for i, c := range list {
		rows[i] = row{name: c.name, ours: c.ours}
	}
	for n := range warmUp + shortRounds {
		for _, i := range rand.Perm(len(list)) {
			if rows[i].err != nil {
				continue
			}
			took, err := b.timeRun(list[i].argv)
			if rows[i].err = err; err == nil && n >= warmUp {
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
		rows: b.compare([]contender{
			{"ductor-lock --version", true, []string{b.ours("ductor-lock"), "--version"}},
			{"ductor-supervise --version", true, []string{b.ours("ductor-supervise"), "--version"}},
			{"true", false, []string{b.find("true")}},
			{"Go hello", false, []string{b.helper("hello")}},
			{"kong hello", false, []string{b.helper("konghello"), "--version"}},
		}),
	}}
}

// lock is what it costs to run something under a lock that is free.
func (b *bench) lock() []section {
	dir := b.folder("lock")
	nothing := b.find("true")
	list := []contender{{"ductor-lock run F -- true", true, []string{b.ours("ductor-lock"), "run", filepath.Join(dir, "ours"), "--", nothing}}}
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
		rows:   b.compare(list),
	}}
}

func label(name string, args []string, tail string) string {
	for _, a := range args {
		name += " " + a
	}
	return name + " " + tail
}
