package supervisor

import (
	"os"
	"os/signal"
	"syscall"

	"ductor/cmd/ductor-supervise/internal/policy"
)

// signals are those that a supervisor acts on: Ctrl-C, Ctrl-Break, and the
// closing of the console.
type signals struct {
	c       chan os.Signal
	restart chan os.Signal // nothing asks for one here
	hangup  policy.Event
}

func notifySignals() *signals {
	s := &signals{c: make(chan os.Signal, 8)}
	signal.Notify(s.c, os.Interrupt, syscall.SIGTERM)
	return s
}

func (s *signals) stop() { signal.Stop(s.c) }

func meaning(os.Signal, policy.Event) policy.Event { return policy.Stop{} }

func isHangup(os.Signal) bool { return false }

func signalName(sig os.Signal) string {
	if sig == nil {
		return ""
	}
	return sig.String()
}
