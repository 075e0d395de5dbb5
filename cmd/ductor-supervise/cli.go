package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"ductor/cmd/ductor-supervise/internal/policy"
	"ductor/internal/common/cli"
	"ductor/internal/common/home"
)

const description = "Keep one command running: restart it for the right reasons, stop it for good."

type grammar struct {
	cli.Common

	Run      runCmd      `cmd:"" default:"withargs" help:"Supervise a command in the foreground (the default)."`
	Status   statusCmd   `cmd:"" help:"Say how it is: exit 0 if supervised, 1 if not."`
	Restart  restartCmd  `cmd:"" help:"Ask the supervisor to restart the command."`
	Stop     stopCmd     `cmd:"" help:"Ask the supervisor to stop for good."`
	List     listCmd     `cmd:"" help:"Say how all bots of this home are."`
	Events   eventsCmd   `cmd:"" help:"Print what happened."`
	Logs     logsCmd     `cmd:"" help:"Print what the command wrote, with --log."`
	Hold     holdCmd     `cmd:"" help:"Run a command; restarts by file changes wait for its end."`
	Sentinel sentinelCmd `cmd:"" help:"Write or consume restart-sentinel.json."`
	Marker   markerCmd   `cmd:"" help:"Write or consume restart-requested."`
}

// runGrammar is grammar for the verb that stays: the models that kong would
// build of the others are memory for the life of the supervisor.
type runGrammar struct {
	cli.Common

	Run runCmd `cmd:"" help:"Supervise a command in the foreground (the default)."`
}

// withVerb names the default verb where none is named: in front of "--", behind
// which everything is a command even if it is called like a verb, and of a
// word that is no verb.
func withVerb(args []string) []string {
	flagFirst := len(args) > 0 && strings.HasPrefix(args[0], "-")
	switch {
	case flagFirst && !slices.Contains(args, "--"), len(args) > 0 && isVerb(args[0]):
		return args
	}
	return append([]string{"run"}, args...)
}

func isVerb(word string) bool {
	t := reflect.TypeFor[grammar]()
	for i := range t.NumField() {
		if _, verb := t.Field(i).Tag.Lookup("cmd"); verb && strings.ToLower(t.Field(i).Name) == word {
			return true
		}
	}
	return false
}

func grammarFor(args []string) any {
	if len(args) > 0 && args[0] == "run" {
		return &runGrammar{}
	}
	return &grammar{}
}

type nameFlag struct {
	Name home.Name `default:"ductor" placeholder:"NAME" help:"Which bot (${default})."`
}

type runCmd struct {
	nameFlag

	StopCode         []code        `default:"0" sep:"," placeholder:"N,…" help:"Exit codes that mean: stop (${default})."`
	RestartCode      []code        `default:"42" sep:"," placeholder:"N,…" help:"Exit codes that mean: start me again at once (${default})."`
	FatalCode        []code        `default:"78" sep:"," placeholder:"N,…" help:"Exit codes that mean: a human is needed (${default})."`
	Backoff          backoff       `default:"1s:30s" placeholder:"MIN:MAX" help:"Delay after a crash; doubles with each short run (${default})."`
	ResetAfter       time.Duration `default:"10s" placeholder:"D" help:"A run of this length is not a short one (${default})."`
	RestartBudget    rate          `default:"5/60s" placeholder:"N/D|off" help:"Short runs that may ask for a restart, within D; one more counts as a crash (${default})."`
	MaxCrashes       rate          `default:"off" placeholder:"N/D|off" help:"Give up at the Nth crash within D (${default})."`
	StopSignal       stopSignal    `default:"TERM" placeholder:"SIG" help:"Signal that asks the command to end (${default})."`
	StopTimeout      time.Duration `default:"10s" placeholder:"D" help:"How long it may take to end before it is killed (${default})."`
	Tree             string        `default:"group" enum:"group,leader" placeholder:"group|leader" help:"Whom signals are for: all that came of the command, or the command alone (${default})."`
	Marker           []string      `sep:"none" placeholder:"PATH" help:"A further file that asks for a restart when it appears. Repeatable."`
	KillExisting     bool          `help:"Take over from a supervisor or bot that runs already, at the first start."`
	NoLock           bool          `help:"Start the command without ductor-lock."`
	Stdin            bool          `help:"Relay our standard input to the command."`
	Heartbeat        string        `placeholder:"PATH" help:"A file that the command touches: the first touch means ready, and none for --heartbeat-timeout that it hangs."`
	HeartbeatTimeout time.Duration `default:"2m" placeholder:"D" help:"How long no heartbeat may come, or no WATCHDOG=1 with --notify (${default})."`
	Notify           bool          `help:"Give the command a NOTIFY_SOCKET, as systemd does, and listen to sd_notify there."`
	Events           string        `placeholder:"PATH|-" help:"Also write events there, as JSON lines; with '-' to stdout, and the command's stdout goes to stderr."`
	EnvFile          string        `placeholder:"FILE" help:"KEY=VALUE lines for the command's environment, read at each start."`
	Chdir            string        `placeholder:"DIR" help:"Working folder of the command."`
	Watch            []string      `sep:"none" placeholder:"DIR" help:"Restart when a file in this folder or below changes. Repeatable."`
	Ext              []string      `sep:"," placeholder:".py" help:"Watch only files with these endings. Repeatable."`
	Ignore           []string      `sep:"none" placeholder:"GLOB" help:"Do not watch what matches: a name, or a path below DIR with '**'. Repeatable."`

	WatchMode        watchMode     `default:"auto" placeholder:"auto|native|poll[:D]" help:"How to watch: by the system, or by looking every D, 2s if not given; auto looks where the system cannot tell (${default})."`
	NoGitignore      bool          `help:"Watch also what .gitignore files name."`
	Preflight        string        `placeholder:"CMD" help:"Shell command that must succeed before a restart by a file change."`
	PreflightTimeout time.Duration `default:"1m" placeholder:"D" help:"How long it may take (${default})."`
	Hold             string        `placeholder:"PATH" help:"File that makes restarts by file changes wait; default: run/NAME/ctl/hold."`
	HoldMax          time.Duration `default:"30m" placeholder:"D" help:"An older one counts for nothing (${default})."`
	Log              string        `placeholder:"FILE" help:"Write the command's output there instead."`
	LogSize          size          `default:"10MB" placeholder:"SIZE" help:"Begin a new one at this size (${default})."`
	LogKeep          int           `default:"5" placeholder:"N" help:"How many old ones are kept (${default})."`
	LogTime          bool          `help:"Put the time in front of each line."`
	Tail             *size         `placeholder:"SIZE" help:"Keep so much of the end of standard error for the event of its exit; default: 4kB with --log."`
	OnEvent          string        `placeholder:"CMD" help:"Shell command to run at each event, which it gets as JSON on its standard input."`
	OnCrash          string        `placeholder:"CMD" help:"Shell command to run after a crash; the next start waits for it."`
	HookTimeout      time.Duration `default:"10m" placeholder:"D" help:"How long --on-crash may take (${default})."`
	DryRun           bool          `help:"Say what would be done, and do nothing."`

	Command cli.Command `arg:"" optional:"" name:"cmd" passthrough:"partial" help:"The command; default: PYTHON -m ductor_bot."`
}

type waitFlags struct {
	JSON    bool          `name:"json" help:"Print JSON."`
	Wait    bool          `help:"${wait}"`
	Timeout time.Duration `default:"60s" placeholder:"D" help:"How long to wait at most (${default}); then exit 124."`
}

type statusCmd struct {
	nameFlag
	waitFlags `set:"wait=Wait until the command is up."`
	Follow    bool `help:"Show it anew with each change, until interrupted."`
}

type listCmd struct {
	JSON bool `name:"json" help:"Print JSON, one object a line."`
}

type logsCmd struct {
	nameFlag
	Follow bool `short:"f" help:"Go on with new lines as they come."`
	Lines  int  `short:"n" default:"100" placeholder:"N" help:"How many of the last lines (${default})."`
}

type holdCmd struct {
	nameFlag
	Hold    string      `placeholder:"PATH" help:"The file, if the supervisor has been given another; default: run/NAME/ctl/hold."`
	Command cli.Command `arg:"" name:"cmd" passthrough:"partial" help:"The command."`
}

type restartCmd struct {
	nameFlag
	waitFlags `set:"wait=Wait until the new run is up."`
}

type stopCmd struct {
	nameFlag
	waitFlags `set:"wait=Wait until the supervisor has ended."`
}

type eventsCmd struct {
	nameFlag
	JSON    bool          `name:"json" help:"Print JSON, one object a line."`
	Wait    bool          `help:"Go on with new events as they come."`
	Timeout time.Duration `default:"0s" placeholder:"D" help:"With --wait: for how long (${default}: until interrupted)."`
}

type sentinelCmd struct {
	Write   sentinelWriteCmd   `cmd:"" help:"Leave a message for the next start."`
	Consume sentinelConsumeCmd `cmd:"" help:"Print the message and remove it: exit 1 if there is none."`
}

type sentinelWriteCmd struct {
	ChatID  cli.Number `name:"chat-id" required:"" placeholder:"N" help:"Whom to tell."`
	Message string     `placeholder:"TEXT" help:"What to tell."`
}

type sentinelConsumeCmd struct{}

type markerCmd struct {
	Write   markerWriteCmd   `cmd:"" help:"Ask for a restart."`
	Consume markerConsumeCmd `cmd:"" help:"Take the request away: exit 1 if there is none."`
}

type markerWriteCmd struct{ nameFlag }

type markerConsumeCmd struct{ nameFlag }

// AfterApply checks what the grammar cannot say.
func (c *runCmd) AfterApply() error {
	for flag, d := range map[string]time.Duration{"--reset-after": c.ResetAfter, "--stop-timeout": c.StopTimeout} {
		if d < 0 {
			return fmt.Errorf("%s=%s: must not be negative", flag, d)
		}
	}
	for flag, d := range map[string]time.Duration{"--heartbeat-timeout": c.HeartbeatTimeout, "--preflight-timeout": c.PreflightTimeout,
		"--hold-max": c.HoldMax, "--hook-timeout": c.HookTimeout} {
		if d <= 0 {
			return fmt.Errorf("%s=%s: must be more than nothing", flag, d)
		}
	}
	lists := []struct {
		flag  string
		codes []code
	}{{"--stop-code", c.StopCode}, {"--restart-code", c.RestartCode}, {"--fatal-code", c.FatalCode}}
	for i, a := range lists {
		for _, b := range lists[i+1:] {
			for _, n := range a.codes {
				if slices.Contains(b.codes, n) {
					return fmt.Errorf("exit code %d is in %s and in %s", n, a.flag, b.flag)
				}
			}
		}
	}
	if c.Chdir != "" && !isFolder(c.Chdir) {
		return fmt.Errorf("--chdir=%q: is not a folder", c.Chdir)
	}
	for _, dir := range c.Watch {
		if !isFolder(dir) {
			return fmt.Errorf("--watch=%q: is not a folder", dir)
		}
	}
	if len(c.Watch) == 0 && (len(c.Ext)+len(c.Ignore) > 0 || c.Preflight != "" || c.Hold != "") {
		return errors.New("--ext, --ignore, --preflight and --hold need --watch")
	}
	for i, ext := range c.Ext {
		if !strings.HasPrefix(ext, ".") {
			c.Ext[i] = "." + ext
		}
	}
	return nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// code is an exit code.
type code int

func (c *code) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil {
		return fmt.Errorf("%q is not an exit code (0 to 255)", text)
	}
	*c = code(n)
	return nil
}

func ints(codes []code) (n []int) {
	for _, c := range codes {
		n = append(n, int(c))
	}
	return n
}

// backoff is MIN:MAX.
type backoff struct{ min, max time.Duration }

func (b *backoff) UnmarshalText(text []byte) error {
	low, high, ok := strings.Cut(string(text), ":")
	least, err1 := time.ParseDuration(low)
	most, err2 := time.ParseDuration(high)
	if !ok || err1 != nil || err2 != nil || least < 0 || least > most {
		return fmt.Errorf("%q is not MIN:MAX, such as 1s:30s", text)
	}
	*b = backoff{least, most}
	return nil
}

// rate is N/D or "off".
type rate policy.Rate

func (r *rate) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*r = rate{}
		return nil
	}
	count, per, ok := strings.Cut(string(text), "/")
	n, err1 := strconv.Atoi(count)
	d, err2 := time.ParseDuration(per)
	if !ok || err1 != nil || err2 != nil || n < 1 || d <= 0 {
		return fmt.Errorf("%q is not N/D, such as 5/60s, nor 'off'", text)
	}
	*r = rate{n, d}
	return nil
}

// size is a number of bytes.
type size int64

func (s *size) UnmarshalText(text []byte) error {
	word := strings.ToUpper(string(text))
	unit := int64(1)
	for suffix, factor := range map[string]int64{"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30} {
		if number, ok := strings.CutSuffix(word, suffix); ok {
			word, unit = number, factor
		}
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is not a size such as 4096, 64kB or 10MB", text)
	}
	*s = size(n * unit)
	return nil
}
