package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

const (
	lastLines = 6    // of the output, that an error quotes
	maxLine   = 2000 // bytes; the rest of a longer line is dropped
)

// log is what a build says, as lines.
type log struct {
	progress io.Writer
	last     []string
	part     strings.Builder   // of a line
	pulling  map[string]string // the last status of each layer
}

// message is one of the daemon's. Its error comes inside a stream whose status
// was 200.
type message struct {
	Stream, Status, ID string
	ErrorDetail        *struct{ Message string }
	Error              string
	Aux                *struct{ ID string }
}

// buildError is what the daemon says when a build fails.
type buildError struct{ text string }

func (e *buildError) Error() string { return e.text }

// follow reads the messages to their end and returns the ID of the image.
func follow(r io.Reader, out *log) (id string, err error) {
	defer out.flush()
	for dec := json.NewDecoder(r); ; {
		var m message
		switch err := dec.Decode(&m); {
		case errors.Is(err, io.EOF):
			return id, nil
		case err != nil:
			return "", fmt.Errorf("read progress: %w", err)
		case m.ErrorDetail != nil:
			return "", &buildError{m.ErrorDetail.Message}
		case m.Error != "":
			return "", &buildError{m.Error}
		case m.Aux != nil:
			id = m.Aux.ID
		}
		out.add(m)
	}
}

// add leaves out bars: the state of a layer is said when it changes.
func (l *log) add(m message) {
	switch {
	case m.Status != "" && m.ID == "":
		l.line(m.Status)
	case m.Status != "" && l.pulling[m.ID] != m.Status:
		if l.pulling == nil {
			l.pulling = map[string]string{}
		}
		l.pulling[m.ID] = m.Status
		l.line(m.ID + ": " + m.Status)
	}
	for _, r := range m.Stream {
		switch {
		case r == '\n' || r == '\r':
			l.flush()
		case l.part.Len() < maxLine:
			l.part.WriteRune(r)
		}
	}
}

func (l *log) flush() {
	text := l.part.String()
	l.part.Reset()
	l.line(text)
}

func (l *log) line(text string) {
	text = strings.TrimRight(plain(text), " ")
	if text == "" {
		return
	}
	if !isFrame(text) {
		l.last = append(l.last, text)
		l.last = l.last[max(0, len(l.last)-lastLines):]
	}
	if l.progress != nil {
		// Who listens may go away; the build goes on.
		_, _ = io.WriteString(l.progress, text+"\n")
	}
}

// isFrame: what the builder says around the output of a step.
func isFrame(text string) bool {
	return strings.HasPrefix(text, " ---> ") || strings.HasPrefix(text, "Removing intermediate container ")
}

// escape is a control sequence or a title of ECMA-48.
var escape = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]`)
})

// plain makes a text of the daemon, or of what it ran, safe to print: no
// colours, and a ? for what could steer a terminal or reorder the line.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, escape().ReplaceAllString(strings.ToValidUTF8(s, "?"), ""))
}
