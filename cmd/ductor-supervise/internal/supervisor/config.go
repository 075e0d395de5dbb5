// Package supervisor keeps one command running. One goroutine owns all state:
// it turns what happens into events for package policy, and does what that
// decides.
package supervisor

import (
	"io"
	"os"
	"time"

	"ductor/cmd/ductor-supervise/internal/capture"
	"ductor/cmd/ductor-supervise/internal/policy"
	"ductor/cmd/ductor-supervise/internal/watch"
	"ductor/internal/common/home"
)

// Config is a supervisor's command line, checked.
type Config struct {
	Name             home.Name
	Home             home.Home
	Command          []string
	Policy           policy.Config
	LockTool         string // path of ductor-lock, "" when it is not to be found
	NoLock           bool   // start the command without it
	KillExisting     bool
	StopSignal       os.Signal
	LeaderOnly       bool
	Markers          []string // absolute
	RelayStdin       bool
	Dir              string              // the child's; "" is ours
	Env              []string            // of the child, without what we add
	EnvFile          string              // read again at each start; "" is none
	Notify           bool                // give the child a NOTIFY_SOCKET
	Getenv           func(string) string // ours
	Heartbeat        string              // a file, absolute; "" is none
	Preflight        string              // for the shell; "" is none
	OnEvent          string
	OnCrash          string
	PreflightTimeout time.Duration
	HookTimeout      time.Duration // of OnCrash
	Hold             string        // absolute
	HoldMax          time.Duration
	WatchDirs        []string
	WatchMode        watch.Mode
	WatchFilter      watch.Filter
	EventSinks       []io.Writer // get a JSON line for each event
	ChildStdout      *os.File
	Log              io.Writer      // gets a line for each event
	Dim              bool           // decorate those lines for a terminal
	Output           capture.Config // of the bot's output; without a file and a tail it is inherited
	Stderr           *os.File
	Stdin            *os.File
}

// run is the bot's folder.
func (c *Config) run() home.Run { return c.Home.Run(c.Name) }

// stopMargin is what a supervisor may need beyond the stop timeout of its
// child: for the KILL, and for what was orphaned by it.
const stopMargin = 5 * time.Second
