// Package tree starts a command together with all processes that will come of
// it, and ends them together.
package tree

import (
	"os"
)

// Spec says what to start. Path is executed with Argv in Dir ("" is ours). The
// standard streams are passed as they are, never copied by us, so that nothing
// of ours can block the child's output. Status, if any, becomes the
// descriptor StatusFD of the child.
type Spec struct {
	Path   string
	Argv   []string
	Env    []string
	Dir    string
	Stdin  *os.File
	Stdout *os.File
	Stderr *os.File
	Status *os.File
}

// Exit is how the leader of a tree ended: an exit code, or a signal and 128+n.
type Exit struct {
	Code   int
	Signal os.Signal
}

// Options of a Keeper.
type Options struct {
	// Instance is the value of DUCTOR_INSTANCE in the environment of all that
	// we start: a process that left the group is recognised by it.
	Instance string
	// LeaderOnly restricts signals and waiting to the leader.
	LeaderOnly bool
	// Warn is told of processes that cannot be ended.
	Warn func(format string, args ...any)
}
