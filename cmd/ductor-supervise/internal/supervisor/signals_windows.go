package supervisor

import (
	"os"
	"os/signal"
	"syscall"

	"ductor/cmd/ductor-supervise/internal/policy"
	"ductor/internal/common/process"
)

// signals are those that a supervisor acts on: Ctrl-C and Ctrl-Break, the
// closing of the console, and what ductor-lock kill sends.
type signals struct {
	c       chan os.Signal
	restart chan os.Signal // nothing asks for one here
	hangup  policy.Event
}

func notifySignals() (*signals, error) {
	s := &signals{c: make(chan os.Signal, 8)}
	signal.Notify(s.c, os.Interrupt, syscall.SIGTERM)
	return s, process.Asked(func() {
		select {
		case s.c <- syscall.SIGTERM:
		default: // eight are enough to be heard
		}
	})
}

func meaning(os.Signal, policy.Event) policy.Event { return policy.Stop{} }

func isHangup(os.Signal) bool { return false }

// signalName has the names of Unix for what Go makes of console events, so that
// whoever reads events needs to know only these.
func signalName(sig os.Signal) string {
	switch sig {
	case nil:
		return ""
	case os.Interrupt:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return sig.String()
}
