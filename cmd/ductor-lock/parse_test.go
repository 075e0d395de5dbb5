package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour:                      "0s",
		0:                               "0s",
		time.Minute - 1:                 "59s",
		time.Minute:                     "1m0s",
		time.Hour - 1:                   "59m59s",
		time.Hour:                       "1h0m",
		24*time.Hour - 1:                "23h59m",
		24 * time.Hour:                  "1d0h",
		(400*24 + 5) * time.Hour:        "400d5h",
		3*time.Hour + 4*time.Minute + 1: "3h4m",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	fits := strings.Repeat("ü", 80)
	for in, want := range map[string]string{
		"":                 "",
		"a b":              "a b",
		"a\nb\x1b[31m\x7f": "a?b?[31m?",
		fits:               fits,
		fits + "x":         strings.Repeat("ü", 79) + "…",
		"\xff\xfe":         "\ufffd\ufffd",
	} {
		got := shorten(in)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("shorten(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWaitFlag(t *testing.T) {
	for in, want := range map[string]wait{"0": 0, "0s": 0, "1.5s": wait(1500 * time.Millisecond), "2h3m": wait(123 * time.Minute), "forever": forever} {
		var w wait = 42
		if err := w.UnmarshalText([]byte(in)); err != nil || w != want {
			t.Errorf("%q: %v, %v; want %v", in, w, err, want)
		}
	}
	// -1ns would be "forever" if it got through.
	for _, in := range []string{"", "5", "soon", "-1ns", "-1s", "Forever", "forever ", "1s forever", "9999999999h"} {
		var w wait = 42
		if err := w.UnmarshalText([]byte(in)); err == nil || w != 42 {
			t.Errorf("%q was taken for %v", in, w)
		}
	}
}
