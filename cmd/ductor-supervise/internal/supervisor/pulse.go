package supervisor

import (
	"os"
	"time"
)

// pulse looks for signs of life: a file that the bot touches. What counts is
// that the file's time changed, not what it is, so that neither a clock that is
// set nor another machine's clock can stop a healthy bot.
type pulse struct {
	path   string
	began  time.Time // of the run
	looked time.Time
	last   time.Time // the file's time at the last look
	beaten bool
}

// firstLooks bound the time between two looks for the first sign. In between
// it is a tenth of the time that the bot has taken already.
const firstLook, lastLook = 20 * time.Millisecond, 5 * time.Second

// begin takes what is there already for the work of the run before.
func (p *pulse) begin(now time.Time) {
	p.began, p.looked, p.beaten = now, now, false
	p.last = p.touched()
}

func (p *pulse) touched() time.Time {
	info, err := os.Stat(p.path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// look reports whether there was a sign of life since the last look, and when.
// The file's own time says when, as far as that can be: within this interval.
func (p *pulse) look(now time.Time) (at time.Time, beat bool) {
	touched, before := p.touched(), p.looked
	p.looked = now
	if touched.IsZero() || touched.Equal(p.last) {
		return time.Time{}, false
	}
	p.last, p.beaten = touched, true
	age := min(max(now.Round(0).Sub(touched), 0), now.Sub(before))
	return now.Add(-age), true
}

// slept lets a sign of life that came before a sleep, and was not looked for
// until now, count from here on.
func (p *pulse) slept(now time.Time) { p.looked = now }

// due is when to look for the first sign; after that the policy's deadline is
// soon enough.
func (p *pulse) due() time.Time {
	if p.path == "" || p.beaten {
		return time.Time{}
	}
	return p.looked.Add(min(max(p.looked.Sub(p.began)/10, firstLook), lastLook))
}
