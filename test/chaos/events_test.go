//go:build linux

package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// What the supervisors are told, and how exactly it is kept. Events are stamped
// in whole milliseconds.
const (
	shortRun   = 300 * time.Millisecond
	budget     = 5
	budgetTime = 2 * time.Second
	exactness  = 3 * time.Millisecond
)

// event is a line of events.jsonl, as another program would read it.
type event struct {
	Schema         int
	Seq            int64
	Time           time.Time
	Type           string
	PID            int
	Reason         string
	RuntimeSeconds float64 `json:"runtime_seconds"`
	DelaySeconds   float64 `json:"delay_seconds"`
}

func parseEvent(line []byte) (e event, err error) {
	if err = json.Unmarshal(line, &e); err == nil && (e.Schema != 1 || e.Seq <= 0 || e.Type == "" || e.Time.IsZero()) {
		err = fmt.Errorf("no event")
	}
	return e, err
}

// history checks a supervisor's events as they come.
type history struct {
	child    int // its PID, or 0
	stopped  bool
	lastRun  time.Duration
	backoff  event
	asked    []time.Time // starts that the bot can ask for itself, after short runs
	reasons  map[string]int
	previous int64
}

// checkEvents: one child at a time, none after a stop, and no more starts than
// delays, budget and our own requests allow.
func (w *world) checkEvents() {
	w.t.Helper()
	data, err := os.ReadFile(w.sup.events)
	if err != nil {
		w.t.Fatal(err)
	}
	h := history{reasons: map[string]int{}}
	for line := range bytes.Lines(data) {
		e, err := parseEvent(line)
		if err != nil && w.sup.killed && line[len(line)-1] != '\n' {
			break // it was killed while it wrote this
		}
		if err == nil {
			err = h.add(e)
		}
		if err != nil {
			w.fail("%v: %s", err, line)
		}
	}
	if h.reasons["signal"] > w.sup.signals || h.reasons["change"] > 3*w.sup.edits {
		w.fail("%v starts after %d signals and %d edits", h.reasons, w.sup.signals, w.sup.edits)
	}
	for _, n := range h.reasons {
		w.runs += n
	}
	_ = os.Remove(w.sup.events)
	_ = os.Remove(w.sup.log)
}

func (h *history) add(e event) error {
	if h.previous != 0 && e.Seq != h.previous+1 {
		return fmt.Errorf("event %d follows %d", e.Seq, h.previous)
	}
	h.previous = e.Seq
	switch e.Type {
	case "stop_request":
		h.stopped = true
	case "backoff":
		h.backoff = e
	case "child_exit":
		if e.PID != h.child {
			return fmt.Errorf("%d ended, and %d was started", e.PID, h.child)
		}
		h.child, h.lastRun = 0, time.Duration(e.RuntimeSeconds*float64(time.Second))
	case "child_start":
		return h.started(e)
	}
	return nil
}

func (h *history) started(e event) error {
	if h.child != 0 || h.stopped {
		return fmt.Errorf("a start, while %d runs, stopped: %v", h.child, h.stopped)
	}
	h.child = e.PID
	h.reasons[e.Reason]++
	switch e.Reason {
	case "crash":
		waited, want := e.Time.Sub(h.backoff.Time), time.Duration(h.backoff.DelaySeconds*float64(time.Second))
		if waited < want-exactness {
			return fmt.Errorf("a start after %s, and the delay is %s", waited, want)
		}
	case "code", "marker":
		if h.lastRun >= shortRun-exactness {
			return nil
		}
		h.asked = append(h.asked, e.Time)
		if first := len(h.asked) - budget - 1; first >= 0 && e.Time.Sub(h.asked[first]) < budgetTime-exactness {
			return fmt.Errorf("%d starts within %s", budget+1, e.Time.Sub(h.asked[first]))
		}
	}
	return nil
}
