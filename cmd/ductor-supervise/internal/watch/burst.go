package watch

import (
	"os"
	"time"
)

// How long a burst has to be quiet before it counts as over. One saved file
// is acted on at once; a checkout of a thousand files, whose writer is held up
// by the disk now and then, is waited for.
const (
	quietMin  = 5 * time.Millisecond   // for the first file
	quietStep = 5 * time.Millisecond   // for each further one
	quietMax  = 400 * time.Millisecond //
	// quietHole is for a burst in which a file has vanished or is empty: an
	// editor that moves the old file away, or truncates it, writes the new one
	// next, perhaps after an fsync.
	quietHole = 150 * time.Millisecond
	// burstMax bounds the wait under a stream of changes that never ends.
	burstMax = 5 * time.Second
	// burstFiles bounds the memory; more files than these are only counted.
	burstFiles = 1000
)

// burst is a set of files that changed together.
type burst struct {
	first string
	files map[string]bool
	more  int
	begun time.Time
	last  time.Time
	hole  bool // waiting for a file to be written
}

func (b *burst) active() bool { return len(b.files) > 0 }

func (b *burst) add(path string, now time.Time) {
	if b.files == nil {
		b.files, b.begun, b.first = map[string]bool{}, now, path
	}
	if len(b.files) < burstFiles {
		b.files[path] = true
	} else if !b.files[path] {
		b.more++
	}
	b.last, b.hole = now, false
}

// due is when the burst should be looked at.
func (b *burst) due() time.Time {
	quiet := min(quietMin+time.Duration(len(b.files)-1)*quietStep, quietMax)
	if b.hole {
		quiet = max(quiet, quietHole)
	}
	if end := b.begun.Add(burstMax); b.last.Add(quiet).After(end) {
		return end
	}
	return b.last.Add(quiet)
}

// settled reports whether the burst is over. A file that is not there, or is
// empty, prolongs it once.
func (b *burst) settled(now time.Time) bool {
	if now.Before(b.due()) {
		return false
	}
	if b.hole || len(b.files) > 8 {
		return true
	}
	for path := range b.files {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			b.hole = true
			return !now.Before(b.due())
		}
	}
	return true
}

// take ends the burst.
func (b *burst) take() Change {
	c := Change{Path: b.first, Count: len(b.files) + b.more, Last: b.last}
	*b = burst{}
	return c
}
