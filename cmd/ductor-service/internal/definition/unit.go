package definition

import (
	"fmt"
	"strings"
)

// RestartSeconds is how long systemd waits before it starts a supervisor again,
// which itself does not end for a crash of its bot.
const RestartSeconds = 5

// units are those of systemd. What is not there is not there on purpose: no
// network-online.target, which the user manager does not have; no sandboxing,
// which breaks the sandboxes that AI CLIs make for themselves.
func (s Service) units(system bool) ([]File, error) {
	files := []File{{s.Main(SystemdUser), s.stamped(PartService, s.unit(system))}}
	if s.Updater == "" {
		return files, nil
	}
	return append(files,
		File{s.Name + "-update.service", s.stamped(PartUpdate, s.updateUnit(system))},
		File{s.Name + "-update.timer", s.stamped(PartUpdate, s.timerUnit(system))}), nil
}

// unitText collects lines.
type unitText struct{ strings.Builder }

func (u *unitText) add(format string, args ...any) { fmt.Fprintf(u, format+"\n", args...) }

// head is how every unit of ours begins.
func (u *unitText) head(edit, description string) {
	u.add("# Written by ductor-service. For changes of your own: %s", edit)
	u.add("# @STAMP@")
	u.add("[Unit]")
	u.add("Description=%s", description)
}

func (s Service) edit(unit string, system bool) string {
	if system {
		return "systemctl edit " + unit
	}
	return "systemctl --user edit " + unit
}

func (s Service) unit(system bool) string {
	var u unitText
	u.head(s.edit(s.Name, system), s.Name+", kept running by ductor")
	// Who gives up on a bot for ever is the supervisor, by its exit code.
	u.add("StartLimitIntervalSec=0")
	u.add("")
	u.add("[Service]")
	if s.Notify {
		u.add("Type=notify")
		u.add("NotifyAccess=main")
	} else {
		u.add("Type=exec")
	}
	s.asUser(&u, system)
	if s.Sandbox != "" {
		// To build an image takes minutes; without a sandbox the bot starts all the same.
		u.add("TimeoutStartSec=15min")
		u.add("ExecStartPre=-%s", execLine(s.run(s.up())))
	}
	u.add("ExecStart=%s", execLine(s.run(s.Command)))
	u.add("Restart=on-failure")
	u.add("RestartSec=%d", RestartSeconds)
	u.add("RestartPreventExitStatus=64 78")
	u.add("KillMode=mixed")
	u.add("TimeoutStopSec=%d", s.StopSeconds)
	// A compiler that runs out of memory must not take the bot with it.
	u.add("OOMPolicy=continue")
	u.add("SyslogIdentifier=%s", s.Name)
	u.add("")
	u.add("[Install]")
	if system {
		u.add("WantedBy=multi-user.target")
	} else {
		u.add("WantedBy=default.target")
	}
	return u.String()
}

// asUser is the environment, and whose it is.
func (s Service) asUser(u *unitText, system bool) {
	if system {
		u.add("User=%s", percent(s.User))
		u.add("WorkingDirectory=%s", percent(bare(s.Dir)))
	}
	for _, e := range s.environment() {
		u.add("Environment=%s", quote(e))
	}
}

func (s Service) updateUnit(system bool) string {
	var u unitText
	u.head(s.edit(s.Name+"-update.timer", system), "look for a new version of "+s.Name)
	u.add("")
	u.add("[Service]")
	u.add("Type=oneshot")
	s.asUser(&u, system)
	u.add("ExecStart=%s", execLine(s.run(s.update())))
	u.add("TimeoutStartSec=10min")
	u.add("SuccessExitStatus=69") // to be offline is no failure
	u.add("SyslogIdentifier=%s-update", s.Name)
	return u.String()
}

func (s Service) timerUnit(system bool) string {
	var u unitText
	u.head(s.edit(s.Name+"-update.timer", system), "look for new versions of "+s.Name)
	u.add("")
	u.add("[Timer]")
	u.add("OnStartupSec=%d", int(updateFirst.Seconds()))
	// OnUnitInactiveSec, because what has not run since the manager started was never active.
	u.add("OnUnitInactiveSec=%d", int(s.interval().Seconds()))
	u.add("")
	u.add("[Install]")
	u.add("WantedBy=timers.target")
	return u.String()
}

// run is a command line that goes through the runner.
func (s Service) run(command []string) []string {
	return append([]string{s.Runner, "run", "--"}, command...)
}

// execLine writes a command line so that systemd passes on exactly these words.
func execLine(words []string) string {
	// It takes no quotes, backslashes or tabs in the path of a program, however they
	// are written ("Executable name contains special characters", seen with 252).
	if strings.ContainsAny(words[0], "'\"\\\t") {
		words = append([]string{"/bin/sh", "-c", `exec "$0" "$@"`}, words...)
	}
	quoted := []string{quote(words[0])} // in which $ means nothing
	for _, w := range words[1:] {
		quoted = append(quoted, quote(strings.ReplaceAll(w, "$", "$$")))
	}
	return strings.Join(quoted, " ")
}

// quote writes a word as systemd reads it, in ExecStart= and Environment=.
func quote(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, "\t", `\t`).Replace(word) + `"`
}

// percent is for settings that take no quotes.
func percent(word string) string { return strings.ReplaceAll(word, "%", "%%") }

// bare is a folder where there are no quotes: a backslash at its end would join
// the next line to it, and a space would be lost.
func bare(dir string) string {
	if strings.TrimRight(dir, "\\ \t") != dir {
		return dir + "/"
	}
	return dir
}
