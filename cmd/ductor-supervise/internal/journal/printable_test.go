package journal

import "testing"

// TestForgedLine: a file's name can hold anything but a slash.
func TestForgedLine(t *testing.T) {
	e := Event{Type: Change, Path: "x\n2026-01-01 00:00:00 supervisor ends\x1b[31m\u009b1m\u202e\t\xff", Count: 1}
	want := "changed: x\n    2026-01-01 00:00:00 supervisor ends?[31m?1m? \ufffd"
	if got := e.Printable(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
