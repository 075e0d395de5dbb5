package main

import (
	"os"
	"strings"
	"unicode"

	"ductor/internal/common/cli"
)

// screen is where text for people goes. The zero screen is no terminal: lines
// are as long as they are, and plain.
type screen struct {
	width, height int  // in characters; 0 is no limit
	ansi          bool // colours are welcome, and drawing over what is there
}

// screenOf asks the terminal that standard output is, if it is one.
func screenOf(std *cli.IO) screen {
	f, ok := std.Out.(*os.File)
	if !ok {
		return screen{}
	}
	s, ok := terminalSize(f)
	if !ok {
		return screen{}
	}
	if s.width <= 0 || s.height <= 0 { // a terminal that was never told
		s.width, s.height = 80, 24
	}
	s.ansi = s.ansi && std.Getenv("NO_COLOR") == "" && std.Getenv("TERM") != "dumb"
	return s
}

// The colours, sparingly: what is well, what may become so, what is not.
const (
	green  = "32"
	yellow = "33"
	red    = "31"
)

func (s screen) paint(color, text string) string {
	if !s.ansi || color == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// fit cuts a line before the last column: a character in that one makes some
// terminals go to the next line, and others not.
func (s screen) fit(line string) string {
	if s.width == 0 || columns(line) < s.width {
		return line
	}
	used := 0
	for i, part := range parts(line) {
		if used += part; used > s.width-2 {
			line = line[:i] + "…"
			break
		}
	}
	if s.ansi {
		line += "\x1b[0m"
	}
	return line
}

// columns is how wide a line is, or a little less than that.
func columns(line string) (n int) {
	for _, part := range parts(line) {
		n += part
	}
	return n
}

// parts yields where each character of a line begins, and its width. Colours
// have none. What is sometimes wide counts as wide: too short a line does no
// harm, and one that is too long would take two.
func parts(line string) func(yield func(int, int) bool) {
	return func(yield func(int, int) bool) {
		escape := false
		for i, r := range line {
			width := 1
			switch {
			case r == '\x1b' || escape:
				escape, width = r != 'm', 0
			case r >= 0x2600 && r < 0x2800 || r >= 0x2b00 && r < 0x2c00 || r >= 0x2e80 || r >= 0x1100 && r < 0x1200:
				width = 2
			}
			if !yield(i, width) {
				return
			}
		}
	}
}

// align pads the cells of a table, two spaces between them.
func align(rows [][]string) (lines []string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columns(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", widths[i]-columns(cell)+2))
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// plain keeps somebody else's words from breaking a line, or from talking to
// the terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == ' ':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
}
