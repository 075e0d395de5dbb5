package main

import (
	"bytes"
	"strings"
	"testing"

	"ductor/internal/common/cli"
)

func TestFit(t *testing.T) {
	for _, tt := range []struct {
		line  string
		width int
		want  string
	}{
		{"as it is", 0, "as it is"},
		{"1234567", 8, "1234567"},
		{"12345678", 8, "123456…"}, // the last column stays free
		{"123456789", 8, "123456…"},
		{"\x1b[31mred\x1b[0m", 4, "\x1b[31mred\x1b[0m"},
		{"\x1b[31mredder\x1b[0m", 6, "\x1b[31mredd…"},
		{"日本語日本語", 8, "日本語…"},
		{"✅✅✅✅", 6, "✅✅…"},
		{"größer als", 8, "größer…"},
		{strings.Repeat("x", 500), 2, "…"},
	} {
		if got := (screen{width: tt.width}).fit(tt.line); got != tt.want {
			t.Errorf("%q in %d: %q, want %q", tt.line, tt.width, got, tt.want)
		}
	}
	if got := (screen{width: 6, ansi: true}).fit("\x1b[31mredder\x1b[0m"); got != "\x1b[31mredd…\x1b[0m" {
		t.Errorf("the colour goes on: %q", got)
	}
}

func TestAlign(t *testing.T) {
	got := align([][]string{{"a", "日本", "c"}, {"\x1b[31mlong\x1b[0m", "b", "c"}, {"", "x", ""}, {"only"}})
	want := []string{"a     日本  c", "\x1b[31mlong\x1b[0m  b     c", "      x", "only"}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{"grün\tund日": "grün und日", "a\x1b[2Jb\r\nc\x7f": "a?[2Jb??c?", "\u202eback\u009b1": "?back?1", "\xff": "\ufffd"} {
		if got := plain(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestNoScreen: what is no terminal gets whole lines without colours.
func TestNoScreen(t *testing.T) {
	std := &cli.IO{Out: &bytes.Buffer{}, Getenv: func(string) string { return "" }}
	if got := screenOf(std); got != (screen{}) {
		t.Errorf("%+v", got)
	}
	if got := (screen{}).paint(red, "x") + (screen{ansi: true}).paint("", "x"); got != "xx" {
		t.Errorf("%q", got)
	}
}
