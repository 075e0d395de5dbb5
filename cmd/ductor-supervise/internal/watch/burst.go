package watch

import (
	"os"
	"time"
)

// How long a burst has to be quiet before it counts as over. One saved file
// is acted on at once; a checkout of a thousand files, whose writer is held up
// by the disk now and then, is waited for.
var usual = pace{
	first: 5 * time.Millisecond, step: 5 * time.Millisecond, most: 400 * time.Millisecond,
	hole: 150 * time.Millisecond, end: 5 * time.Second,
}

type pace struct {
	first time.Duration // for the first file
	step  time.Duration // for each further one
	most  time.Duration
	// hole is for a burst in which a file has vanished or is empty: an editor
	// that moves the old file away, or truncates it, writes the new one next,
	// perhaps after an fsync.
	hole time.Duration
	end  time.Duration // bounds the wait under a stream of changes that never ends
}

// burstFiles bounds the memory; more files than these are only counted.
const burstFiles = 1000

// burst is a set of files that changed together.
type burst struct {
	pace  pace
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
	quiet := min(b.pace.first+time.Duration(len(b.files)-1)*b.pace.step, b.pace.most)
	if b.hole {
		quiet = max(quiet, b.pace.hole)
	}
	if end := b.begun.Add(b.pace.end); b.last.Add(quiet).After(end) {
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
	*b = burst{pace: b.pace}
	return c
}
