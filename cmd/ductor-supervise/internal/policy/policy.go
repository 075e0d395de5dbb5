// Package policy decides what a supervisor does next: a pure function of its
// state, an event and the time. It starts no process and reads no clock.
//
// One rule runs through it: intent decides, then the code. stop > fatal >
// restart > crash.
package policy

import "time"

// Config is the part of the command line that decisions depend on.
type Config struct {
	StopCodes    []int         // end the supervisor with success
	RestartCodes []int         // start again at once
	FatalCodes   []int         // a human is needed; the supervisor ends with the same code
	BackoffMin   time.Duration // delay after a crash that ended a long run
	BackoffMax   time.Duration
	ResetAfter   time.Duration // a run of this length is a long one
	Budget       Rate          // short runs that may ask for a restart; more count as crashes
	MaxCrashes   Rate          // so many crashes end the supervisor
	StopTimeout  time.Duration // between the stop signal and KILL
	HangTimeout  time.Duration // after the last sign of life
	CrashHook    bool          // something runs between a crash and the next start
}

// Rate is N events within Per; the zero Rate sets no limit. A window is all
// that is remembered, so N also bounds the memory.
type Rate struct {
	N   int
	Per time.Duration
}

// Phase is the state's name, as status.json has it.
type Phase string

const (
	Idle     Phase = "idle"     // before the first start; never seen from outside
	Starting Phase = "starting" // spawned, not known to be executed
	Up       Phase = "up"       // executed
	Ready    Phase = "ready"    // it said that it can work
	Stopping Phase = "stopping" // the tree is being ended
	Backoff  Phase = "backoff"  // waiting for the next start
	Down     Phase = "down"     // ended as asked for
	Fatal    Phase = "fatal"    // ended because a human is needed
)

// Phases lists all of them, for tests and for readers of status.json.
func Phases() []Phase { return []Phase{Idle, Starting, Up, Ready, Stopping, Backoff, Down, Fatal} }

// Intent is why the tree is being ended. A larger one overrides a smaller.
type Intent int

const (
	NoIntent   Intent = iota
	IntentHang        // it gave no sign of life: whatever its code, this is a crash
	IntentRestart
	IntentStop
)

// State is all that decisions are made from. The zero value with Phase Idle is
// the beginning.
type State struct {
	Phase     Phase
	Intent    Intent
	Cause     Cause       // of the intent, or of the next start
	Exit      *Exit       // how the leader ended, while its tree is cleaned up
	StartedAt time.Time   // of the current or last run
	EndedAt   time.Time   // of its leader: the time that its tree took after that makes no long run
	Executed  bool        // some run was executed: the first start is over
	Asked     bool        // the stop signal was sent to this run's tree
	Killed    bool        // KILL was sent to this run's tree
	Deadline  time.Time   // of the stop timeout or of the back-off; zero when there is none
	BeatAt    time.Time   // of the last sign of life
	HangAt    time.Time   // when no sign of life means that it hangs; zero before the first one
	Hooking   bool        // the crash hook runs, and the next start waits for it
	Crashes   int         // consecutive short runs
	Restarts  int         // starts after the first
	ShortRuns []time.Time // that asked for a restart, within the budget's window
	Storming  bool        // they were too many, and no long run has come since
	CrashedAt []time.Time
	Code      int // the supervisor's exit code, in Down and Fatal
}

// Exit is how a run ended.
type Exit struct {
	Code   int  // the exit code, or 128+n
	Signal bool // died of a signal
	// NotExecuted means that the command never ran: Code is the launcher's.
	NotExecuted bool
}

// Cause says why something is wanted; it ends up in DUCTOR_RESTART_REASON, in
// status.json and in the log.
type Cause string

const (
	CauseFirst  Cause = "first"  // the first start
	CauseCode   Cause = "code"   // the bot exited with a restart code
	CauseCrash  Cause = "crash"  // it ended otherwise
	CauseMarker Cause = "marker" // somebody wrote restart-requested
	CauseSignal Cause = "signal" // USR1 or HUP
	CauseChange Cause = "change" // a watched file changed
)

// Event is what happened. The concrete types are below.
type Event interface{ event() }

type (
	// Begin is the first event.
	Begin struct{}
	// Executed: the command runs.
	Executed struct{}
	// SpawnFailed: there is no process at all. Code is 126, 127 or 71.
	SpawnFailed struct{ Code int }
	// LeaderExited: the child ended; others of its tree may live.
	LeaderExited struct{ Exit Exit }
	// TreeGone: nothing of the run is left.
	TreeGone struct{}
	// Stop was asked for; a second one means now.
	Stop struct{}
	// Restart was asked for at At, which is compared with the last start for
	// file changes only: the start has seen a change that came before it.
	Restart struct {
		Cause Cause
		At    time.Time
	}
	// Tick: the deadline may have passed.
	Tick struct{}
	// Alive: the bot said that it can work.
	Alive struct{}
	// Beat: it gave a sign of life at At. The first one arms the deadline for
	// the next.
	Beat struct{ At time.Time }
	// Hung: it said itself that it hangs.
	Hung struct{}
	// Ending: it said that it is about to end.
	Ending struct{}
	// Extend: it asked for By more time, whatever it is about.
	Extend struct{ By time.Duration }
	// Resume: this machine slept, and nobody could keep a deadline.
	Resume struct{}
	// HookDone: the crash hook is over.
	HookDone struct{}
)

func (Begin) event()        {}
func (Executed) event()     {}
func (SpawnFailed) event()  {}
func (LeaderExited) event() {}
func (TreeGone) event()     {}
func (Stop) event()         {}
func (Restart) event()      {}
func (Tick) event()         {}
func (Alive) event()        {}
func (Beat) event()         {}
func (Hung) event()         {}
func (Ending) event()       {}
func (Extend) event()       {}
func (Resume) event()       {}
func (HookDone) event()     {}

// Action is what the supervisor does to the world.
type Action string

const (
	Spawn     Action = "spawn"     // start the command
	Terminate Action = "terminate" // send the stop signal to the tree
	Kill      Action = "kill"      // send KILL to the tree
	RunHook   Action = "run_hook"  // start the crash hook
	EndHook   Action = "end_hook"  // end it early; a second time means now
	Quit      Action = "quit"      // end the supervisor with State.Code
)

// Note is a fact worth telling people and programs about a step.
type Note struct {
	Type  string        // as in events.jsonl
	Cause Cause         // with "restart_request"
	Delay time.Duration // with "backoff", and with "hang": for how long nothing came
}
