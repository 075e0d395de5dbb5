package policy

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// life is how one run of the simulated command goes.
type life struct {
	lasts time.Duration // until it ends by itself; negative: until it is told to
	ends  time.Duration // how long it takes to obey a stop signal; negative: it does not
	exit  Exit
}

// sim is a supervisor without processes: the real policy, real timers, and
// runs that are goroutines asleep. It is made for a synctest bubble, where the
// clock moves only when all are asleep.
type sim struct {
	c        Config
	lives    func(n int) life
	events   chan Event
	began    time.Time
	starts   []time.Duration
	deadline *time.Timer
	term     chan struct{} // of the current run
	kill     chan struct{}
}

func newSim(c Config, lives func(n int) life) *sim {
	return &sim{c: c, lives: lives, events: make(chan Event), began: time.Now()}
}

// spawn lives a life. Its tree is gone with its leader.
func (m *sim) spawn() {
	l := m.lives(len(m.starts))
	m.starts = append(m.starts, time.Since(m.began))
	term, kill := make(chan struct{}), make(chan struct{})
	m.term, m.kill = term, kill
	go func() {
		m.events <- Executed{}
		var end <-chan time.Time
		if l.lasts >= 0 {
			end = time.After(l.lasts)
		}
		exit := l.exit
		select {
		case <-end:
		case <-kill:
			exit = Exit{Code: 137, Signal: true}
		case <-term:
			var obeyed <-chan time.Time
			if l.ends >= 0 {
				obeyed = time.After(l.ends)
			}
			select {
			case <-obeyed:
			case <-kill:
				exit = Exit{Code: 137, Signal: true}
			}
		}
		m.events <- LeaderExited{exit}
		m.events <- TreeGone{}
	}()
}

// run supervises until the end and returns its state.
func (m *sim) run() State {
	s := State{Phase: Idle}
	quit := false
	m.deadline = time.NewTimer(time.Hour)
	defer m.deadline.Stop()
	for ev := Event(Begin{}); ; {
		var actions []Action
		s, actions, _ = Step(m.c, s, ev, time.Now())
		for _, a := range actions {
			switch a {
			case Spawn:
				m.spawn()
			case Terminate:
				close(m.term)
			case Kill:
				close(m.kill)
			case Quit:
				quit = true
			}
		}
		if quit {
			return s
		}
		m.deadline.Stop()
		if !s.Deadline.IsZero() {
			m.deadline.Reset(time.Until(s.Deadline))
		}
		select {
		case ev = <-m.events:
		case <-m.deadline.C:
			ev = Tick{}
		}
	}
}

// after sends an event at a time since the beginning.
func (m *sim) after(d time.Duration, ev Event) {
	go func() {
		time.Sleep(d - time.Since(m.began))
		if r, ok := ev.(Restart); ok {
			r.At = time.Now()
			ev = r
		}
		m.events <- ev
	}()
}

func secs(s ...float64) (d []time.Duration) {
	for _, v := range s {
		d = append(d, time.Duration(v*float64(time.Second)))
	}
	return d
}

func always(l life) func(int) life { return func(int) life { return l } }

func (m *sim) want(t *testing.T, s State, p Phase, code int, end time.Duration, starts ...float64) {
	t.Helper()
	if want := secs(starts...); !slices.Equal(m.starts, want) {
		t.Errorf("starts at\n got %v\nwant %v", m.starts, want)
	}
	if got := time.Since(m.began); got != end {
		t.Errorf("ended at %s, want %s", got, end)
	}
	if s.Phase != p || s.Code != code {
		t.Errorf("ended %s with %d, want %s with %d", s.Phase, s.Code, p, code)
	}
}

// TestVirtualCrashes: the instants of the starts are exact.
func TestVirtualCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(usual, func(n int) life {
			if n == 6 {
				return life{lasts: 20 * time.Second, exit: Exit{Code: 1}}
			}
			return life{lasts: 3 * time.Second, exit: Exit{Code: 1}}
		})
		m.after(300*time.Second, Stop{})
		s := m.run()
		// Each run of 3 s is followed by 2, 4, 8, 16, 30, 30 s, the long one by 1 s.
		m.want(t, s, Down, 0, 300*time.Second, 0, 5, 12, 23, 42, 75, 108, 129, 134, 141, 152, 171, 204, 237, 270)
	})
}

func TestVirtualStopInBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(usual, always(life{lasts: time.Second, exit: Exit{Code: 1}}))
		m.after(16*time.Second, Stop{}) // in the back-off of 8 s that began at 9
		s := m.run()
		m.want(t, s, Down, 0, 16*time.Second, 0, 3, 8)
	})
}

func TestVirtualRequestsInBackoff(t *testing.T) {
	for _, cause := range []Cause{CauseMarker, CauseSignal, CauseChange} {
		t.Run(string(cause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(usual, always(life{lasts: time.Second, exit: Exit{Code: 1}}))
				m.after(10*time.Second, Restart{Cause: cause})
				m.after(16500*time.Millisecond, Stop{})
				s := m.run()
				// At 10 it starts at once, and the count begins anew: 2, then 4 s.
				m.want(t, s, Down, 0, 16500*time.Millisecond, 0, 3, 8, 10, 13)
			})
		})
	}
}

func TestVirtualStopWhileRunning(t *testing.T) {
	for _, tt := range []struct {
		name string
		ends time.Duration
		more []time.Duration // further stops
		want time.Duration   // the end
	}{
		{"obeys", 3 * time.Second, nil, 103 * time.Second},
		{"obeys at the last moment", 9999 * time.Millisecond, nil, 109999 * time.Millisecond},
		{"ignores", -1, nil, 110 * time.Second},
		{"ignores, second stop", -1, []time.Duration{102 * time.Second}, 102 * time.Second},
		{"obeys, third stop", 3 * time.Second, []time.Duration{101 * time.Second}, 101 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(usual, always(life{lasts: -1, ends: tt.ends, exit: Exit{Code: 42}}))
				m.after(100*time.Second, Stop{})
				for _, d := range tt.more {
					m.after(d, Stop{})
				}
				m.want(t, m.run(), Down, 0, tt.want, 0)
			})
		})
	}
}

// TestVirtualRestartThenStop: the restart's own deadline goes on.
func TestVirtualRestartThenStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newSim(usual, always(life{lasts: -1, ends: -1}))
		m.after(50*time.Second, Restart{Cause: CauseSignal}) // killed at 60
		m.after(100*time.Second, Restart{Cause: CauseChange})
		m.after(105*time.Second, Stop{}) // killed at 110
		m.want(t, m.run(), Down, 0, 110*time.Second, 0, 60)
	})
}

// TestVirtualDay: a day of crashes is bounded, of each kind.
func TestVirtualDay(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name  string
		exit  Exit
		least int
		most  int
	}{
		// 2+4+8+16 s, and then one start in 30 s.
		{"crash", Exit{Code: 1}, 2880, 2885},
		// Five at once, and then in each minute what the window lets pass and what
		// comes after the longest back-off.
		{"restart storm", Exit{Code: 42}, 2 * 24 * 60, 4*24*60 + 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newSim(usual, always(life{exit: tt.exit}))
				m.after(day, Stop{})
				s := m.run()
				if n := len(m.starts); n < tt.least || n > tt.most {
					t.Errorf("%d starts in a day, want %d to %d", n, tt.least, tt.most)
				}
				if s.Phase != Down || time.Since(m.began) != day {
					t.Errorf("ended %s after %s", s.Phase, time.Since(m.began))
				}
				if len(s.ShortRuns) > 6 || len(s.CrashedAt) > 0 {
					t.Errorf("a day left %d short runs and %d crashes in memory", len(s.ShortRuns), len(s.CrashedAt))
				}
			})
		})
	}
}

func TestVirtualGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := usual
		c.MaxCrashes = Rate{4, time.Minute}
		m := newSim(c, always(life{lasts: time.Second, exit: Exit{Code: 9}}))
		m.want(t, m.run(), Fatal, 9, 18*time.Second, 0, 3, 8, 17)
	})
}
