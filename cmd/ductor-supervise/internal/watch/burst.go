package watch

import (
	"maps"
	"os"
	"slices"
	"time"
)

// How long a burst has to be quiet before it counts as over. One saved file
// is acted on at once; a checkout of a thousand files, whose writer is held up
// by the disk now and then, is waited for.
var usual = pace{
	first: 5 * time.Millisecond, step: 5 * time.Millisecond, most: 400 * time.Millisecond,
	hole: 150 * time.Millisecond, look: 200 * time.Millisecond, end: 5 * time.Second,
}

type pace struct {
	first time.Duration // for the first file
	step  time.Duration // for each further one
	most  time.Duration
	// hole is for a burst in which a file has vanished or is empty: an editor
	// that moves the old file away, or truncates it, writes the new one next,
	// perhaps after an fsync.
	hole time.Duration
	look time.Duration // where it is polled: until the look that finds nothing new
	end  time.Duration // bounds the wait under a stream of changes that never ends
}

// burstFiles bounds the memory; more files than these are only counted.
const burstFiles = 1000

// few files are looked at one by one.
const few = 8

// burst is a set of files that changed together.
type burst struct {
	pace  pace
	first string
	files map[string]bool
	more  int
	begun time.Time
	last  time.Time
	at    time.Time // when the last of the files changed, as far as it is known
	hole  bool      // waiting for a file to be written
}

func (b *burst) active() bool { return len(b.files) > 0 }

func (b *burst) add(path string, now time.Time) { b.addAt(path, now, now) }

// addAt takes a file of which it is known that it changed before now.
func (b *burst) addAt(path string, now, at time.Time) {
	if b.files == nil {
		b.files, b.begun, b.first = map[string]bool{}, now, path
	}
	if len(b.files) < burstFiles {
		b.files[path] = true
	} else if !b.files[path] {
		b.more++
	}
	b.last, b.hole = now, false
	if at.After(b.at) {
		b.at = at
	}
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
	if b.hole || len(b.files) > few {
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
	c := Change{Path: b.name(), Count: len(b.files) + b.more, Last: b.at}
	*b = burst{pace: b.pace}
	return c
}

// name is the first file, or, if that is gone by now, one of a few that is not:
// programs that save by way of a temporary file begin with that.
func (b *burst) name() string {
	if len(b.files) > few || exists(b.first) {
		return b.first
	}
	for _, path := range slices.Sorted(maps.Keys(b.files)) {
		if exists(path) {
			return path
		}
	}
	return b.first
}
