// Package notify speaks sd_notify(3): Socket hears what the child has to say,
// Manager tells the service manager above us.
package notify

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Message is what one datagram said, or several that were coalesced.
type Message struct {
	PID                                int // of the sender; 0 if that is not known, or if it was several
	Ready, Stopping, Watchdog, Trigger bool
	Status                             *string       // nil if nothing was said; "" takes back what was
	Extend                             time.Duration // EXTEND_TIMEOUT_USEC, from now; 0 if nothing was said
}

// maxExtend bounds one message: a bot that needs longer says so again.
const maxExtend = time.Hour

// maxStatus is in bytes. A status is a line for people.
const maxStatus = 1 << 10

// Parse reads a datagram: lines of KEY=VALUE. What it does not know or
// understand it passes over, as sd_notify(3) asks for. Like systemd it ends at
// the first NUL, which a sender in C may have sent along; of a key that
// comes twice the last one counts.
func Parse(datagram []byte) (m Message) {
	datagram, _, _ = bytes.Cut(datagram, []byte{0})
	for line := range bytes.SplitSeq(datagram, []byte{'\n'}) {
		key, value, _ := bytes.Cut(line, []byte{'='})
		switch string(key) {
		case "READY":
			m.Ready = m.Ready || string(value) == "1"
		case "STOPPING":
			m.Stopping = m.Stopping || string(value) == "1"
		case "WATCHDOG":
			m.Watchdog = m.Watchdog || string(value) == "1"
			m.Trigger = m.Trigger || string(value) == "trigger"
		case "STATUS":
			text := clean(value)
			m.Status = &text
		case "EXTEND_TIMEOUT_USEC":
			if usec, err := strconv.ParseInt(string(value), 10, 64); err == nil && usec > 0 {
				m.Extend = time.Duration(min(usec, maxExtend.Microseconds())) * time.Microsecond
			}
		}
	}
	return m
}

// clean makes of a status what may stand in a file of ours and on a terminal:
// at most maxStatus bytes of UTF-8 in one line, without control characters and
// without those that turn the direction of writing.
func clean(value []byte) string {
	if len(value) > maxStatus {
		end := maxStatus
		for end > 0 && !utf8.RuneStart(value[end]) {
			end--
		}
		// Bytes that are no text have no start to go back to.
		if maxStatus-end >= utf8.UTFMax {
			end = maxStatus
		}
		value = value[:end]
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(value), "?"))
}

// then is m and what came after it, in one message.
func (m Message) then(next Message) Message {
	if m.PID != next.PID {
		next.PID = 0
	}
	next.Ready = next.Ready || m.Ready
	next.Stopping = next.Stopping || m.Stopping
	next.Watchdog = next.Watchdog || m.Watchdog
	next.Trigger = next.Trigger || m.Trigger
	if next.Status == nil {
		next.Status = m.Status
	}
	if next.Extend == 0 {
		next.Extend = m.Extend
	}
	return next
}
