package main

import "testing"

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"5.11.0":                 true,
		"5.11":                   true,
		"5.11-rc1":               true,
		"5.10.99":                false,
		"5.9.16":                 false,
		"4.19.0-26-amd64":        false,
		"6.0":                    true,
		"6.1.0-18-amd64":         true,
		"10.0.0":                 true,
		"5.110.1":                true,
		"5.15.167.4-WSL2":        true,
		"3.10.0-1160.el7":        false,
		"":                       false,
		"6":                      false,
		"linux":                  false,
		"99999999999999999999.1": false,
	} {
		if got := atLeast(release, 5, 11); got != want {
			t.Errorf("atLeast(%q, 5, 11) = %v", release, got)
		}
	}
}
