package policy

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"
)

// usual is the configuration of an empty command line.
var usual = Config{
	StopCodes: []int{0}, RestartCodes: []int{42}, FatalCodes: []int{78},
	BackoffMin: time.Second, BackoffMax: 30 * time.Second, ResetAfter: 10 * time.Second,
	Budget: Rate{5, 60 * time.Second}, StopTimeout: 10 * time.Second, HangTimeout: 30 * time.Second,
}

// t0 is the start of the current run in all tables.
var t0 = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

// sketch is a state in a few words, for tables.
type sketch struct {
	phase   Phase
	intent  Intent
	cause   Cause
	killed  bool
	exit    bool // the leader has ended
	hooking bool
	due     time.Duration
	hang    time.Duration
	code    int
}

func sketchOf(s State) sketch {
	k := sketch{phase: s.Phase, intent: s.Intent, cause: s.Cause, killed: s.Killed, exit: s.Exit != nil, hooking: s.Hooking, code: s.Code}
	if !s.Deadline.IsZero() {
		k.due = s.Deadline.Sub(t0)
	}
	if !s.HangAt.IsZero() {
		k.hang = s.HangAt.Sub(t0)
	}
	return k
}

// situations are the states that the table goes through: each phase at least
// once, and those whose answers differ, apart.
var situations = map[string]State{
	"idle":             {Phase: Idle},
	"starting":         {Phase: Starting, Cause: CauseFirst, StartedAt: t0},
	"up":               {Phase: Up, Cause: CauseFirst, StartedAt: t0, Executed: true},
	"stopping":         {Phase: Stopping, Asked: true, Intent: IntentStop, Cause: CauseFirst, StartedAt: t0, Executed: true, Deadline: at(10 * time.Second)},
	"stopping,killed":  {Phase: Stopping, Asked: true, Intent: IntentStop, Cause: CauseFirst, StartedAt: t0, Executed: true, Killed: true},
	"stopping,exited":  {Phase: Stopping, Asked: true, Intent: IntentStop, Cause: CauseFirst, StartedAt: t0, Executed: true, Deadline: at(10 * time.Second), EndedAt: t0, Exit: &Exit{Code: 1}},
	"restarting":       {Phase: Stopping, Asked: true, Intent: IntentRestart, Cause: CauseMarker, StartedAt: t0, Executed: true, Deadline: at(10 * time.Second)},
	"restarting,done":  {Phase: Stopping, Asked: true, Intent: IntentRestart, Cause: CauseSignal, StartedAt: t0, Executed: true, Deadline: at(10 * time.Second), EndedAt: t0, Exit: &Exit{Code: 0}},
	"cleaning":         {Phase: Stopping, Asked: true, Cause: CauseFirst, StartedAt: t0, Executed: true, Deadline: at(10 * time.Second), EndedAt: t0, Exit: &Exit{Code: 1}},
	"cleaning,killing": {Phase: Stopping, Asked: true, Cause: CauseFirst, StartedAt: t0, Executed: true, Killed: true, EndedAt: t0, Exit: &Exit{Code: 1}},
	"ready":            {Phase: Ready, Cause: CauseFirst, StartedAt: t0, Executed: true, HangAt: at(20 * time.Second)},
	"ending":           {Phase: Stopping, Cause: CauseFirst, StartedAt: t0, Executed: true, Deadline: at(10 * time.Second)},
	"hanging":          {Phase: Stopping, Asked: true, Intent: IntentHang, Cause: CauseFirst, StartedAt: t0, Executed: true, Deadline: at(10 * time.Second)},
	"hanging,done":     {Phase: Stopping, Asked: true, Intent: IntentHang, Cause: CauseFirst, StartedAt: t0, Executed: true, Deadline: at(10 * time.Second), EndedAt: t0, Exit: &Exit{Code: 42}},
	"hooking":          {Phase: Backoff, Hooking: true, Cause: CauseCrash, StartedAt: t0, Executed: true, Crashes: 1, Deadline: at(2 * time.Second), EndedAt: t0, Exit: &Exit{Code: 1}},
	"hooking,stop":     {Phase: Stopping, Asked: true, Hooking: true, Intent: IntentStop, Cause: CauseCrash, StartedAt: t0, Executed: true, Crashes: 1, EndedAt: t0, Exit: &Exit{Code: 1}},
	"backoff":          {Phase: Backoff, Cause: CauseCrash, StartedAt: t0, Executed: true, Crashes: 1, Deadline: at(2 * time.Second), EndedAt: t0, Exit: &Exit{Code: 1}},
	"down":             {Phase: Down, Intent: IntentStop, Cause: CauseFirst, StartedAt: t0, Executed: true, EndedAt: t0, Exit: &Exit{Code: 1}},
	"fatal":            {Phase: Fatal, Cause: CauseFirst, StartedAt: t0, Executed: true, EndedAt: t0, Exit: &Exit{Code: 78}, Code: 78},
}

// happenings are all events, those twice that are judged by what they carry.
var happenings = map[string]Event{
	"begin":      Begin{},
	"executed":   Executed{},
	"no process": SpawnFailed{Code: 127},
	"exit":       LeaderExited{Exit{Code: 1}},
	"gone":       TreeGone{},
	"stop":       Stop{},
	"marker":     Restart{Cause: CauseMarker},
	"usr1":       Restart{Cause: CauseSignal},
	"change":     Restart{Cause: CauseChange, At: at(time.Millisecond)},
	"old change": Restart{Cause: CauseChange, At: t0},
	"tick":       Tick{}, // before any deadline
	"late":       Tick{}, // after it
	"alive":      Alive{},
	"beat":       Beat{At: at(time.Second)},
	"hung":       Hung{},
	"ending":     Ending{},
	"extend":     Extend{By: time.Minute},
	"resume":     Resume{},
	"hook done":  HookDone{},
}

// answer is what a step leads to: the state, what is done, what is told.
type answer struct {
	sketch
	actions []Action
	notes   []string
}

// same is the answer that leaves everything as it was.
var same = answer{}

const (
	due  = 10 * time.Second
	soon = 11 * time.Second // one second after the start, where all steps of the table are made
)

// hangs is when silence means that it hangs.
type hangs time.Duration

func to(p Phase, i Intent, c Cause, more ...any) answer {
	a := answer{sketch: sketch{phase: p, intent: i, cause: c}}
	for _, m := range more {
		switch m := m.(type) {
		case time.Duration:
			a.due = m
		case hangs:
			a.hang = time.Duration(m)
		case int:
			a.code = m
		case Action:
			a.actions = append(a.actions, m)
		case string:
			switch m {
			case "hooking":
				a.hooking = true
			case "killed":
				a.killed = true
			case "exited":
				a.exit = true
			default:
				a.notes = append(a.notes, m)
			}
		}
	}
	return a
}

// table has every pair of a situation and a happening.
var table = map[string]map[string]answer{
	"idle": {
		"begin": to(Starting, NoIntent, CauseFirst, Spawn),
		"stop":  to(Down, NoIntent, "", Quit),
		// Nothing has been started, so nothing can be restarted or end.
		"executed": same, "no process": same, "exit": same, "gone": same, "marker": same, "usr1": same,
		"change": same, "old change": same, "tick": same, "late": same,
		"alive": same, "beat": same, "hung": same, "ending": same, "extend": same, "resume": same, "hook done": same,
	},
	"starting": {
		"executed":   to(Up, NoIntent, CauseFirst),
		"no process": to(Fatal, NoIntent, CauseFirst, "exited", 127, Quit), // the first start
		"exit":       to(Stopping, NoIntent, CauseFirst, "exited", soon, Terminate),
		"stop":       to(Stopping, IntentStop, CauseFirst, soon, Terminate),
		"marker":     to(Stopping, IntentRestart, CauseMarker, soon, Terminate, "restart_request marker"),
		"usr1":       to(Stopping, IntentRestart, CauseSignal, soon, Terminate, "restart_request signal"),
		"change":     to(Stopping, IntentRestart, CauseChange, soon, Terminate, "restart_request change"),
		"begin":      same, "gone": same, "old change": same, "tick": same, "late": same,
		"alive":  to(Ready, NoIntent, CauseFirst, "child_ready"),
		"beat":   to(Starting, NoIntent, CauseFirst, hangs(31*time.Second)),
		"hung":   to(Stopping, IntentHang, CauseFirst, soon, Terminate, "hang 1s"),
		"ending": to(Stopping, NoIntent, CauseFirst, soon),
		"extend": same, "resume": same, "hook done": same,
	},
	"up": {
		"exit":   to(Stopping, NoIntent, CauseFirst, "exited", soon, Terminate),
		"stop":   to(Stopping, IntentStop, CauseFirst, soon, Terminate),
		"marker": to(Stopping, IntentRestart, CauseMarker, soon, Terminate, "restart_request marker"),
		"usr1":   to(Stopping, IntentRestart, CauseSignal, soon, Terminate, "restart_request signal"),
		"change": to(Stopping, IntentRestart, CauseChange, soon, Terminate, "restart_request change"),
		"begin":  same, "executed": same, "no process": same, "gone": same, "old change": same, "tick": same, "late": same,
		"alive":  to(Ready, NoIntent, CauseFirst, "child_ready"),
		"beat":   to(Up, NoIntent, CauseFirst, hangs(31*time.Second)),
		"hung":   to(Stopping, IntentHang, CauseFirst, soon, Terminate, "hang 1s"),
		"ending": to(Stopping, NoIntent, CauseFirst, soon),
		"extend": same, "resume": same, "hook done": same,
	},
	"stopping": {
		"exit": to(Stopping, IntentStop, CauseFirst, "exited", due),
		"stop": to(Stopping, IntentStop, CauseFirst, "killed", Kill, "escalate"),
		"late": to(Stopping, IntentStop, CauseFirst, "killed", Kill, "escalate"),
		// A stop is sticky: no request to restart gets through.
		"marker": same, "usr1": same, "change": same, "old change": same,
		// Gone without an exit cannot be: the leader is a part of the tree.
		"begin": same, "executed": same, "no process": same, "gone": same, "tick": same,
		"extend": to(Stopping, IntentStop, CauseFirst, 61*time.Second),
		"resume": to(Stopping, IntentStop, CauseFirst, soon),
		"alive":  same, "beat": same, "hung": same, "ending": same, "hook done": same,
	},
	"stopping,killed": {
		"exit":  to(Stopping, IntentStop, CauseFirst, "killed", "exited"),
		"begin": same, "executed": same, "no process": same, "gone": same, "stop": same, "marker": same, "usr1": same,
		"change": same, "old change": same, "tick": same, "late": same,
		"alive": same, "beat": same, "hung": same, "ending": same, "extend": same, "resume": same, "hook done": same,
	},
	"stopping,exited": {
		"gone":  to(Down, IntentStop, CauseFirst, "exited", Quit),
		"stop":  to(Stopping, IntentStop, CauseFirst, "exited", "killed", Kill, "escalate"),
		"late":  to(Stopping, IntentStop, CauseFirst, "exited", "killed", Kill, "escalate"),
		"begin": same, "executed": same, "no process": same, "exit": same, "marker": same, "usr1": same,
		"change": same, "old change": same, "tick": same,
		"extend": to(Stopping, IntentStop, CauseFirst, "exited", 61*time.Second),
		"resume": to(Stopping, IntentStop, CauseFirst, "exited", soon),
		"alive":  same, "beat": same, "hung": same, "ending": same, "hook done": same,
	},
	"restarting": {
		"exit": to(Stopping, IntentRestart, CauseMarker, "exited", due),
		// The first stop makes this a stop; its signal has been sent already.
		"stop": to(Stopping, IntentStop, CauseMarker, due),
		"late": to(Stopping, IntentRestart, CauseMarker, "killed", Kill, "escalate"),
		// The first request keeps its name.
		"marker": same, "usr1": same, "change": same, "old change": same,
		"begin": same, "executed": same, "no process": same, "gone": same, "tick": same,
		"extend": to(Stopping, IntentRestart, CauseMarker, 61*time.Second),
		"resume": to(Stopping, IntentRestart, CauseMarker, soon),
		"alive":  same, "beat": same, "hung": same, "ending": same, "hook done": same,
	},
	"restarting,done": {
		"gone": to(Starting, NoIntent, CauseSignal, Spawn),
		"stop": to(Stopping, IntentStop, CauseSignal, "exited", due),
		"late": to(Stopping, IntentRestart, CauseSignal, "exited", "killed", Kill, "escalate"),
		"exit": same, "marker": same, "usr1": same, "change": same, "old change": same,
		"begin": same, "executed": same, "no process": same, "tick": same,
		"extend": to(Stopping, IntentRestart, CauseSignal, "exited", 61*time.Second),
		"resume": to(Stopping, IntentRestart, CauseSignal, "exited", soon),
		"alive":  same, "beat": same, "hung": same, "ending": same, "hook done": same,
	},
	"cleaning": {
		"gone":   to(Backoff, NoIntent, CauseCrash, "exited", 3*time.Second, "backoff 2s"),
		"stop":   to(Stopping, IntentStop, CauseFirst, "exited", due),
		"marker": to(Stopping, IntentRestart, CauseMarker, "exited", due, "restart_request marker"),
		"usr1":   to(Stopping, IntentRestart, CauseSignal, "exited", due, "restart_request signal"),
		"change": to(Stopping, IntentRestart, CauseChange, "exited", due, "restart_request change"),
		"late":   to(Stopping, NoIntent, CauseFirst, "exited", "killed", Kill, "escalate"),
		"begin":  same, "executed": same, "no process": same, "exit": same, "old change": same, "tick": same,
		"extend": to(Stopping, NoIntent, CauseFirst, "exited", 61*time.Second),
		"resume": to(Stopping, NoIntent, CauseFirst, "exited", soon),
		"alive":  same, "beat": same, "hung": same, "ending": same, "hook done": same,
	},
	"cleaning,killing": {
		"gone":   to(Backoff, NoIntent, CauseCrash, "exited", "killed", 3*time.Second, "backoff 2s"),
		"stop":   to(Stopping, IntentStop, CauseFirst, "exited", "killed"),
		"marker": to(Stopping, IntentRestart, CauseMarker, "exited", "killed", "restart_request marker"),
		"usr1":   to(Stopping, IntentRestart, CauseSignal, "exited", "killed", "restart_request signal"),
		"change": to(Stopping, IntentRestart, CauseChange, "exited", "killed", "restart_request change"),
		"begin":  same, "executed": same, "no process": same, "exit": same, "old change": same, "tick": same, "late": same,
		"alive": same, "beat": same, "hung": same, "ending": same, "extend": same, "resume": same, "hook done": same,
	},
	"backoff": {
		"stop":   to(Down, NoIntent, CauseCrash, "exited", Quit),
		"marker": to(Starting, NoIntent, CauseMarker, Spawn, "restart_request marker"),
		"usr1":   to(Starting, NoIntent, CauseSignal, Spawn, "restart_request signal"),
		"change": to(Starting, NoIntent, CauseChange, Spawn, "restart_request change"),
		"late":   to(Starting, NoIntent, CauseCrash, Spawn),
		"begin":  same, "executed": same, "no process": same, "exit": same, "gone": same, "old change": same, "tick": same,
		"alive": same, "beat": same, "hung": same, "ending": same, "extend": same, "resume": same, "hook done": same,
	},
	"ready": {
		"exit":   to(Stopping, NoIntent, CauseFirst, "exited", soon, Terminate),
		"stop":   to(Stopping, IntentStop, CauseFirst, soon, Terminate),
		"marker": to(Stopping, IntentRestart, CauseMarker, soon, Terminate, "restart_request marker"),
		"usr1":   to(Stopping, IntentRestart, CauseSignal, soon, Terminate, "restart_request signal"),
		"change": to(Stopping, IntentRestart, CauseChange, soon, Terminate, "restart_request change"),
		"late":   to(Stopping, IntentHang, CauseFirst, 70*time.Second, Terminate, "hang 1m0s"),
		"hung":   to(Stopping, IntentHang, CauseFirst, soon, Terminate, "hang 1s"),
		"beat":   to(Ready, NoIntent, CauseFirst, hangs(31*time.Second)),
		"ending": to(Stopping, NoIntent, CauseFirst, soon),
		"extend": to(Ready, NoIntent, CauseFirst, hangs(61*time.Second)),
		"resume": to(Ready, NoIntent, CauseFirst, hangs(31*time.Second)),
		"begin":  same, "executed": same, "no process": same, "gone": same, "old change": same, "tick": same, "alive": same, "hook done": same,
	},
	// It said that it ends: it gets the time that a stop would give it, and no
	// signal before its leader is gone.
	"ending": {
		"exit":   to(Stopping, NoIntent, CauseFirst, "exited", soon, Terminate),
		"stop":   to(Stopping, IntentStop, CauseFirst, due),
		"marker": to(Stopping, IntentRestart, CauseMarker, due, "restart_request marker"),
		"usr1":   to(Stopping, IntentRestart, CauseSignal, due, "restart_request signal"),
		"change": to(Stopping, IntentRestart, CauseChange, due, "restart_request change"),
		"late":   to(Stopping, NoIntent, CauseFirst, "killed", Kill, "escalate"),
		"extend": to(Stopping, NoIntent, CauseFirst, 61*time.Second),
		"resume": to(Stopping, NoIntent, CauseFirst, soon),
		"begin":  same, "executed": same, "no process": same, "gone": same, "old change": same, "tick": same,
		"alive": same, "beat": same, "hung": same, "ending": same, "hook done": same,
	},
	"hanging": {
		"exit":   to(Stopping, IntentHang, CauseFirst, "exited", due),
		"stop":   to(Stopping, IntentStop, CauseFirst, due),
		"marker": to(Stopping, IntentRestart, CauseMarker, due, "restart_request marker"),
		"usr1":   to(Stopping, IntentRestart, CauseSignal, due, "restart_request signal"),
		"change": to(Stopping, IntentRestart, CauseChange, due, "restart_request change"),
		"late":   to(Stopping, IntentHang, CauseFirst, "killed", Kill, "escalate"),
		"extend": to(Stopping, IntentHang, CauseFirst, 61*time.Second),
		"resume": to(Stopping, IntentHang, CauseFirst, soon),
		"begin":  same, "executed": same, "no process": same, "gone": same, "old change": same, "tick": same,
		"alive": same, "beat": same, "hung": same, "ending": same, "hook done": same,
	},
	// It answered with 42, but it hung: that is a crash.
	"hanging,done": {
		"gone":   to(Backoff, NoIntent, CauseCrash, "exited", 3*time.Second, "backoff 2s"),
		"stop":   to(Stopping, IntentStop, CauseFirst, "exited", due),
		"marker": to(Stopping, IntentRestart, CauseMarker, "exited", due, "restart_request marker"),
		"usr1":   to(Stopping, IntentRestart, CauseSignal, "exited", due, "restart_request signal"),
		"change": to(Stopping, IntentRestart, CauseChange, "exited", due, "restart_request change"),
		"late":   to(Stopping, IntentHang, CauseFirst, "exited", "killed", Kill, "escalate"),
		"extend": to(Stopping, IntentHang, CauseFirst, "exited", 61*time.Second),
		"resume": to(Stopping, IntentHang, CauseFirst, "exited", soon),
		"begin":  same, "executed": same, "no process": same, "exit": same, "old change": same, "tick": same,
		"alive": same, "beat": same, "hung": same, "ending": same, "hook done": same,
	},
	// Whatever is asked for, the crash hook comes first; only a stop cuts it short.
	"hooking": {
		"stop":      to(Stopping, IntentStop, CauseCrash, "exited", "hooking", EndHook),
		"marker":    to(Backoff, NoIntent, CauseMarker, "exited", "hooking", time.Second, "restart_request marker"),
		"usr1":      to(Backoff, NoIntent, CauseSignal, "exited", "hooking", time.Second, "restart_request signal"),
		"change":    to(Backoff, NoIntent, CauseChange, "exited", "hooking", time.Second, "restart_request change"),
		"hook done": to(Backoff, NoIntent, CauseCrash, "exited", 2*time.Second),
		"late":      same, "begin": same, "executed": same, "no process": same, "exit": same, "gone": same, "old change": same, "tick": same,
		"alive": same, "beat": same, "hung": same, "ending": same, "extend": same, "resume": same,
	},
	"hooking,stop": {
		"stop":      to(Stopping, IntentStop, CauseCrash, "exited", "hooking", EndHook),
		"hook done": to(Down, IntentStop, CauseCrash, "exited", Quit),
		"late":      same, "begin": same, "executed": same, "no process": same, "exit": same, "gone": same, "tick": same,
		"marker": same, "usr1": same, "change": same, "old change": same,
		"alive": same, "beat": same, "hung": same, "ending": same, "extend": same, "resume": same,
	},
	// The end is the end.
	"down": {
		"begin": same, "executed": same, "no process": same, "exit": same, "gone": same, "stop": same,
		"marker": same, "usr1": same, "change": same, "old change": same, "tick": same, "late": same,
		"alive": same, "beat": same, "hung": same, "ending": same, "extend": same, "resume": same, "hook done": same,
	},
	"fatal": {
		"begin": same, "executed": same, "no process": same, "exit": same, "gone": same, "stop": same,
		"marker": same, "usr1": same, "change": same, "old change": same, "tick": same, "late": same,
		"alive": same, "beat": same, "hung": same, "ending": same, "extend": same, "resume": same, "hook done": same,
	},
}

func noteTexts(notes []Note) (texts []string) {
	for _, n := range notes {
		switch {
		case n.Cause != "":
			texts = append(texts, n.Type+" "+string(n.Cause))
		case n.Delay != 0:
			texts = append(texts, n.Type+" "+n.Delay.String())
		default:
			texts = append(texts, n.Type)
		}
	}
	return texts
}

func TestEveryPairOfStateAndEvent(t *testing.T) {
	for _, p := range Phases() {
		if !slices.ContainsFunc(slices.Collect(maps.Values(situations)), func(s State) bool { return s.Phase == p }) {
			t.Errorf("no situation has phase %q", p)
		}
	}
	for _, situation := range slices.Sorted(maps.Keys(situations)) {
		for _, happening := range slices.Sorted(maps.Keys(happenings)) {
			t.Run(situation+"/"+happening, func(t *testing.T) {
				want, listed := table[situation][happening]
				if !listed {
					t.Fatal("this pair is not in the table")
				}
				now := at(time.Second)
				if happening == "late" {
					now = at(time.Minute)
				}
				before := situations[situation]
				after, actions, notes := Step(usual, before, happenings[happening], now)
				if reflect.DeepEqual(want, same) {
					want = answer{sketch: sketchOf(before)}
					if happening == "executed" { // it is remembered, nothing else
						before.Executed = before.Executed || before.Phase == Stopping
					}
					if !reflect.DeepEqual(after, before) {
						t.Errorf("state changed from %+v to %+v", before, after)
					}
				}
				if got := sketchOf(after); got != want.sketch {
					t.Errorf("state:\n got %+v\nwant %+v", got, want.sketch)
				}
				if !slices.Equal(actions, want.actions) {
					t.Errorf("actions: got %v, want %v", actions, want.actions)
				}
				if got := noteTexts(notes); !slices.Equal(got, want.notes) {
					t.Errorf("notes: got %q, want %q", got, want.notes)
				}
			})
		}
	}
	for situation, row := range table {
		for happening := range row {
			if _, ok := happenings[happening]; !ok || situations[situation].Phase == "" {
				t.Errorf("%s/%s is in the table and in no list", situation, happening)
			}
		}
	}
}

func TestEveryEventTypeIsInTheTable(t *testing.T) {
	src, err := os.ReadFile("policy.go")
	if err != nil {
		t.Fatal(err)
	}
	types := regexp.MustCompile(`func \((\w+)\) event\(\)`).FindAllSubmatch(src, -1)
	if len(types) < 8 {
		t.Fatalf("only %d event types found", len(types))
	}
	for _, m := range types {
		name := "policy." + string(m[1])
		if !slices.ContainsFunc(slices.Collect(maps.Values(happenings)), func(ev Event) bool { return reflect.TypeOf(ev).String() == name }) {
			t.Errorf("no happening is a %s", name)
		}
	}
}

func TestUnknownEventIsABug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an unknown event was swallowed")
		}
	}()
	type alien struct{ Event }
	Step(usual, State{Phase: Up}, alien{}, t0)
}

// bot drives Step as a supervisor would, at times of the test's choice.
type bot struct {
	t      *testing.T
	c      Config
	s      State
	now    time.Time
	spawns int
	notes  []string
}

func begin(t *testing.T, c Config) *bot {
	b := &bot{t: t, c: c, now: t0, s: State{Phase: Idle}}
	return b.do(Begin{})
}

func (b *bot) do(events ...Event) *bot {
	b.t.Helper()
	for _, ev := range events {
		next, actions, notes := Step(b.c, b.s, ev, b.now)
		b.s, b.notes = next, append(b.notes, noteTexts(notes)...)
		for _, a := range actions {
			if a == Spawn {
				b.spawns++
			}
		}
	}
	return b
}

// run lets the bot live for d and end with exit, its tree with it.
func (b *bot) run(d time.Duration, exit Exit) *bot {
	b.t.Helper()
	b.do(Executed{})
	b.now = b.now.Add(d)
	return b.do(LeaderExited{exit}, TreeGone{})
}

// wait lets the back-off pass.
func (b *bot) wait() *bot {
	b.t.Helper()
	if b.s.Phase != Backoff {
		b.t.Fatalf("phase %s, not in back-off; %v", b.s.Phase, b.notes)
	}
	b.now = b.s.Deadline
	return b.do(Tick{})
}

func (b *bot) want(p Phase, code int) {
	b.t.Helper()
	if b.s.Phase != p || b.s.Code != code {
		b.t.Errorf("phase %s, code %d; want %s, %d (notes %q)", b.s.Phase, b.s.Code, p, code, b.notes)
	}
}

// TestDecisions is the table of ductor-supervise(1): intent decides, then the
// code.
func TestDecisions(t *testing.T) {
	c := usual
	c.StopCodes, c.RestartCodes, c.FatalCodes = []int{0, 3}, []int{42, 43}, []int{78, 79}
	sig := func(n int) Exit { return Exit{Code: 128 + n, Signal: true} }
	notRun := func(code int) Exit { return Exit{Code: code, NotExecuted: true} }
	stays := func(code int) answer { return answer{sketch: sketch{phase: Fatal, code: code}} }
	down := answer{sketch: sketch{phase: Down}}
	crash := answer{sketch: sketch{phase: Backoff}}
	starts := func(cause Cause) answer { return answer{sketch: sketch{phase: Starting, cause: cause}} }
	for _, tt := range []struct {
		name   string
		intent Event // what is asked for while the command runs
		exit   Exit
		later  bool // not the first start
		want   answer
	}{
		{"0", nil, Exit{Code: 0}, false, down},
		{"second stop code", nil, Exit{Code: 3}, false, down},
		{"42", nil, Exit{Code: 42}, false, starts(CauseCode)},
		{"second restart code", nil, Exit{Code: 43}, false, starts(CauseCode)},
		{"78", nil, Exit{Code: 78}, false, stays(78)},
		{"second fatal code", nil, Exit{Code: 79}, false, stays(79)},
		{"1", nil, Exit{Code: 1}, false, crash},
		{"255", nil, Exit{Code: 255}, false, crash},
		{"SIGKILL", nil, sig(9), false, crash},
		{"SIGTERM from elsewhere", nil, sig(15), false, crash},
		{"exit 143 is no signal", nil, Exit{Code: 143}, false, crash},
		{"not executed, first", nil, notRun(127), false, stays(127)},
		{"held, first", nil, notRun(75), false, stays(75)},
		{"not executed, later", nil, notRun(127), true, crash},
		{"held, later", nil, notRun(75), true, crash},
		{"the launcher's 0 is no stop", nil, notRun(0), true, crash},
		{"the launcher's 42 is no restart", nil, notRun(42), true, crash},
		{"the launcher's 78 is not the bot's", nil, notRun(78), true, crash},

		{"restart: 0", Restart{Cause: CauseSignal}, Exit{Code: 0}, false, starts(CauseSignal)},
		{"restart: 42", Restart{Cause: CauseMarker}, Exit{Code: 42}, false, starts(CauseMarker)},
		{"restart: 1", Restart{Cause: CauseSignal}, Exit{Code: 1}, false, starts(CauseSignal)},
		{"restart: SIGTERM", Restart{Cause: CauseSignal}, sig(15), false, starts(CauseSignal)},
		{"restart: SIGKILL", Restart{Cause: CauseSignal}, sig(9), false, starts(CauseSignal)},
		{"restart: fatal beats it", Restart{Cause: CauseSignal}, Exit{Code: 78}, false, stays(78)},
		{"restart: not executed", Restart{Cause: CauseSignal}, notRun(127), false, starts(CauseSignal)},
		{"restart: not executed, later", Restart{Cause: CauseSignal}, notRun(127), true, starts(CauseSignal)},

		{"stop: 0", Stop{}, Exit{Code: 0}, false, down},
		{"stop: 42", Stop{}, Exit{Code: 42}, false, down},
		{"stop: 78", Stop{}, Exit{Code: 78}, false, down},
		{"stop: 1", Stop{}, Exit{Code: 1}, false, down},
		{"stop: SIGKILL", Stop{}, sig(9), false, down},
		{"stop: not executed", Stop{}, notRun(127), false, down},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := begin(t, c)
			if tt.later {
				b.run(time.Second, Exit{Code: 1}).wait()
			}
			if !tt.exit.NotExecuted {
				b.do(Executed{})
			}
			b.now = b.now.Add(time.Second)
			if tt.intent != nil {
				b.do(tt.intent)
			}
			b.do(LeaderExited{tt.exit})
			if b.s.Phase != Stopping {
				t.Fatalf("the tree is not cleaned up: %s", b.s.Phase)
			}
			b.do(TreeGone{})
			b.want(tt.want.phase, tt.want.code)
			if tt.want.phase == Starting && b.s.Cause != tt.want.cause {
				t.Errorf("cause %q, want %q", b.s.Cause, tt.want.cause)
			}
		})
	}
}

// TestSignalIsNeverACode: 128+n as a number in a list is not the signal.
func TestSignalIsNeverACode(t *testing.T) {
	c := usual
	c.StopCodes, c.FatalCodes, c.RestartCodes = []int{137}, []int{139}, []int{143}
	for _, code := range []int{137, 139, 143} {
		begin(t, c).run(time.Second, Exit{Code: code, Signal: true}).want(Backoff, 0)
	}
	begin(t, c).run(time.Second, Exit{Code: 137}).want(Down, 0)
	begin(t, c).run(time.Second, Exit{Code: 139}).want(Fatal, 139)
	begin(t, c).run(time.Second, Exit{Code: 143}).want(Starting, 0)
}

func TestNoProcessAtAll(t *testing.T) {
	begin(t, usual).do(SpawnFailed{126}).want(Fatal, 126)
	later := begin(t, usual).run(time.Hour, Exit{Code: 1}).wait().do(SpawnFailed{126})
	later.want(Backoff, 0)
	if got := later.s.Deadline.Sub(later.now); got != 2*time.Second {
		t.Errorf("back-off %s after a start that failed, want 2s", got)
	}
}

func TestUnrequestedExitIsToldApart(t *testing.T) {
	b := begin(t, usual).run(time.Second, Exit{Code: 0})
	if !slices.Contains(b.notes, "unrequested_exit") {
		t.Errorf("notes %q", b.notes)
	}
	b = begin(t, usual).do(Executed{}, Stop{}, LeaderExited{Exit{Code: 0}}, TreeGone{})
	if slices.Contains(b.notes, "unrequested_exit") {
		t.Errorf("an exit that was asked for: %q", b.notes)
	}
}

func (b *bot) delay() time.Duration {
	b.t.Helper()
	if b.s.Phase != Backoff {
		b.t.Fatalf("phase %s, not in back-off", b.s.Phase)
	}
	return b.s.Deadline.Sub(b.now)
}

func TestBackoffNumbers(t *testing.T) {
	b := begin(t, usual)
	var got []time.Duration
	crash := func(d time.Duration) {
		got = append(got, b.run(d, Exit{Code: 1}).delay())
		b.wait()
	}
	for range 7 {
		crash(time.Second)
	}
	crash(10 * time.Second) // a long run: of exactly --reset-after
	crash(10*time.Second - 1)
	crash(time.Hour)
	crash(time.Hour)
	want := []time.Duration{2, 4, 8, 16, 30, 30, 30, 1, 2, 1, 1}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestRestartResetsTheBackoff(t *testing.T) {
	for name, again := range map[string]func(*bot){
		"code":                func(b *bot) { b.run(time.Second, Exit{Code: 42}) },
		"signal":              func(b *bot) { b.do(Restart{Cause: CauseSignal}, LeaderExited{Exit{Code: 1}}, TreeGone{}) },
		"signal, in back-off": func(b *bot) { b.run(time.Second, Exit{Code: 1}).do(Restart{Cause: CauseSignal}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := begin(t, usual)
			for range 4 {
				b.run(time.Second, Exit{Code: 1}).wait()
			}
			again(b)
			if b.want(Starting, 0); b.s.Crashes != 0 {
				t.Errorf("%d crashes are remembered", b.s.Crashes)
			}
			if got := b.run(time.Second, Exit{Code: 1}).delay(); got != 2*time.Second {
				t.Errorf("next back-off %s, want 2s", got)
			}
		})
	}
}

func TestDelayBounds(t *testing.T) {
	for _, tt := range []struct {
		min, max time.Duration
		n        int
		want     time.Duration
	}{
		{0, 0, 5, 0},
		{0, time.Second, 1 << 30, 0},
		{time.Second, time.Second, 3, time.Second},
		{time.Second, 30 * time.Second, 1 << 30, 30 * time.Second},
		{3 * time.Second, 10 * time.Second, 1, 6 * time.Second},
		{3 * time.Second, 10 * time.Second, 2, 10 * time.Second},
		// Doubling past half of the largest duration would be negative: a fork
		// storm instead of a long wait.
		{time.Second, 1<<63 - 1, 60, 1<<63 - 1},
		{5e18, 8e18, 1, 8e18},
	} {
		c := Config{BackoffMin: tt.min, BackoffMax: tt.max}
		if got := Delay(c, tt.n); got != tt.want {
			t.Errorf("Delay(%s:%s, %d) = %s, want %s", tt.min, tt.max, tt.n, got, tt.want)
		}
	}
}

// short ends a short run by a request that has a budget or by another.
func (b *bot) short(how Cause) *bot {
	b.t.Helper()
	b.do(Executed{})
	b.now = b.now.Add(time.Second)
	if how == CauseCode {
		return b.do(LeaderExited{Exit{Code: 42}}, TreeGone{})
	}
	return b.do(Restart{Cause: how, At: b.now}, LeaderExited{Exit{Code: 0}}, TreeGone{})
}

func TestBudget(t *testing.T) {
	for _, how := range []Cause{CauseCode, CauseMarker} {
		t.Run("sixth short run by "+string(how), func(t *testing.T) {
			b := begin(t, usual)
			for range 5 {
				b.short(how).want(Starting, 0)
			}
			b.short(how).want(Backoff, 0)
			if got := b.delay(); got != 2*time.Second {
				t.Errorf("back-off %s, want that of the first crash", got)
			}
			if !slices.Contains(b.notes, "storm "+string(how)) {
				t.Errorf("notes %q", b.notes)
			}
			// The storm goes on: each further one is a crash, more and more slowly.
			if got := b.wait().short(how).delay(); got != 4*time.Second {
				t.Errorf("seventh: back-off %s, want 4s", got)
			}
		})
	}
	for _, how := range []Cause{CauseSignal, CauseChange} {
		t.Run("never for "+string(how), func(t *testing.T) {
			b := begin(t, usual)
			for range 50 {
				b.short(how).want(Starting, 0)
			}
			for range 5 { // nor do they use it up
				b.short(CauseCode).want(Starting, 0)
			}
			b.short(CauseCode).want(Backoff, 0)
		})
	}
	t.Run("mixed code and marker", func(t *testing.T) {
		b := begin(t, usual)
		for range 2 {
			b.short(CauseCode).short(CauseMarker).want(Starting, 0)
		}
		b.short(CauseCode).want(Starting, 0)
		b.short(CauseMarker).want(Backoff, 0)
	})
	t.Run("the window moves on", func(t *testing.T) {
		b := begin(t, usual)
		for range 40 { // one in 12 s is five a minute: allowed for ever
			b.do(Executed{})
			b.now = b.now.Add(time.Second)
			b.do(LeaderExited{Exit{Code: 42}})
			b.now = b.now.Add(11*time.Second + 1)
			b.do(TreeGone{}).want(Starting, 0)
		}
	})
	t.Run("long runs are free", func(t *testing.T) {
		b := begin(t, usual)
		for range 40 {
			b.run(10*time.Second, Exit{Code: 42}).want(Starting, 0)
		}
		if len(b.s.ShortRuns) != 0 {
			t.Errorf("%d short runs are remembered", len(b.s.ShortRuns))
		}
	})
	t.Run("off", func(t *testing.T) {
		c := usual
		c.Budget = Rate{}
		b := begin(t, c)
		for range 100 {
			b.short(CauseCode).want(Starting, 0)
		}
		if len(b.s.ShortRuns) != 0 {
			t.Errorf("%d short runs are remembered without a limit", len(b.s.ShortRuns))
		}
	})
	t.Run("one", func(t *testing.T) {
		c := usual
		c.Budget = Rate{1, time.Minute}
		begin(t, c).short(CauseCode).short(CauseCode).want(Backoff, 0)
	})
}

// TestMarkerInBackoffIsCounted: it starts the bot at once, but something that
// writes one after each crash must not take the delay away for ever.
func TestMarkerInBackoffIsCounted(t *testing.T) {
	b := begin(t, usual)
	for range 5 {
		b.run(time.Second, Exit{Code: 1}).do(Restart{Cause: CauseMarker}).want(Starting, 0)
	}
	b.run(time.Second, Exit{Code: 1}).do(Restart{Cause: CauseMarker}).want(Backoff, 0)
	b.do(Restart{Cause: CauseSignal}).want(Starting, 0) // a person is not counted
}

// TestStormKeepsItsDelays: the window lets a request pass now and then, and
// that must not begin the delays anew; a long run does.
func TestStormKeepsItsDelays(t *testing.T) {
	b := begin(t, usual)
	for range 20 {
		b.short(CauseCode)
		if b.s.Phase == Backoff {
			b.wait()
		}
	}
	if b.s.Crashes < 5 {
		t.Errorf("%d crashes are remembered in a storm", b.s.Crashes)
	}
	b.run(time.Minute, Exit{Code: 42}).want(Starting, 0)
	if b.s.Crashes != 0 {
		t.Errorf("%d crashes are remembered after a long run", b.s.Crashes)
	}
}

func TestMaxCrashes(t *testing.T) {
	c := usual
	c.MaxCrashes = Rate{3, time.Minute}
	b := begin(t, c)
	b.run(time.Second, Exit{Code: 7}).wait().run(time.Second, Exit{Code: 8}).wait()
	b.run(time.Second, Exit{Code: 9}).want(Fatal, 9)
	if !slices.Contains(b.notes, "gave_up") {
		t.Errorf("notes %q", b.notes)
	}

	b = begin(t, c)
	for range 20 { // never three within a minute
		b.run(31*time.Second, Exit{Code: 7}).wait()
	}
	b.want(Starting, 0)
	if len(b.s.CrashedAt) > 3 {
		t.Errorf("%d crashes are remembered", len(b.s.CrashedAt))
	}

	b = begin(t, c) // a signal's code is 128+n
	b.run(0, Exit{Code: 1}).wait().run(0, Exit{Code: 1}).wait().run(0, Exit{Code: 137, Signal: true}).want(Fatal, 137)

	b = begin(t, c) // restarts are no crashes
	for range 20 {
		b.run(time.Minute, Exit{Code: 42})
	}
	b.want(Starting, 0)

	c.MaxCrashes = Rate{1, time.Minute}
	begin(t, c).run(time.Hour, Exit{Code: 1}).want(Fatal, 1)

	// The code of a bot that hung was its answer to our signal, and a storm of
	// bots that end well is no success either.
	for _, tt := range []struct {
		intent     Intent
		code, want int
	}{{IntentHang, 0, 124}, {IntentHang, 42, 124}, {NoIntent, 0, 1}, {IntentRestart, 0, 1}, {IntentRestart, 42, 42}} {
		s := State{Phase: Stopping, Intent: tt.intent, Exit: &Exit{Code: tt.code}}
		if s, _, _ := crashed(c, s, t0); s.Phase != Fatal || s.Code != tt.want {
			t.Errorf("%+v: %s with %d", tt, s.Phase, s.Code)
		}
	}
}

func TestStopIsSticky(t *testing.T) {
	b := begin(t, usual).do(Executed{}, Stop{})
	for _, ev := range []Event{Restart{Cause: CauseMarker}, Restart{Cause: CauseSignal}, Restart{Cause: CauseChange, At: at(time.Hour)}} {
		if b.do(ev); b.s.Intent != IntentStop {
			t.Fatalf("%v took the stop back", ev)
		}
	}
	b.do(LeaderExited{Exit{Code: 42}}, TreeGone{}).want(Down, 0)
	b.do(Restart{Cause: CauseSignal}, Begin{}, Tick{})
	if b.want(Down, 0); b.spawns != 1 {
		t.Errorf("%d starts", b.spawns)
	}
}

func TestStopOverridesAPendingRestart(t *testing.T) {
	b := begin(t, usual).do(Executed{}, Restart{Cause: CauseMarker})
	due := b.s.Deadline
	b.do(Stop{})
	if b.s.Killed {
		t.Fatal("the first stop killed")
	}
	if b.s.Deadline != due {
		t.Errorf("the stop gave the tree %s more", b.s.Deadline.Sub(due))
	}
	if b.do(Stop{}); !b.s.Killed {
		t.Fatal("the second stop did not kill")
	}
	b.do(LeaderExited{Exit{Code: 137, Signal: true}}, TreeGone{}).want(Down, 0)
}

// TestKilledIsForOneRun: what was killed must not be the next run's fate.
func TestKilledIsForOneRun(t *testing.T) {
	b := begin(t, usual).do(Executed{}, Restart{Cause: CauseSignal})
	b.now = b.s.Deadline
	b.do(Tick{})
	if !b.s.Killed || !b.s.Deadline.IsZero() {
		t.Fatalf("after the stop timeout: %+v", b.s)
	}
	b.do(LeaderExited{Exit{Code: 137, Signal: true}}, TreeGone{}).want(Starting, 0)
	if b.s.Killed {
		t.Error("the new run counts as killed")
	}
}

func TestDeadlineIsExact(t *testing.T) {
	b := begin(t, usual).do(Executed{}, Stop{})
	b.now = b.s.Deadline.Add(-1)
	if b.do(Tick{}); b.s.Killed {
		t.Error("killed a nanosecond early")
	}
	b.now = b.s.Deadline
	if b.do(Tick{}); !b.s.Killed {
		t.Error("not killed at the deadline")
	}
}

// TestSlowTreeMakesNoLongRun: the run ends with its leader, however long what
// it left behind takes to end.
func TestSlowTreeMakesNoLongRun(t *testing.T) {
	b := begin(t, usual)
	for _, want := range []time.Duration{2 * time.Second, 4 * time.Second} {
		b.do(Executed{})
		b.now = b.now.Add(time.Second)
		b.do(LeaderExited{Exit{Code: 1}})
		b.now = b.now.Add(15 * time.Second)
		if got := b.do(TreeGone{}).delay(); got != want {
			t.Errorf("back-off %s, want %s", got, want)
		}
		b.wait()
	}
}

// TestStepLeavesItsInputAlone: a state that was given away must stay as it was.
func TestStepLeavesItsInputAlone(t *testing.T) {
	c := usual
	c.MaxCrashes = Rate{100, time.Hour}
	b := begin(t, c)
	for range 5 {
		b.short(CauseCode)
	}
	b.run(time.Second, Exit{Code: 1}).wait().do(Executed{}, LeaderExited{Exit{Code: 42}})
	b.now = b.now.Add(time.Second)
	before := b.s
	text := fmt.Sprintf("%+v %v", before, before.Exit)
	for _, now := range []time.Duration{0, 30 * time.Second, time.Hour} {
		one, _, _ := Step(c, before, TreeGone{}, b.now.Add(now))
		two, _, _ := Step(c, before, TreeGone{}, b.now.Add(now))
		if !reflect.DeepEqual(one, two) {
			t.Errorf("two answers: %+v and %+v", one, two)
		}
	}
	if after := fmt.Sprintf("%+v %v", before, before.Exit); after != text {
		t.Errorf("from %s\nto   %s", text, after)
	}
}

// TestCommandThatIsNotThere: a crash hook may bring it back, once.
func TestCommandThatIsNotThere(t *testing.T) {
	c := usual
	c.CrashHook = true
	missing := Exit{Code: 127, NotExecuted: true}
	b := begin(t, c).do(LeaderExited{missing}, TreeGone{})
	b.want(Backoff, 0)
	b.do(HookDone{}).wait().do(LeaderExited{missing}, TreeGone{})
	b.want(Fatal, 127)
	held := begin(t, c).do(LeaderExited{Exit{Code: 75, NotExecuted: true}}, TreeGone{})
	held.want(Fatal, 75)
	mended := begin(t, c).do(LeaderExited{missing}, TreeGone{}, HookDone{}).wait().do(Executed{})
	mended.want(Up, 0)
}
