package definition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"reflect"
	"strings"
)

// Format is the version of what we write. It grows when an older program could
// not read it.
const Format = 1

// stamp is one line of JSON in every definition: that it is ours, what it was
// made from, and whether somebody has edited it since.
type stamp struct {
	Format  int     `json:"format"`
	Part    string  `json:"part"`
	Sum     string  `json:"sum"` // of everything but this line
	Service Service `json:"service"`
}

// stampMark is what the line is found by.
const stampMark = "ductor-service: "

// ErrForeign is returned for a definition that we did not write, or that has
// lost the line by which we would know.
var ErrForeign = errors.New("was not written by ductor-service")

// Stored is what a definition says of itself.
type Stored struct {
	Service
	Part   string
	Format int
	Edited bool // it is not as it was written
	sum    string
}

// line has no "--", which may not stand in a comment of XML.
func (s stamp) line() string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // strings and numbers, always encoded
	return stampMark + strings.ReplaceAll(strings.TrimSpace(b.String()), "--", `-\u002d`)
}

func readStamp(line string) (stamp, error) {
	_, text, found := strings.Cut(line, stampMark)
	if !found {
		return stamp{}, ErrForeign
	}
	var s stamp
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&s); err != nil {
		return stamp{}, fmt.Errorf("%w: its first lines are broken: %w", ErrForeign, err)
	}
	if s.Format < 1 || s.Service.Name == "" || s.Service.Home == "" || len(s.Service.Command) == 0 {
		return stamp{}, fmt.Errorf("%w: its first lines are incomplete", ErrForeign)
	}
	return s, nil
}

// stamped puts the line with the sum in place of @STAMP@.
func (s Service) stamped(part, text string) []byte {
	st := stamp{Format: Format, Part: part, Service: s}
	before, after, _ := strings.Cut(text, "@STAMP@")
	st.Sum = sum(before + after)
	return []byte(before + st.line() + after)
}

// sum is short: it is against accidents, and no signature.
func sum(text string) string {
	h := fnv.New64a()
	h.Write([]byte(text))
	return fmt.Sprintf("%016x", h.Sum64())
}

// readText reads the stamp of a unit or a property list.
func readText(text, closing string) (Stored, error) {
	start := strings.Index(text, stampMark)
	if start < 0 {
		return Stored{}, ErrForeign
	}
	length := strings.IndexByte(text[start:], '\n')
	if length < 0 {
		length = len(text) - start
	}
	line := strings.TrimSuffix(text[start:start+length], closing)
	s, err := readStamp(line)
	if err != nil {
		return Stored{}, err
	}
	rest := text[:start] + text[start+len(line):]
	return Stored{Service: s.Service, Part: s.Part, Format: s.Format, Edited: sum(rest) != s.Sum, sum: s.Sum}, nil
}

// Read tells of a stored definition whose it is. The error is ErrForeign, or
// wraps it.
func Read(p Platform, data []byte) (Stored, error) {
	switch p {
	case SystemdUser, SystemdSystem:
		return readText(string(data), "")
	case LaunchdAgent, LaunchdDaemon:
		return readText(string(data), commentEnd)
	case Task:
		return readTask(data)
	}
	return Stored{}, fmt.Errorf("unknown platform %q", p)
}

// Equal reports whether what is stored is what was rendered. A task is stored
// in the manager's words, so that there the stamps are compared.
func Equal(p Platform, stored, rendered []byte) bool {
	if p != Task {
		return bytes.Equal(stored, rendered)
	}
	a, err1 := readTask(stored)
	b, err2 := readTask(rendered)
	return err1 == nil && err2 == nil && !a.Edited && a.sum == b.sum && reflect.DeepEqual(a.Service, b.Service)
}

// Stale reports whether this version of the program would write the same
// service otherwise.
func (s Stored) Stale(p Platform, data []byte) bool {
	files, err := s.Service.Render(p)
	if err != nil {
		return true
	}
	for _, f := range files {
		if st, err := Read(p, f.Data); err == nil && st.Part == s.Part && Equal(p, data, f.Data) {
			return false
		}
	}
	return true
}
