package supervisor

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// touch sets the file's time, in seconds from now on the clock on the wall.
func touch(t *testing.T, path string, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestPulse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pulse")
	now := time.Now()
	after := func(d time.Duration) time.Time { return now.Add(d) }
	p := pulse{path: path}
	touch(t, path, after(-time.Hour))
	p.begin(now)
	if _, beat := p.look(after(time.Second)); beat {
		t.Fatal("the sign of the run before counts")
	}
	for name, c := range map[string]struct{ touched, want time.Duration }{
		"in this interval":       {9 * time.Second, 9 * time.Second},
		"a clock that is ahead":  {time.Hour, 10 * time.Second},    // no later than now
		"a clock that is behind": {-90 * time.Minute, time.Second}, // no earlier than the last look
	} {
		p := p
		touch(t, path, after(c.touched))
		at, beat := p.look(after(10 * time.Second))
		if !beat || !at.Equal(after(c.want)) {
			t.Errorf("%s: %v, %v", name, beat, at.Sub(now))
		}
		if _, beat := p.look(after(11 * time.Second)); beat {
			t.Errorf("%s: counted twice", name)
		}
	}
	// A sign from before a sleep, looked for after it.
	touch(t, path, after(12*time.Second))
	p.slept(after(19 * time.Second))
	if at, beat := p.look(after(20 * time.Second)); !beat || at.Before(after(19*time.Second)) {
		t.Errorf("a sign from before a sleep: %v, %v", beat, at.Sub(now))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, beat := p.look(after(21 * time.Second)); beat {
		t.Error("a removal is no sign of life")
	}
}

func TestLooksForTheFirstSignBecomeRarer(t *testing.T) {
	p := pulse{path: filepath.Join(t.TempDir(), "pulse")}
	now := time.Now()
	p.begin(now)
	looks := 0
	for at := p.due(); at.Before(now.Add(time.Hour)); at = p.due() {
		p.look(at)
		looks++
	}
	if looks < 600 || looks > 900 { // every 5 s, and some at the beginning
		t.Errorf("%d looks in an hour", looks)
	}
	touch(t, p.path, now)
	p.look(now.Add(time.Hour))
	if !p.due().IsZero() {
		t.Error("it looks on after the first sign")
	}
}
