package main

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"

	"ductor/cmd/ductor-sandbox/internal/inside"
)

// notes is standard error, without the lines by which our program in the
// container says what an exit code does not: that it has started nothing, or by
// which signal the command died. See inside.Prefix.
type notes struct {
	to     io.Writer
	prefix string

	mu     sync.Mutex
	passed bool   // something else came first
	held   []byte // what may be such a line
	lines  []string
	late   *time.Timer
}

// heldMax is how long what may be the beginning of such a line is held back: ours
// come whole, and somebody may wait for what ends in a NUL.
const heldMax = 500 * time.Millisecond

// longest is more than such a line ever has, in bytes.
const longest = 64 << 10

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.late != nil {
		n.late.Stop()
	}
	defer func() {
		if len(n.held) > 0 && len(n.held) < len(n.prefix) {
			n.late = time.AfterFunc(heldMax, n.release)
		}
	}()
	if len(n.held) == 0 && bytes.IndexByte(p, n.prefix[0]) < 0 {
		return len(p), n.pass(p)
	}
	n.held = append(n.held, p...)
	for len(n.held) > 0 {
		at, ours := n.look()
		if err := n.pass(n.held[:at]); err != nil {
			return 0, err
		}
		n.held = n.held[at:]
		end := bytes.IndexByte(n.held, '\n')
		switch {
		case ours && end >= 0:
			n.lines = append(n.lines, string(n.held[len(n.prefix):end]))
			n.held = n.held[end+1:]
		case ours && len(n.held) > longest:
			err := n.pass(n.held)
			n.held = nil
			return len(p), err
		default:
			return len(p), nil
		}
	}
	return len(p), nil
}

func (n *notes) release() {
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = n.pass(n.held)
	n.held = nil
}

// look returns where the first line of ours begins, or may begin.
func (n *notes) look() (at int, ours bool) {
	if at = bytes.Index(n.held, []byte(n.prefix)); at >= 0 {
		return at, true
	}
	for at = max(0, len(n.held)-len(n.prefix)); at < len(n.held); at++ {
		if strings.HasPrefix(n.prefix, string(n.held[at:])) {
			return at, false
		}
	}
	return at, false
}

func (n *notes) pass(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	n.passed = true
	_, err := n.to.Write(p)
	return err
}

// end passes on what turned out to be none of them. The refusal is believed if it
// came before everything else. Without a last line there was nobody left to write it.
func (n *notes) end() (refusal, signal string, whole bool) {
	n.release()
	if len(n.lines) == 0 {
		return "", "", false
	}
	if text, ok := strings.CutPrefix(n.lines[0], inside.Refused); ok && !n.passed {
		return text, "", true
	}
	last := n.lines[len(n.lines)-1]
	if name, ok := strings.CutPrefix(last, inside.Signal); ok {
		return "", name, true
	}
	return "", "", last == inside.Ended
}
