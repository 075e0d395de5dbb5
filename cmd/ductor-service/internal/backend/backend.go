// Package backend speaks with the service managers of the operating systems:
// systemd, launchd, Task Scheduler.
package backend

import (
	"context"
	"fmt"
	"io"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/exitcode"
)

// Manager is a service manager as one user meets it, for the service of one
// name. What takes a context ends with it, with an error of code Timeout if its
// time was over. Errors carry exit codes: Unavailable when the manager is not
// there, Config when the definition of that name is not ours to touch, NoPerm
// when the system refuses.
type Manager interface {
	Platform() definition.Platform

	// Install stores the definitions of a plan, lets the system start the service
	// from now on, and starts it if that is asked for. When it returns an error
	// everything is as it was before.
	Install(ctx context.Context, p Plan) (Installed, error)
	// Uninstall stops the service and removes what Install made. It is no error if
	// nothing was installed.
	Uninstall(ctx context.Context, keepLinger bool) (Removed, error)

	// Start, Stop and Restart do nothing, or nothing more, where the service is in
	// that state; they return an error of code No if it is not installed.
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	Restart(ctx context.Context) error

	// Status tells how the service is; what is unknown is absent. That nothing is
	// installed is no error.
	Status(ctx context.Context) (Status, error)
	// Logs writes the last lines of what the service wrote to out.
	Logs(ctx context.Context, out, errs io.Writer, q Lines) error
}

// Plan is what is to be installed.
type Plan struct {
	Service definition.Service
	Start   bool
	Linger  bool // let it run without a session, where that is a question
	Force   bool // replace a definition that we did not write, or that was edited
}

// Action is what an installation came to.
type Action string

// The actions.
const (
	Created   Action = "created"
	Updated   Action = "updated"
	Unchanged Action = "unchanged"
)

// Installed is the result of an installation.
type Installed struct {
	Action     Action
	Definition string    // where it is: a file, or the path of a task
	Backups    []string  // where definitions went that were replaced by force
	Problems   []Problem // what is not as it should be, though it is installed
}

// Removed is the result of a removal.
type Removed struct {
	Definition string // "" if nothing was installed
	Kept       []Kept // what is not ours, or could be missed
}

// Kept is something that a removal left, and why.
type Kept struct{ What, Why string }

// State is how a service is. Words are those of Status.State in JSON.
type State string

// The states.
const (
	Running      State = "running"
	Starting     State = "starting"
	Restarting   State = "restarting" // it ended, and the manager is about to start it again
	Stopping     State = "stopping"
	Stopped      State = "stopped"
	Failed       State = "failed"
	NotInstalled State = "not-installed"
	Unknown      State = "unknown" // the manager does not answer
)

// When a service starts. Words are those of Status.Starts in JSON.
const (
	StartsBoot   = "boot"
	StartsLogin  = "login"
	StartsManual = "manual"
)

// Status is the answer to how a service is.
type Status struct {
	Manager    string     `json:"manager"` // the platform
	Installed  bool       `json:"installed"`
	Enabled    bool       `json:"enabled"` // the manager starts it by itself
	State      State      `json:"state"`
	PID        int        `json:"pid,omitempty"`
	Since      *time.Time `json:"since,omitempty"`
	Restarts   *int       `json:"restarts,omitempty"` // by the manager, since it was started by hand
	LastExit   *Exit      `json:"last_exit,omitempty"`
	Starts     string     `json:"starts,omitempty"` // boot, login or manual
	Definition string     `json:"definition,omitempty"`
	Dropins    []string   `json:"dropins,omitempty"`
	Timer      bool       `json:"timer,omitempty"` // the one for updates is installed
	Stale      bool       `json:"stale"`           // this version would write it otherwise
	Problems   []Problem  `json:"problems"`

	started *time.Time // the process PID

	// Stored is what the definition says of itself, nil if it is not ours.
	Stored *definition.Stored `json:"-"`
}

// Runs reports whether the manager has something of it that runs, or is about to.
func (s Status) Runs() bool {
	return s.State != Stopped && s.State != Failed && s.State != NotInstalled
}

// Exit is how the last run of the service ended.
type Exit struct {
	Code   *int   `json:"code,omitempty"`
	Signal string `json:"signal,omitempty"` // SIGKILL
	Result string `json:"result,omitempty"` // in the manager's words
}

func (e Exit) String() string {
	switch {
	case e.Signal != "":
		return "ended by " + e.Signal
	case e.Code != nil:
		return fmt.Sprintf("ended with exit code %d", *e.Code)
	}
	return "ended: " + e.Result
}

// Problem is something that is wrong, and what to type. Codes are documented in
// ductor-service(1).
type Problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// Lines says which lines of a log are wanted.
type Lines struct {
	Last   int // -1 means all
	Follow bool
	Since  time.Time // zero means from the beginning
}

// notInstalled is the answer of verbs that need a service.
func notInstalled(name string) error {
	return exitcode.Errorf(exitcode.No, "no service %q is installed", name).WithHint("ductor-service install --name %s", name)
}
