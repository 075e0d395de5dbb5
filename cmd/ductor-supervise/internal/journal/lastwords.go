package journal

import (
	"slices"
	"strings"
	"unicode"
)

// expected are the codes of ends that need no explanation: the bot was done,
// asked to be restarted, or was asked to end by HUP, INT or TERM.
var expected = []int{0, 42, 128 + 1, 128 + 2, 128 + 15}

// Of the last words of a bot that crashed so much stands in the line for
// people: a traceback has the place and the reason there.
const (
	wordLines = 3
	wordRunes = 300
)

// lastWords is the end of what the bot wrote before a crash, a few lines with
// nothing in it that could talk to a terminal.
func (e Event) lastWords() string {
	if slices.Contains(expected, e.code()) {
		return ""
	}
	var last []string
	for line := range strings.Lines(e.Tail) {
		if line = strings.TrimSpace(plain(line)); line != "" {
			last = append(last, line)
		}
	}
	text := []rune(strings.Join(last[max(0, len(last)-wordLines):], "\n"))
	if len(text) > wordRunes {
		text = append([]rune("…"), text[len(text)-wordRunes:]...)
	}
	return string(text)
}

// plain drops escape sequences (ECMA-48: ESC, "[", parameters, one letter) and
// what else is not to be seen.
func plain(line string) string {
	var b strings.Builder
	const text, escape, sequence = 0, 1, 2
	state := text
	for _, r := range line {
		switch {
		case r == 0x1b:
			state = escape
		case state == escape && r == '[':
			state = sequence
		case state == escape, state == sequence && r >= 0x40 && r <= 0x7e:
			state = text
		case state == text && (r == '\t' || r == '\r'):
			b.WriteByte(' ')
		case state == text && unicode.IsPrint(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}
