package main

import (
	"context"
	"time"

	"ductor/cmd/ductor-service/internal/backend"
)

// How long a service must stay up to be believed, how long it may take until it
// is up, and how often it is looked at.
const (
	stayUp    = 3 * time.Second
	comeUp    = 30 * time.Second
	lookEvery = 100 * time.Millisecond
)

// afterInstall tells how the service is, and why it does not stay up, if it
// does not. One that did not start is looked at once.
func (b bot) afterInstall(ctx context.Context, earlier botView, start bool) (st backend.Status, why string, err error) {
	st, err = b.manager.Status(ctx)
	if err != nil || !start {
		return st, "", err
	}
	begun, up := time.Now(), time.Time{}
	for first := st; ; {
		now := time.Now()
		switch st.State {
		case backend.Running:
			if up.IsZero() {
				first, up = st, now
			}
			if st.PID != first.PID || restarts(st) > restarts(first) {
				return st, "it was started again: " + b.lastWords(earlier, st), nil
			}
			if now.Sub(up) >= stayUp {
				return st, b.unwell(), nil
			}
		case backend.Starting, backend.Stopping, backend.Unknown:
			if now.Sub(begun) >= comeUp {
				return st, b.unwell(), nil
			}
		default:
			return st, b.lastWords(earlier, st), nil
		}
		select {
		case <-ctx.Done():
			return st, "", ctx.Err()
		case <-time.After(lookEvery):
		}
		if st, err = b.manager.Status(ctx); err != nil {
			return st, "", err
		}
	}
}

func restarts(st backend.Status) int {
	if st.Restarts == nil {
		return 0
	}
	return *st.Restarts
}

// lastWords are how the last run ended, as far as the manager and the
// supervisor know.
func (b bot) lastWords(earlier botView, st backend.Status) string {
	if v, ok := b.readBot(); ok && v.instance != earlier.instance && v.LastExit != nil {
		return "the bot " + v.LastExit.String()
	}
	if st.LastExit != nil {
		return "it " + st.LastExit.String()
	}
	return "it is " + string(st.State)
}

// unwell says what is wrong with a bot whose supervisor runs.
func (b bot) unwell() string {
	v, ok := b.readBot()
	if !ok || !b.supervised() || v.Crashes == 0 || v.LastExit == nil {
		return ""
	}
	return "the bot " + v.LastExit.String()
}
