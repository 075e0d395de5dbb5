package definition

import (
	"fmt"
	"strings"

	"howett.net/plist"
)

const commentEnd = " -->"

// agent is the part of launchd.plist(5) that we use.
type agent struct {
	Label                string
	ProgramArguments     []string
	RunAtLoad            bool
	KeepAlive            map[string]bool `plist:",omitempty"`
	ThrottleInterval     int             `plist:",omitempty"` // seconds
	ExitTimeOut          int             `plist:",omitempty"` // seconds
	StartInterval        int             `plist:",omitempty"` // seconds
	ProcessType          string          // anything but Interactive is throttled, and with it all that the bot starts
	UserName             string          `plist:",omitempty"`
	WorkingDirectory     string
	EnvironmentVariables map[string]string
	StandardOutPath      string
	StandardErrorPath    string
}

// throttleSeconds is launchd's own default, written down.
const throttleSeconds = 10

func (s Service) agents(daemon bool) ([]File, error) {
	main := s.agent(daemon)
	main.Label = s.Label()
	main.ProgramArguments = s.run(s.withSandbox())
	main.KeepAlive = map[string]bool{"SuccessfulExit": false}
	main.ThrottleInterval = throttleSeconds
	main.ExitTimeOut = s.StopSeconds
	main.EnvironmentVariables["DUCTOR_SERVICE"] = "launchd"
	file, err := s.plist(PartService, main)
	if err != nil || s.Updater == "" {
		return []File{file}, err
	}
	timer := s.agent(daemon)
	timer.Label = s.Label() + ".update"
	// launchd has no delay before the first start; a minute does no harm later.
	words := append([]string{"/bin/sh", "-c", fmt.Sprintf(`sleep %d; exec "$0" "$@"`, int(updateFirst.Seconds()))}, s.update()...)
	timer.ProgramArguments = s.run(words)
	timer.StartInterval = int(s.interval().Seconds())
	second, err := s.plist(PartUpdate, timer)
	return []File{file, second}, err
}

// agent is what the service and its timer have in common.
func (s Service) agent(daemon bool) agent {
	a := agent{
		RunAtLoad:            true,
		ProcessType:          "Interactive",
		WorkingDirectory:     s.Dir,
		EnvironmentVariables: map[string]string{},
		StandardOutPath:      s.LogFile("log"),
		StandardErrorPath:    s.LogFile("err"),
	}
	if daemon {
		a.UserName = s.User
	}
	for _, e := range s.environment() {
		k, v, _ := strings.Cut(e, "=")
		a.EnvironmentVariables[k] = v
	}
	return a
}

// withSandbox is the command, after the sandbox if there is one; without a
// sandbox the bot starts all the same.
func (s Service) withSandbox() []string {
	if s.Sandbox == "" {
		return s.Command
	}
	up := strings.Join(s.up()[1:], " ") // names have no letters that a shell knows
	return append([]string{"/bin/sh", "-c", `"$0" ` + up + `; exec "$@"`, s.Sandbox}, s.Command...)
}

func (s Service) plist(part string, a agent) (File, error) {
	data, err := plist.MarshalIndent(a, plist.XMLFormat, "\t")
	if err != nil {
		return File{}, fmt.Errorf("write the property list: %w", err)
	}
	head, body, _ := strings.Cut(string(data), "<plist")
	text := head + "<!-- Written by ductor-service; it would be overwritten. -->\n<!-- @STAMP@" + commentEnd + "\n<plist" + body + "\n"
	return File{a.Label + ".plist", s.stamped(part, text)}, nil
}
