package supervisor

import (
	"fmt"
	"strconv"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/cmd/ductor-supervise/internal/notify"
	"ductor/cmd/ductor-supervise/internal/policy"
	"ductor/internal/common/exitcode"
)

// above is what the service manager above us was told.
type above struct {
	*notify.Manager
	ready    bool
	stopping bool
	status   string
}

// listen makes the socket that the child speaks to.
func (s *supervisor) listen() (err error) {
	if !s.cfg.Notify {
		return nil
	}
	if s.socket, err = notify.Listen(string(s.run)); err != nil {
		return exitcode.File(exitcode.CantCreat, fmt.Errorf("--notify: %w", err))
	}
	return nil
}

// messages is the channel of the socket, which may be none.
func (s *supervisor) messages() <-chan notify.Message {
	if s.socket == nil {
		return nil
	}
	return s.socket.Messages()
}

// hearAll takes what was sent before something happened that we know of: the
// last word of a bot that ended, or the sign of life before a deadline.
func (s *supervisor) hearAll() {
	if s.socket != nil {
		for _, m := range s.socket.Drain() {
			s.hear(m)
		}
	}
}

// hear takes a message of the child. Between two runs nobody has anything to say.
func (s *supervisor) hear(m notify.Message) {
	if s.tree == nil {
		return
	}
	if m.Status != nil {
		s.status.Text = *m.Status
	}
	if m.Ready {
		s.step(policy.Alive{}, journal.Event{})
	}
	if m.Watchdog {
		s.step(policy.Beat{At: time.Now()}, journal.Event{})
	}
	// Whatever the bot starts has its socket too, and may be a service itself:
	// what ends the bot is taken from nobody else, as systemd does by
	// NotifyAccess=main.
	own := m.PID == s.tree.PID || !notify.KnowsSenders
	if m.Trigger && own {
		s.triggered = true
		s.step(policy.Hung{}, journal.Event{})
	}
	if m.Stopping && own {
		s.step(policy.Ending{}, journal.Event{})
	}
	if m.Extend > 0 {
		s.step(policy.Extend{By: m.Extend}, journal.Event{})
		s.above.Send(extend(m.Extend))
	}
}

func extend(d time.Duration) string {
	return "EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10)
}

// notifyEnv is what the child gets to know of the socket. WATCHDOG_USEC asks it
// for signs of life; the first one begins the watch.
func (s *supervisor) notifyEnv(set map[string]string) {
	if s.socket != nil {
		set["NOTIFY_SOCKET"] = s.socket.Path()
		set["WATCHDOG_USEC"] = strconv.FormatInt(s.cfg.Policy.HangTimeout.Microseconds(), 10)
	}
}

// startGrace is what a manager is asked to give a start beyond the back-off
// that comes before it: systemd's own start timeout.
const startGrace = 90 * time.Second

// report tells the service manager above us how it is.
func (s *supervisor) report() {
	if s.above.Manager == nil {
		return
	}
	phase := s.state.Phase
	if !s.above.ready && (phase == policy.Ready || phase == policy.Up && !s.cfg.Notify) {
		s.above.ready = true
		s.above.Send("READY=1")
	}
	if !s.above.stopping && (s.quit || s.state.Intent == policy.IntentStop) {
		s.above.stopping = true
		s.above.Send("STOPPING=1\n" + extend(s.cfg.Policy.StopTimeout+stopMargin))
	}
	text := s.inWords()
	if text == s.above.status {
		return
	}
	s.above.status = text
	s.above.Send("STATUS=" + text)
	if phase == policy.Backoff && !s.above.ready {
		wait := time.Until(s.state.Deadline)
		if s.state.Hooking {
			wait = max(wait, s.cfg.HookTimeout+stopMargin)
		}
		s.above.Send(extend(wait + startGrace))
	}
}

// inWords is the state for systemctl status.
func (s *supervisor) inWords() string {
	text := string(s.state.Phase)
	if s.tree != nil {
		text += fmt.Sprintf(", PID %d", s.tree.PID)
	}
	if s.state.Hooking {
		text += ", the " + onCrash + " hook runs"
	} else if s.state.Phase == policy.Backoff {
		text += s.state.Deadline.Format(", next start at 15:04:05")
	}
	switch n := s.state.Restarts; {
	case n == 1:
		text += ", 1 restart"
	case n > 1:
		text += fmt.Sprintf(", %d restarts", n)
	}
	if s.status.Text != "" {
		text += ": " + s.status.Text
	}
	return text
}
