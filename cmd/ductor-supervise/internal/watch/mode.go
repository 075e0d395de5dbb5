package watch

import "time"

// The kinds of watching.
const (
	Auto   = "auto"   // by the system, and by looking where that is not to be had
	Native = "native" // by the system
	Poll   = "poll"   // by looking
)

// DefaultPoll is how often to look, if nothing else is said.
const DefaultPoll = 2 * time.Second

// Mode says how to watch.
type Mode struct {
	Kind  string
	Every time.Duration // between two looks
}
