package notify

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	text := func(s string) *string { return &s }
	long := strings.Repeat("x", maxStatus)
	for datagram, want := range map[string]Message{
		"":                             {},
		"READY=1":                      {Ready: true},
		"READY=1\n":                    {Ready: true},
		"READY=0":                      {},
		"READY=10":                     {},
		"READY":                        {},
		" READY=1":                     {},
		"ready=1":                      {},
		"READY=1\x00":                  {Ready: true},
		"\x00READY=1":                  {},
		"X=1\n\n\nREADY=1\nSTOPPING=1": {Ready: true, Stopping: true},
		"READY=1\nREADY=0":             {Ready: true},
		"WATCHDOG=1":                   {Watchdog: true},
		"WATCHDOG=trigger":             {Trigger: true},
		"BARRIER=1\nFDSTORE=1\nMAINPID=1\nERRNO=2": {},
		"STATUS=":                                  {Status: text("")},
		"STATUS=a=b":                               {Status: text("a=b")},
		"STATUS=one\nSTATUS=two":                   {Status: text("two")},
		"STATUS=a\tb\r\x1b[31mc\u0085\x7f":         {Status: text("a b ?[31mc ?")},
		"STATUS=\u202egpj.exe\u2028":               {Status: text("?gpj.exe ")},
		"STATUS=grüße 👩‍👧":                         {Status: text("grüße 👩‍👧")},
		"STATUS=\xff\xfe!":                         {Status: text("?!")},
		"STATUS=" + long + "y":                     {Status: &long},
		"STATUS=" + long[1:] + "é":                 {Status: text(long[1:])},
		"STATUS=" + long[2:] + "é":                 {Status: text(long[2:] + "é")},
		"STATUS=" + long[1:] + "\xe2\x82":          {Status: text(long[1:])},
		"EXTEND_TIMEOUT_USEC=1500000":              {Extend: 1500 * time.Millisecond},
		"EXTEND_TIMEOUT_USEC=0":                    {},
		"EXTEND_TIMEOUT_USEC=-1":                   {},
		"EXTEND_TIMEOUT_USEC=1s":                   {},
		"EXTEND_TIMEOUT_USEC=9223372036854":        {Extend: time.Hour},
		"EXTEND_TIMEOUT_USEC=9223372036854775807":  {Extend: time.Hour},
		"EXTEND_TIMEOUT_USEC=18446744073709551615": {},
	} {
		if got := Parse([]byte(datagram)); !equal(got, want) {
			t.Errorf("Parse(%.60q) = %s, not %s", datagram, show(got), show(want))
		}
	}
}

// FuzzParse knows two things that hold for any bytes: what a status may hold,
// and that a fact is a line of its own, up to the first NUL.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"READY=1\nSTATUS=up", "STOPPING=1\x00READY=1", "STATUS=\xff\u202e\x1b", "EXTEND_TIMEOUT_USEC=99999999999999999999",
		"WATCHDOG=trigger\nWATCHDOG=1", "STATUS=" + strings.Repeat("\x80", 2*maxStatus), "=\n=\nSTATUS"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		m := Parse(datagram)
		if s := m.Status; s != nil && (len(*s) > maxStatus || !utf8.ValidString(*s) || strings.ContainsFunc(*s, unicode.IsControl)) {
			t.Errorf("status %q", *s)
		}
		text, _, _ := bytes.Cut(datagram, []byte{0})
		has := func(line string) bool { return bytes.Contains([]byte("\n"+string(text)+"\n"), []byte("\n"+line+"\n")) }
		if m.Ready != has("READY=1") || m.Stopping != has("STOPPING=1") || m.Watchdog != has("WATCHDOG=1") || m.Trigger != has("WATCHDOG=trigger") {
			t.Errorf("Parse(%q) = %s", datagram, show(m))
		}
		if m.Extend < 0 {
			t.Errorf("extend by %s", m.Extend)
		}
	})
}

func TestCoalescedMessagesKeepTheFacts(t *testing.T) {
	text := "b"
	earlier := Message{PID: 7, Ready: true, Status: new(string), Extend: time.Second}
	later := Message{PID: 7, Watchdog: true, Status: &text}
	want := Message{PID: 7, Ready: true, Watchdog: true, Status: &text, Extend: time.Second}
	if got := earlier.then(later); !equal(got, want) {
		t.Errorf("%s, not %s", show(got), show(want))
	}
	if got := earlier.then(Message{PID: 8, Trigger: true, Stopping: true}); got.PID != 0 || !got.Ready || !got.Trigger || !got.Stopping || *got.Status != "" {
		t.Errorf("of two senders: %s", show(got))
	}
}

func equal(a, b Message) bool { return show(a) == show(b) }
