package main

import (
	"strings"
	"testing"
	"time"

	"ductor/cmd/ductor-service/internal/backend"
)

func TestParseSince(t *testing.T) {
	zone := time.FixedZone("here", 2*60*60)
	now := time.Date(2026, 11, 23, 10, 30, 15, 0, zone)
	for text, want := range map[string]time.Time{
		"1h30m":                     now.Add(-90 * time.Minute),
		"0s":                        now,
		"10s":                       now.Add(-10 * time.Second),
		"10:00":                     time.Date(2026, 11, 23, 10, 0, 0, 0, zone),
		"23:59":                     time.Date(2026, 11, 23, 23, 59, 0, 0, zone),
		"2026-11-22":                time.Date(2026, 11, 22, 0, 0, 0, 0, zone),
		"2026-11-22 09:08":          time.Date(2026, 11, 22, 9, 8, 0, 0, zone),
		"2026-11-22 09:08:07":       time.Date(2026, 11, 22, 9, 8, 7, 0, zone),
		"2026-11-22T09:08:07Z":      time.Date(2026, 11, 22, 9, 8, 7, 0, time.UTC),
		"2026-11-22T09:08:07+05:30": time.Date(2026, 11, 22, 3, 38, 7, 0, time.UTC),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s, %v, not %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-1h", "10", "24:00", "2026-13-01", "2026-11-22T09:08:07", "1d", "10:00 "} {
		if got, err := parseSince(text, now); err == nil || !got.IsZero() || !strings.Contains(err.Error(), "is not a time such as") {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

// TestLines: without a number the last hundred, but all since a time.
func TestLines(t *testing.T) {
	n, when := 7, time.Unix(1, 0)
	for _, c := range []struct {
		cmd  logsCmd
		want backend.Lines
	}{
		{logsCmd{}, backend.Lines{Last: 100}},
		{logsCmd{Lines: &n}, backend.Lines{Last: 7}},
		{logsCmd{Follow: true}, backend.Lines{Last: 100, Follow: true}},
		{logsCmd{Since: since(when)}, backend.Lines{Last: -1, Since: when}},
		{logsCmd{Since: since(when), Lines: &n}, backend.Lines{Last: 7, Since: when}},
	} {
		if got := c.cmd.lines(); got != c.want {
			t.Errorf("%+v: %+v, not %+v", c.cmd, got, c.want)
		}
	}
}
