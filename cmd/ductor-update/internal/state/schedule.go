package state

import (
	"math"
	"time"
)

// Numbers of research: checks that fail are tried again after the interval,
// then twice that, up to six hours. A Retry-After is obeyed for up to a day: an
// index that asks for more is broken.
const (
	MaxBackOff    = 6 * time.Hour
	MaxRetryAfter = 24 * time.Hour
)

// Succeeded records a check that got an answer. The next is due after interval,
// made longer or shorter by jitter: 0.1 is a tenth longer. jitter is the
// caller's, and kept within -0.5 and 0.5.
func (s *State) Succeeded(now time.Time, interval time.Duration, jitter float64) {
	s.CheckedAt, s.Failures = now.UTC(), 0
	s.NextCheckAt = now.Add(spread(interval, jitter)).UTC()
}

// Failed records a check that got none: the attempt counts, or a broken index
// would be asked at once by everybody. The next is due after interval·2ⁿ⁻¹ for
// the n-th failure in a row, at most MaxBackOff (or interval, if that is more),
// and not before retryAfter, which the index asked for (0 is nothing).
func (s *State) Failed(now time.Time, interval time.Duration, jitter float64, retryAfter time.Duration) {
	if s.Failures < math.MaxInt32 {
		s.Failures++
	}
	s.CheckedAt = now.UTC()
	wait := spread(s.backOff(interval), jitter)
	s.NextCheckAt = now.Add(max(wait, min(retryAfter, MaxRetryAfter))).UTC()
}

func (s *State) backOff(interval time.Duration) time.Duration {
	limit := max(MaxBackOff, interval)
	wait := interval
	for range s.Failures - 1 {
		if wait >= limit/2 {
			return limit
		}
		wait *= 2
	}
	return min(wait, limit)
}

func spread(d time.Duration, jitter float64) time.Duration {
	if math.IsNaN(jitter) {
		jitter = 0
	}
	return time.Duration(float64(d) * (1 + min(max(jitter, -0.5), 0.5)))
}

// Due reports whether it is time for a check. The file may be from a time when
// the clock was wrong: what lies further ahead than we ever wait is now.
func (s *State) Due(now time.Time, interval time.Duration) bool {
	furthest := max(MaxRetryAfter, spread(max(interval, MaxBackOff), 0.5))
	return !now.Before(s.NextCheckAt) || s.NextCheckAt.Sub(now) > furthest
}
