//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

// table is the result of one run.
type table struct {
	machine  string
	sections []section
	missing  []string
}

// section is one thing that was measured, of several programs.
type section struct {
	what   string
	unit   string
	digits int // behind the point
	ref    string
	budget func(section) (text string, limit float64)
	rows   []row
	note   string
}

// row is one program in a section.
type row struct {
	name   string
	ours   bool      // the budget is for it
	values []float64 // in the unit; empty is "it did not work"
	extra  string    // in place of the 90th percentile
	err    error
}

// median returns the middle of the values, or NaN.
func (r row) median() float64 { return percentile(r.values, 50) }

// percentile returns NaN when there are no values.
func percentile(values []float64, p int) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	return s[min(len(s)*p/100, len(s)-1)]
}

// of returns the median of a program of the section, or NaN.
func (s section) of(name string) float64 {
	for _, r := range s.rows {
		if r.name == name {
			return r.median()
		}
	}
	return math.NaN()
}

func (t table) print(w io.Writer) {
	tw := tabwriter.NewWriter(&trimmer{w: w}, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "what\tprogram\tmedian\tp90\tratio\tbudget\t")
	for _, s := range t.sections {
		for i, r := range s.rows {
			what := s.what
			if i > 0 {
				what = ""
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\n", what, r.name, strings.Join(s.cells(r), "\t"))
		}
	}
	tw.Flush()
	fmt.Fprintln(w)
	for _, s := range t.sections {
		if s.note != "" {
			fmt.Fprintf(w, "%s: %s\n", s.what, s.note)
		}
		for _, r := range s.rows {
			if r.err != nil {
				fmt.Fprintf(w, "%s: %s: %v\n", s.what, r.name, r.err)
			}
		}
	}
	fmt.Fprintln(w, t.machine)
	missing := "none"
	if len(t.missing) > 0 {
		missing = strings.Join(t.missing, ", ")
	}
	fmt.Fprintln(w, "peers that are missing:", missing)
}

// trimmer drops the blanks with which tabwriter fills empty cells.
type trimmer struct {
	w    io.Writer
	line []byte
}

func (t *trimmer) Write(p []byte) (int, error) {
	for _, c := range p {
		if t.line = append(t.line, c); c == '\n' {
			if _, err := t.w.Write(append(bytes.TrimRight(t.line, " \n"), '\n')); err != nil {
				return 0, err
			}
			t.line = t.line[:0]
		}
	}
	return len(p), nil
}

// cells are median, p90, ratio, budget, verdict.
func (s section) cells(r row) []string {
	cells := []string{s.number(r.median()), r.extra, "", "", ""}
	if r.extra == "" && len(r.values) > 1 {
		cells[1] = s.number(percentile(r.values, 90))
	}
	if ref := s.of(s.ref); !math.IsNaN(ref) && ref > 0 && len(r.values) > 0 {
		cells[2] = fmt.Sprintf("%.2f", r.median()/ref)
	}
	if r.ours && s.budget != nil {
		text, limit := s.budget(s)
		cells[3], cells[4] = text, verdict(r.median(), limit)
	}
	return cells
}

func (s section) number(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", s.digits, v, s.unit))
}

// verdict: a budget that cannot be computed, for want of the peer, is not met.
func verdict(v, limit float64) string {
	switch {
	case math.IsNaN(v) || math.IsNaN(limit):
		return "not judged"
	case v <= limit:
		return "met"
	}
	return "MISSED"
}

// atMost is a budget of factor times a program of the section, plus a constant.
func atMost(text string, factor float64, name string, plus float64) func(section) (string, float64) {
	return func(s section) (string, float64) {
		limit := factor*s.of(name) + plus
		if math.IsNaN(limit) {
			return text, limit
		}
		return text + " = " + s.number(limit), limit
	}
}

// fixed is a budget that no peer sets.
func fixed(text string, limit float64) func(section) (string, float64) {
	return func(section) (string, float64) { return text, limit }
}

// machine says where this was measured, without names.
func machine() string {
	kernel := "Linux"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		release := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
		kernel += " " + strings.Join(release[:min(2, len(release))], ".")
	}
	load := "?"
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(data), " ")
	}
	return fmt.Sprintf("machine: %d CPUs, %s, %s; load when it began: %s", runtime.NumCPU(), kernel, runtime.Version(), load)
}
