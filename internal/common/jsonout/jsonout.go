// Package jsonout is the envelope of every JSON object that the tools print.
package jsonout

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Schema is the version that stands first in each object. Within a version
// fields are only added; readers must accept unknown ones.
const Schema = 1

// Line encodes the struct v as one line, {"schema":1,…} and a newline. HTML
// characters are not escaped, since no browser reads this.
func Line(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	body := buf.Bytes()
	if len(body) < 2 || body[0] != '{' {
		return nil, fmt.Errorf("encode JSON: %T is not an object", v)
	}
	head := fmt.Sprintf(`{"schema":%d`, Schema)
	if body[1] != '}' {
		head += ","
	}
	return append([]byte(head), body[1:]...), nil
}

// Failure is what --json prints on stderr, and --status-fd on its descriptor,
// when a program does not do what it was asked for.
type Failure struct {
	Error   string `json:"error"` // one word for programs to branch on
	Code    int    `json:"code"`  // the exit code that comes with it
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Holder  any    `json:"holder,omitempty"` // with "held": see ductor-lock(1)
}
