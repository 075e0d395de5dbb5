// Package definition writes and reads what service managers start programs by:
// systemd units, launchd property lists, Task Scheduler tasks.
package definition

import (
	"errors"
	"fmt"
	"hash/fnv"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ductor/internal/common/home"
)

// Service is all that a definition is made from. It stands in the definition
// too, so that a later version knows what was asked for.
type Service struct {
	Name        string   `json:"name"`
	Home        string   `json:"home"`                   // DUCTOR_HOME, absolute
	DefaultHome bool     `json:"default_home,omitempty"` // it is the one that programs find without DUCTOR_HOME
	Command     []string `json:"command"`                // what runs; the first word is absolute
	Notify      bool     `json:"notify,omitempty"`       // the command speaks sd_notify
	Env         []string `json:"env,omitempty"`          // K=V
	Managers    []string `json:"managers,omitempty"`     // K=V, where version managers were told to put things
	Runner      string   `json:"runner"`                 // ductor-service, absolute; without a console on Windows
	Path        string   `json:"path"`                   // what PATH is until the runner has made its own
	Dir         string   `json:"dir"`                    // the user's home folder, in which the service starts
	User        string   `json:"user"`                   // login name; on Windows the SID
	Sandbox     string   `json:"sandbox,omitempty"`      // ductor-sandbox, absolute: brought up before the command
	Updater     string   `json:"updater,omitempty"`      // ductor-update, absolute: runs each hour
	Rollback    string   `json:"rollback,omitempty"`     // ductor-update, absolute: what the --on-crash calls that we put into Command
	StopSeconds int      `json:"stop_seconds"`           // how long a stop may take
	Linger      bool     `json:"linger,omitempty"`       // linger was turned on for it
}

// Platform is a service manager, in one of its scopes.
type Platform string

// The platforms.
const (
	SystemdUser   Platform = "systemd-user"
	SystemdSystem Platform = "systemd-system"
	LaunchdAgent  Platform = "launchd-agent"
	LaunchdDaemon Platform = "launchd-daemon"
	Task          Platform = "task"
)

// File is a definition under the name by which its manager knows it: the name
// of a file in the manager's folder, or of a task.
type File struct {
	Name string
	Data []byte
}

// Parts of a service, each with a definition of its own.
const (
	PartService = "service"
	PartUpdate  = "update"
)

// Main is the name of the definition of the service itself.
func (s Service) Main(p Platform) string {
	switch p {
	case SystemdUser, SystemdSystem:
		return s.Name + ".service"
	case LaunchdAgent, LaunchdDaemon:
		return s.Label() + ".plist"
	}
	return s.Name
}

// Label is launchd's name of the service.
func (s Service) Label() string { return "dev." + s.Name }

// Names are the names of all definitions that a service can have, its own
// first.
func (s Service) Names(p Platform) []string {
	switch p {
	case SystemdUser, SystemdSystem:
		return []string{s.Name + ".service", s.Name + "-update.service", s.Name + "-update.timer"}
	case LaunchdAgent, LaunchdDaemon:
		return []string{s.Label() + ".plist", s.Label() + ".update.plist"}
	}
	return []string{s.Name, s.Name + "-update"}
}

// Render writes the definitions of a service: its own first, then those of its
// timer if it has one.
func (s Service) Render(p Platform) ([]File, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	switch p {
	case SystemdUser, SystemdSystem:
		return s.units(p == SystemdSystem)
	case LaunchdAgent, LaunchdDaemon:
		return s.agents(p == LaunchdDaemon)
	case Task:
		return s.tasks()
	}
	return nil, fmt.Errorf("unknown platform %q", p)
}

// check refuses what some definition cannot carry: control characters, of
// which only the tab has a way into XML and units alike, and broken UTF-8.
func (s Service) check() error {
	words := append([]string{s.Name, s.Home, s.Runner, s.Path, s.Dir, s.User, s.Sandbox, s.Updater}, s.Command...)
	for _, w := range slices.Concat(words, s.Managers, s.Env) {
		if err := Carries(w); err != nil {
			return err
		}
	}
	if len(s.Command) == 0 {
		return errors.New("there is no command")
	}
	return nil
}

// Carries says why a word cannot stand in a definition, if it cannot.
func Carries(word string) error {
	if !utf8.ValidString(word) {
		return fmt.Errorf("%q is not UTF-8, and cannot stand in a definition", word)
	}
	for _, r := range word {
		if r < ' ' && r != '\t' || r == 0x7f || isNoncharacter(r) {
			return fmt.Errorf("%q has the character %q, which cannot stand in a definition", word, r)
		}
	}
	return nil
}

// isNoncharacter is Unicode's word for what systemd takes for broken UTF-8, and
// XML in part.
func isNoncharacter(r rune) bool { return r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef }

// Same reports whether two services ask for the same. What is left of the shell
// that installed does not count: PATH, which the runner makes anew at each
// start, and what version managers were told.
func (s Service) Same(o Service) bool {
	return reflect.DeepEqual(s.request(), o.request())
}

func (s Service) request() Service {
	s.Path, s.Managers, s.Linger = "", nil, false
	if len(s.Env) == 0 {
		s.Env = nil
	}
	return s
}

// environment is what every start has, in the order of the definitions.
func (s Service) environment() []string {
	env := []string{"DUCTOR_HOME=" + s.Home, "PATH=" + s.Path}
	return slices.Concat(env, s.Managers, s.Env)
}

// LogFile is where launchd and Windows put standard output ("log") and standard
// error ("err").
func (s Service) LogFile(ending string) string {
	name := "service." + ending
	if s.Name != "ductor" {
		name = "service-" + s.Name + "." + ending
	}
	return s.join(s.Home, "logs", name)
}

// join joins a path in the style of the system that it is of, which is not
// always the one that we run on.
func (s Service) join(words ...string) string {
	if isWindowsPath(words[0]) {
		return strings.Join(words, `\`)
	}
	return path.Join(words...)
}

func isWindowsPath(p string) bool { return len(p) > 1 && (p[1] == ':' || strings.HasPrefix(p, `\\`)) }

// up is the command that brings up the sandbox.
func (s Service) up() []string {
	words := []string{s.Sandbox, "up"}
	if s.Name != string(home.DefaultName) {
		words = append(words, "--name", s.Name)
	}
	return words
}

// update is what the timer runs.
func (s Service) update() []string { return []string{s.Updater, "check", "--name", s.Name} }

// Of the timer: the first time, and how far from the hour two machines may be.
const (
	updateFirst    = 60 * time.Second
	updateInterval = time.Hour
	updateJitter   = 5 * time.Minute
)

// interval is about an hour, and the same at each call: managers that know no
// random delay get it so.
func (s Service) interval() time.Duration {
	steps := uint32(2*updateJitter/time.Minute) + 1
	return updateInterval - updateJitter + time.Duration(s.lot(steps))*time.Minute
}

// lot is a number below n, at random by service but always the same for one.
func (s Service) lot(n uint32) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s.Name + "\x00" + s.Home + "\x00" + s.User))
	return h.Sum32() % n
}
