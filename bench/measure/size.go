//go:build linux

package main

import "os"

// size is what the programs take on a disk, stripped.
func (b *bench) size() []section {
	s := section{what: "size, stripped", unit: "MB", digits: 2, ref: "Go hello", budget: fixed("≤ 4.5 MB", 4.5)}
	for _, f := range []struct {
		name, path string
		ours       bool
	}{
		{"ductor-lock", b.ours("ductor-lock"), true},
		{"ductor-supervise", b.ours("ductor-supervise"), true},
		{"Go hello", b.helper("hello"), false},
		{"kong hello", b.helper("konghello"), false},
	} {
		r := row{name: f.name, ours: f.ours}
		info, err := os.Stat(f.path)
		if r.err = err; err == nil {
			r.values = []float64{float64(info.Size()) / 1e6}
		}
		s.rows = append(s.rows, r)
	}
	return []section{s}
}
