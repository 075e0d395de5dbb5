//go:build unix

package supervisor

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"ductor/cmd/ductor-supervise/internal/policy"
)

// signals are those that a supervisor acts on.
type signals struct {
	c       chan os.Signal // may mean a stop
	restart chan os.Signal // USR1: many are one, and must not crowd out a stop
	pipe    chan os.Signal
	hangup  policy.Event // what HUP means here
}

// notifySignals subscribes. INT, QUIT and HUP stay ignored when they were (nohup,
// background jobs of scripts). HUP stops us when a terminal is there to be
// closed: a closed window must not leave a stray supervisor. PIPE is caught
// and dropped, so that a reader of our log can go without taking us along; it
// is not ignored, because the child would inherit that.
func notifySignals() (*signals, error) {
	s := &signals{c: make(chan os.Signal, 8), restart: make(chan os.Signal, 1), pipe: make(chan os.Signal, 1), hangup: policy.Restart{Cause: policy.CauseSignal}}
	signal.Notify(s.c, unix.SIGTERM)
	signal.Notify(s.restart, unix.SIGUSR1)
	// QUIT stops as INT does: left to the runtime it would end us with a dump
	// and code 2, and leave the bot behind.
	for _, sig := range []os.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(s.c, sig)
		}
	}
	signal.Notify(s.pipe, unix.SIGPIPE)
	if tty, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err == nil {
		unix.Close(tty)
		s.hangup = policy.Stop{}
	}
	return s, nil
}

// meaning translates a signal.
func meaning(sig os.Signal, hangup policy.Event) policy.Event {
	switch sig {
	case unix.SIGHUP:
		return hangup
	case unix.SIGUSR1:
		return policy.Restart{Cause: policy.CauseSignal}
	}
	return policy.Stop{}
}

func isHangup(sig os.Signal) bool { return sig == unix.SIGHUP }

// signalName is "SIGTERM" for a signal, and "" for none.
func signalName(sig os.Signal) string {
	if n, ok := sig.(unix.Signal); ok {
		return unix.SignalName(n)
	}
	return ""
}
