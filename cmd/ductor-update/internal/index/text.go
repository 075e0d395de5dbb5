package index

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// escapes are whole sequences of a terminal, so that no "[31m" remains.
var escapes = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]" + // CSI
		"|(?:\x1b[\\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\x07\x1b\u009c]*(?:\x07|\x1b\\\\|\u009c)?" + // OSC, DCS …
		"|\x1b[ -/]*[0-~]")
})

// Clean makes a text of a stranger safe to print: without terminal escapes,
// control characters, and marks that reorder what is read. Tabs and line ends
// stay if lines is true and are blanks otherwise. At most limit bytes are
// kept; "…" then takes the place of the rest.
func Clean(s string, lines bool, limit int) string {
	if len(s) > 4*limit {
		s = s[:4*limit] // escapes take room, but not any room
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	s = escapes().ReplaceAllString(s, "")
	s = strings.TrimSpace(strings.Map(func(r rune) rune { return cleanRune(r, lines) }, s))
	if len(s) <= limit {
		return s
	}
	cut := max(0, limit-len("…"))
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimSpace(s[:cut]) + "…"
}

func cleanRune(r rune, lines bool) rune {
	switch {
	case r == '\n' || r == '\t':
		if lines {
			return r
		}
		return ' '
	case r == '\u200d': // joins emoji
		return r
	case r == '\u2028' || r == '\u2029':
		return ' '
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
		return -1
	}
	return r
}

// inline is Clean for a word within a message.
func inline(s string) string { return Clean(s, false, 200) }

func quotePath(path string) string { return strconv.Quote(path) }
