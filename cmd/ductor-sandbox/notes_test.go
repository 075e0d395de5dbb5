package main

import (
	"bytes"
	"strings"
	"testing"

	"ductor/cmd/ductor-sandbox/internal/inside"
)

// TestNotes: our lines are taken out however they are cut, and nothing else is.
func TestNotes(t *testing.T) {
	prefix := inside.Prefix("ID")
	refused, died := prefix+inside.Refused+"no such file\n", prefix+inside.Signal+"SIGTERM\n"
	for _, tt := range []struct{ in, out, refusal, signal string }{
		{"", "", "", ""},
		{"words\n", "words\n", "", ""},
		{refused, "", "no such file", ""},
		{refused + "more\n", "more\n", "", ""}, // it says that nothing was started
		{"a" + refused, "a", "", ""},
		{died, "", "", "SIGTERM"},
		{prefix + "ended\n", "", "", ""},
		{"a\x00b" + died, "a\x00b", "", "SIGTERM"},
		{died + refused, "", "", ""},
		{died[:9] + died, died[:9], "", "SIGTERM"},
		{"\x00", "\x00", "", ""},
		{"a\x00duct", "a\x00duct", "", ""},
		{prefix + "unended", prefix + "unended", "", ""},
		{inside.Prefix("OTHER") + "x\n", inside.Prefix("OTHER") + "x\n", "", ""},
	} {
		for _, step := range []int{1, 2, 3, 1000} {
			var out bytes.Buffer
			n := &notes{to: &out, prefix: prefix}
			for in := []byte(tt.in); len(in) > 0; in = in[min(step, len(in)):] {
				if _, err := n.Write(in[:min(step, len(in))]); err != nil {
					t.Fatal(err)
				}
			}
			if refusal, signal, _ := n.end(); refusal != tt.refusal || signal != tt.signal || out.String() != tt.out {
				t.Errorf("%q in steps of %d: %q, %q and %q", tt.in, step, out.String(), refusal, signal)
			}
		}
	}
	var out bytes.Buffer
	long := strings.Repeat("x", 100<<10)
	n := &notes{to: &out, prefix: prefix}
	if _, _ = n.Write([]byte(prefix + long)); out.Len() != len(prefix)+len(long) {
		t.Errorf("%d bytes", out.Len())
	}
}
