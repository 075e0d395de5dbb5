package hold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ductor/internal/common/process"
)

type place struct{ path, guard string }

func newPlace(t *testing.T) place {
	dir := t.TempDir()
	return place{filepath.Join(dir, "hold"), filepath.Join(dir, "guard")}
}

func (p place) write(t *testing.T, text string, age time.Duration) {
	t.Helper()
	when := time.Now().Add(-age)
	if err := errors.Join(os.WriteFile(p.path, []byte(text), 0o600), os.Chtimes(p.path, when, when)); err != nil {
		t.Fatal(err)
	}
}

func TestTouchedFileHoldsByItsAge(t *testing.T) {
	p := newPlace(t)
	h := Hold{Path: p.path, Max: 30 * time.Minute}
	now := time.Now()
	if h.Held(now) {
		t.Error("held by nothing")
	}
	p.write(t, "", time.Minute)
	if !h.Held(now) {
		t.Error("a young file does not hold")
	}
	p.write(t, "", 31*time.Minute)
	if h.Held(now) {
		t.Error("an old file holds")
	}
}

func TestFolderOfThatNameHoldsNothing(t *testing.T) {
	p := newPlace(t)
	if err := os.Mkdir(p.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if (&Hold{Path: p.path, Max: time.Hour}).Held(time.Now()) {
		t.Error("held")
	}
}

func TestFileFromTheFutureHoldsNoLongerThanMax(t *testing.T) {
	p := newPlace(t)
	p.write(t, "", -24*time.Hour)
	h := Hold{Path: p.path, Max: 30 * time.Minute}
	now := time.Now()
	for after, want := range map[time.Duration]bool{0: true} {
		if h.Held(now.Add(after)) != want {
			t.Errorf("after %s: held is not %v", after, want)
		}
	}
	if h.Held(now.Add(31 * time.Minute)) {
		t.Error("held for ever")
	}
	p.write(t, "", -23*time.Hour) // touched anew
	if !h.Held(now.Add(32 * time.Minute)) {
		t.Error("a new touch does not hold")
	}
}

// dead is a process that has ended.
func dead(t *testing.T) process.Identity {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := process.Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return id
}

func TestHolderThatDiedIsForgotten(t *testing.T) {
	p := newPlace(t)
	self, err := process.Self()
	if err != nil {
		t.Fatal(err)
	}
	gone := line(dead(t))
	for name, c := range map[string]struct {
		text string
		age  time.Duration
		want bool
	}{
		"dead":                {gone, 2 * time.Minute, false},
		"dead, touched":       {gone, 10 * time.Second, true}, // perhaps in another PID namespace
		"dead and alive":      {gone + line(self), 2 * time.Minute, true},
		"reused":              {fmt.Sprintf("%d 1\n", self.PID), 2 * time.Minute, false},
		"foreign words":       {"do not restart me\n", 2 * time.Minute, true},
		"foreign and dead":    {"please\n" + gone, 2 * time.Minute, true},
		"alive but very old":  {line(self), time.Hour, false},
		"alive, no line feed": {fmt.Sprintf("%d %s", self.PID, self.Start), 2 * time.Minute, true},
	} {
		p.write(t, c.text, c.age)
		if got := (&Hold{Path: p.path, Max: 30 * time.Minute}).Held(time.Now()); got != c.want {
			t.Errorf("%s: held is %v", name, got)
		}
	}
}

func TestTakeAndRelease(t *testing.T) {
	p := newPlace(t)
	other := line(dead(t))
	p.write(t, other, 0)
	if err := Take(p.path, p.guard); err != nil {
		t.Fatal(err)
	}
	self, _ := process.Self()
	if data, _ := os.ReadFile(p.path); string(data) != line(self) {
		t.Errorf("after Take: %q", data)
	}
	if !Touch(p.path) {
		t.Error("not touched")
	}
	if err := Release(p.path, p.guard); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Release: %v", err)
	}
	if Touch(p.path) {
		t.Error("touched what is not there")
	}
	if err := Release(p.path, p.guard); err != nil {
		t.Errorf("a second Release: %v", err)
	}
}

// Whoever held before us holds after us.
func TestHoldOfSomebodyElseStays(t *testing.T) {
	p := newPlace(t)
	for before, after := range map[string]string{"somebody's own\n": "somebody's own\n", "": "held\n"} {
		p.write(t, before, 0)
		if err := errors.Join(Take(p.path, p.guard), Release(p.path, p.guard)); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(p.path); err != nil || string(data) != after {
			t.Errorf("%q became %q, %v", before, data, err)
		}
	}
}
