package install

import (
	"bytes"
	"path"
	"strconv"
	"strings"
	"unicode"
)

// launcher is where a script says that its Python is.
type launcher struct {
	python string
	search bool // a name, to be looked for on PATH
	beside bool // a name, in the folder of the script with links followed
}

var (
	// pythons also has other implementations of the language.
	pythons = pattern(`(?i)\A(?:pythonw?|pypyw?|graalpy)[0-9.]*t?(?:\.exe)?\z`)
	// relocatable is what uv writes for environments that may be moved.
	relocatable = pattern(`\A"\$\(dirname -- "\$\(realpath (?:-- )?"\$0"\)"\)"/'?([A-Za-z0-9._-]+)'?(?:\s|\z)`)
	// appended is what distlib's launchers for Windows end with, and uv's hold as
	// a resource: a first line, and a zip of the script.
	appended = pattern(`#!([^\r\n]+)\r?\n(?:\r?\n)?PK\x03\x04`)
)

// parseScript reads the first lines of a script: "#!PYTHON", "#!/usr/bin/env
// PYTHON", or the shell trick for interpreters whose path is too long or has
// a space, which kernels cannot express.
func parseScript(head []byte) (launcher, bool) {
	first, rest, _ := bytes.Cut(head, []byte("\n"))
	line, ok := strings.CutPrefix(string(first), "#!")
	if !ok {
		return launcher{}, false
	}
	line = strings.TrimSpace(line)
	word, args := cutWord(line)
	switch base(word) {
	case "sh", "bash", "dash":
		second, _, _ := bytes.Cut(rest, []byte("\n"))
		return parseTrick(strings.TrimSpace(string(second)))
	case "env":
		return parseEnv(args)
	}
	return python(word)
}

// parseTrick reads ”'exec' PYTHON "$0" "$@", which is a command for a shell and
// the beginning of a string for Python.
func parseTrick(line string) (launcher, bool) {
	rest, ok := strings.CutPrefix(line, `'''exec' `)
	if !ok {
		return launcher{}, false
	}
	if m := relocatable().FindStringSubmatch(rest); m != nil {
		return launcher{python: m[1], beside: true}, pythons().MatchString(m[1])
	}
	word, _ := cutWord(rest)
	return python(word)
}

// parseEnv reads the arguments of env(1): options, assignments, the command.
func parseEnv(args string) (launcher, bool) {
	for args != "" {
		var word string
		word, args = cutWord(args)
		if rest, ok := strings.CutPrefix(word, "--split-string="); ok {
			word = rest
		} else if rest, ok := strings.CutPrefix(word, "-S"); ok && rest != "" {
			word = rest
		}
		switch {
		case word == "-u":
			_, args = cutWord(args)
		case strings.HasPrefix(word, "-"), strings.Contains(word, "="):
		case strings.Contains(word, "/"):
			return python(word)
		default:
			return launcher{python: word, search: true}, pythons().MatchString(word)
		}
	}
	return launcher{}, false
}

// parseExe reads a launcher for Windows.
func parseExe(data []byte) (launcher, bool) {
	found := appended().FindAllSubmatch(data, -1)
	if len(found) == 0 {
		return launcher{}, false
	}
	line := strings.TrimSpace(string(found[len(found)-1][1]))
	word, _ := cutWord(line)
	if strings.HasPrefix(line, `"`) || pythons().MatchString(base(word)) {
		return python(word)
	}
	return python(line) // a path with spaces that nobody quoted
}

func python(path string) (launcher, bool) {
	return launcher{python: path}, pythons().MatchString(base(path)) && !strings.ContainsFunc(path, unicode.IsControl)
}

// base is the last part of a path of either system.
func base(p string) string { return path.Base(strings.ReplaceAll(p, `\`, "/")) }

// cutWord returns the first word of a line, as a shell reads it as far as
// scripts use it: quotes may be of either kind and stand next to each other. A
// backslash is an ordinary character, because it is in paths of Windows.
func cutWord(line string) (word, rest string) {
	line = strings.TrimLeft(line, " \t")
	var b strings.Builder
	var open rune
	for i, c := range line {
		switch {
		case open == 0 && (c == ' ' || c == '\t'):
			return b.String(), strings.TrimLeft(line[i:], " \t")
		case open == 0 && (c == '"' || c == '\''):
			open = c
		case c == open:
			open = 0
		default:
			b.WriteRune(c)
		}
	}
	return b.String(), ""
}

func quote(s string) string { return strconv.Quote(s) }
