package main

import (
	"bytes"
	"strings"
	"testing"

	"ductor/cmd/ductor-sandbox/internal/inside"
)

// TestRefusal: the line is taken out however it is cut, and nothing else is.
func TestRefusal(t *testing.T) {
	prefix := inside.Prefix("ID")
	for _, tt := range []struct{ in, out, text string }{
		{"", "", ""}, {"words\n", "words\n", ""}, {prefix + "no such file\n", "", "no such file"}, {"\x00", "\x00", ""}, {prefix[:5], prefix[:5], ""},
		{inside.Prefix("OTHER") + "x\n", inside.Prefix("OTHER") + "x\n", ""}, {"a" + prefix + "b", "a" + prefix + "b", ""},
	} {
		for _, step := range []int{1, 3, 1000} {
			var out bytes.Buffer
			r := &refusal{to: &out, prefix: prefix}
			for in := []byte(tt.in); len(in) > 0; in = in[min(step, len(in)):] {
				if _, err := r.Write(in[:min(step, len(in))]); err != nil {
					t.Fatal(err)
				}
			}
			if text := r.text(); text != tt.text || out.String() != tt.out {
				t.Errorf("%q in steps of %d: %q and %q", tt.in, step, out.String(), text)
			}
		}
	}
	var out bytes.Buffer
	long := strings.Repeat("x", 100<<10)
	r := &refusal{to: &out, prefix: prefix}
	if _, _ = r.Write([]byte(prefix + long)); r.text() != "" || out.Len() != len(prefix)+len(long) {
		t.Errorf("%d bytes", out.Len())
	}
}
