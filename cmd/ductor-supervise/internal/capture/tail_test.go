package capture

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTail(t *testing.T) {
	for name, test := range map[string]struct {
		limit    int
		in, want string
	}{
		"all":              {10, "one\ntwo\n", "one\ntwo"},
		"from a line":      {8, "one\ntwo\nthree\n", "three"},
		"just a line":      {6, "one\ntwo\nthree\n", "three"},
		"part of the last": {5, "one\ntwo\nthree\n", "hree"},
		"two whole":        {10, "one\ntwo\nthree\n", "two\nthree"},
		"one long line":    {4, strings.Repeat("x", 100) + "1234", "1234"},
		"half a character": {4, "xx€€", "€"},
		"not UTF-8":        {20, "a\xff\xfeb\n", "a\uFFFDb"},
		"grows by that":    {4, "\xffa\xffb\xffc", "\uFFFDc"},
		"none":             {0, "x", ""},
		"empty":            {10, "", ""},
		"windows":          {10, "one\r\ntwo\r\n", "one\r\ntwo"},
	} {
		tail := newTail(test.limit)
		for _, b := range []byte(test.in) {
			tail.add([]byte{b})
		}
		if got := tail.text(); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		tail = newTail(test.limit)
		tail.add([]byte(test.in))
		if got := tail.text(); got != test.want {
			t.Errorf("%s, at once: %q, want %q", name, got, test.want)
		}
	}
}

// TestTailIsTheEnd of whatever comes, in whatever pieces, and bounded.
func TestTailIsTheEnd(t *testing.T) {
	letters := []string{"a", "b", "\n", "€", "\xff"}
	for range 2000 {
		limit := 1 + rand.IntN(50)
		tail := newTail(limit)
		var all strings.Builder
		for range rand.IntN(30) {
			var piece strings.Builder
			for range rand.IntN(40) {
				piece.WriteString(letters[rand.IntN(len(letters))])
			}
			tail.add([]byte(piece.String()))
			all.WriteString(piece.String())
			if cap(tail.buf) > 8*(limit+1)+64 {
				t.Fatalf("%d bytes for a limit of %d", cap(tail.buf), limit)
			}
		}
		got := tail.text()
		want := strings.TrimRight(strings.ToValidUTF8(all.String(), "\uFFFD"), "\r\n")
		at := len(want) - len(got)
		switch {
		case len(got) > limit || !utf8.ValidString(got):
			t.Fatalf("limit %d: %q", limit, got)
		case !strings.HasSuffix(want, strings.TrimLeft(got, "\uFFFD")):
			t.Fatalf("%q is not the end of %q", got, want)
		case at > 0 && strings.Contains(got, "\n") && want[at-1] != '\n':
			t.Fatalf("%q of %q does not begin with a line", got, want)
		case all.Len() <= limit && utf8.ValidString(all.String()) && got != want:
			t.Fatalf("%q, want all of %q", got, want)
		}
	}
}
