// Package home knows where the files of ductor-files(5) lie.
package home

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// DefaultName is the bot that owns the files at the top of a home.
const DefaultName Name = "ductor"

// Name is one word for one bot, the same in all tools.
type Name string

// ErrName says which names are allowed.
var ErrName = errors.New("a name starts with a letter or digit, and has up to 64 letters, digits, '.', '_' or '-'")

// UnmarshalText accepts [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
func (n *Name) UnmarshalText(text []byte) error {
	punct := func(c byte) bool { return c == '.' || c == '_' || c == '-' }
	ok := len(text) >= 1 && len(text) <= 64 && !punct(text[0])
	for _, c := range text {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || punct(c))
	}
	if !ok {
		return fmt.Errorf("%q: %w", text, ErrName)
	}
	*n = Name(text)
	return nil
}

// Home is the folder that $DUCTOR_HOME names.
type Home string

// Find returns $DUCTOR_HOME as an absolute path, or ~/.ductor. It creates
// nothing.
func Find(getenv func(string) string) (Home, error) {
	dir := getenv("DUCTOR_HOME")
	if dir == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the home folder (set DUCTOR_HOME): %w", err)
		}
		dir = filepath.Join(user, ".ductor")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find DUCTOR_HOME %q: %w", dir, err)
	}
	return Home(abs), nil
}

// RestartRequested is the marker at the top: it belongs to the default bot.
func (h Home) RestartRequested() string { return filepath.Join(string(h), "restart-requested") }

// RestartSentinel is what a bot leaves for its own next start.
func (h Home) RestartSentinel() string { return filepath.Join(string(h), "restart-sentinel.json") }

// UpgradeSentinel is what an upgrade leaves for the bot's next start.
func (h Home) UpgradeSentinel() string { return filepath.Join(string(h), "upgrade-sentinel.json") }

// Sandbox is the folder that the container keeps its own in.
func (h Home) Sandbox() string { return filepath.Join(string(h), "sandbox") }

// Logs is the folder of log files.
func (h Home) Logs() string { return filepath.Join(string(h), "logs") }

// RunRoot is the folder that holds one folder a bot.
func (h Home) RunRoot() string { return filepath.Join(string(h), "run") }

// Run returns the files of one bot.
func (h Home) Run(name Name) Run {
	return Run(filepath.Join(h.RunRoot(), string(name)))
}

// Run is the folder run/NAME.
type Run string

// Make creates the folders, 0700 each, since a home holds tokens.
func (r Run) Make() error {
	if err := os.MkdirAll(r.Ctl(), 0o700); err != nil {
		return fmt.Errorf("create the run folder: %w", err)
	}
	return nil
}

// BotPID is the PID file that the bot's lock belongs to.
func (r Run) BotPID() string { return filepath.Join(string(r), "bot.pid") }

// SupervisePID is the PID file that the supervisor's own lock belongs to.
func (r Run) SupervisePID() string { return filepath.Join(string(r), "supervise.pid") }

// Status is the supervisor's state, replaced at each transition.
func (r Run) Status() string { return filepath.Join(string(r), "status.json") }

// Events is the bounded history, one JSON object a line.
func (r Run) Events() string { return filepath.Join(string(r), "events.jsonl") }

// Ctl is the folder of control files. It is watched, and nothing else may lie
// in it: kqueue opens and closes every file of a watched folder, and a close
// of a lock file by its holder drops the lock.
func (r Run) Ctl() string { return filepath.Join(string(r), "ctl") }

// CtlRestart asks this bot's supervisor for a restart.
func (r Run) CtlRestart() string { return filepath.Join(r.Ctl(), "restart-requested") }

// CtlStop asks this bot's supervisor to stop.
func (r Run) CtlStop() string { return filepath.Join(r.Ctl(), "stop-requested") }

// CtlHold makes restarts by file changes wait while it is there and young.
func (r Run) CtlHold() string { return filepath.Join(r.Ctl(), "hold") }

// HoldGuard is the PID file whose lock guards changes of CtlHold. It is not in
// that folder, which is watched.
func (r Run) HoldGuard() string { return filepath.Join(string(r), "hold") }

// ServiceGuard is the file beside whose lock ductor-service changes the service
// of this bot.
func (r Run) ServiceGuard() string { return filepath.Join(string(r), "service") }

// UpdateState is what ductor-update remembers from one run to the next.
func (r Run) UpdateState() string { return filepath.Join(string(r), "update.json") }

// SandboxGuard is the file beside whose lock the container of this bot is made
// and removed.
func (r Run) SandboxGuard() string { return filepath.Join(string(r), "sandbox") }

// RemovalGuard is the file beside whose lock a container of this bot is removed,
// and no command is started in one.
func (r Run) RemovalGuard() string { return filepath.Join(string(r), "removal") }

// Runs is the folder of the commands that run in the container.
func (r Run) Runs() string { return filepath.Join(string(r), "runs") }

// UpdateLock is the file beside whose lock, update.lock, the bot is upgraded.
func (r Run) UpdateLock() string { return filepath.Join(string(r), "update") }

// Notify is the socket that the bot speaks to.
func (r Run) Notify() string { return filepath.Join(string(r), "notify") }
