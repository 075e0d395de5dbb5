package notify

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Manager is the service manager above us. All methods may be called on nil,
// where there is none, and then do nothing.
type Manager struct {
	watchdog time.Duration
	wake     chan struct{}
	ended    chan struct{} // closed when all is sent after Close
	trouble  chan error

	mu      sync.Mutex
	pending []string // a datagram each, the oldest first; no key twice
	closed  bool
}

// NewManager returns nil if getenv knows no NOTIFY_SOCKET. What is in it, and
// in WATCHDOG_USEC and WATCHDOG_PID, is read by go-systemd from the process's
// own environment: these must stay there.
func NewManager(getenv func(string) string) *Manager {
	if getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	m := &Manager{wake: make(chan struct{}, 1), ended: make(chan struct{}), trouble: make(chan error, 1)}
	// It fails for a value that systemd never sets.
	if limit, err := daemon.SdWatchdogEnabled(false); err == nil && limit > 0 {
		m.watchdog = limit / 2 // as sd_watchdog_enabled(3) recommends
	}
	go m.run()
	return m
}

// Watchdog is the interval at which to send WATCHDOG=1, half of the limit; 0 if
// the manager does not wait for that, or not from us.
func (m *Manager) Watchdog() time.Duration {
	if m == nil {
		return 0
	}
	return m.watchdog
}

// Send queues lines of KEY=VALUE, and never blocks. A manager that does not
// listen gets of each key the last value, and what stands in different calls
// in different datagrams: of a datagram with READY=1 and STOPPING=1 systemd
// takes one. What could not be sent is tried again with the next Send.
func (m *Manager) Send(state string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.pending = coalesce(append(m.pending, state))
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Trouble has the first reason why something could not be sent.
func (m *Manager) Trouble() <-chan error {
	if m == nil {
		return nil
	}
	return m.trouble
}

// Close, the last call, waits for what is queued, but not longer than limit.
func (m *Manager) Close(limit time.Duration) {
	if m == nil {
		return
	}
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.wake)
	}
	m.mu.Unlock()
	select {
	case <-m.ended:
	case <-time.After(limit):
	}
}

func (m *Manager) run() {
	defer close(m.ended)
	for range m.wake {
		m.flush()
	}
	m.flush()
}

// flush sends what is pending until something fails.
func (m *Manager) flush() {
	for {
		state := m.take()
		if state == "" {
			return
		}
		if _, err := daemon.SdNotify(false, state); err != nil {
			m.putBack(state)
			select {
			case m.trouble <- err:
			default:
			}
			return
		}
	}
}

func (m *Manager) take() (state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.pending) > 0 {
		state, m.pending = m.pending[0], m.pending[1:]
	}
	return state
}

func (m *Manager) putBack(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending = coalesce(slices.Insert(m.pending, 0, state))
}

// coalesce leaves of each key the last line alone, so that a queue never holds
// more than one of each, and drops what is then empty.
func coalesce(states []string) (left []string) {
	seen := map[string]bool{}
	for _, state := range slices.Backward(states) {
		var lines []string
		for _, line := range slices.Backward(strings.Split(state, "\n")) {
			if key, _, ok := strings.Cut(line, "="); ok && !seen[key] {
				seen[key] = true
				lines = append(lines, line)
			}
		}
		if slices.Reverse(lines); len(lines) > 0 {
			left = append(left, strings.Join(lines, "\n"))
		}
	}
	slices.Reverse(left)
	return left
}
