package capture

import (
	"strings"
	"unicode/utf8"
)

// tail keeps the last limit bytes of what is added. A nil one keeps nothing.
type tail struct {
	limit int
	buf   []byte // at least limit+1 bytes, if there were so many: the first tells whether a line begins behind it
}

func newTail(limit int) *tail { return &tail{limit: limit} }

func (t *tail) add(p []byte) {
	if t == nil || t.limit <= 0 {
		return
	}
	keep := t.limit + 1
	if len(p) >= keep {
		t.buf, p = t.buf[:0], p[len(p)-keep:]
	} else if len(t.buf)+len(p) > 2*keep {
		t.buf = t.buf[:copy(t.buf, t.buf[len(t.buf)-keep:])]
	}
	t.buf = append(t.buf, p...)
}

// text returns at most limit bytes of valid UTF-8, without the end of the last
// line. It begins where a line begins, unless there is only one.
func (t *tail) text() string {
	if t == nil || t.limit <= 0 {
		return ""
	}
	text := strings.ToValidUTF8(lastBytes(string(t.buf), t.limit), "\uFFFD")
	return strings.TrimRight(lastBytes(text, t.limit), "\r\n") // it may have grown
}

func lastBytes(s string, limit int) string {
	from := len(s) - limit
	if from <= 0 {
		return s
	}
	if next := strings.IndexByte(s[from-1:], '\n'); next >= 0 && from+next < len(s) {
		return s[from+next:]
	}
	for from < len(s) && !utf8.RuneStart(s[from]) {
		from++
	}
	return s[from:]
}
