package holder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"ductor/internal/common/jsonout"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
)

// take holds the lock of pidfile until the end of the test, with a label. The
// lock is our own: Inspect must not be called on it, only Guard.
func take(t *testing.T, pidfile string) Record {
	t.Helper()
	l, err := lockfile.Try(pidfile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	id, err := process.Self()
	if err != nil {
		t.Fatal(err)
	}
	rec := Record{Identity: id, Command: []string{"bot", "ü<&>\n"}, Since: time.Now(), StopTimeoutSeconds: 2.5}
	if err := Write(l, rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestWriteReadRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	want := take(t, path)
	got, err := ReadRecord(path)
	if err != nil || got.Identity != want.Identity || got.StopTimeoutSeconds != 2.5 || got.Since.Location() != time.UTC {
		t.Errorf("%+v, %v", got, err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != strconv.Itoa(os.Getpid())+"\n" {
		t.Errorf("%q, %v", data, err)
	}
	// Our own record is not in our own way.
	if s, err := Guard(path, true); err != nil || s.Held() {
		t.Errorf("%+v, %v", s, err)
	}
	if err := errors.Join(Remove(path), Remove(path)); err != nil {
		t.Error(err)
	}
	if _, err := ReadRecord(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := os.Stat(lockfile.Path(path)); err != nil {
		t.Error("the lock file was removed")
	}
}

// parent is a live process that is neither we nor our child.
func parent(t *testing.T) process.Identity {
	t.Helper()
	id, err := process.Of(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestGuard(t *testing.T) {
	live := parent(t)
	reused, gone, elsewhere := live, live, live
	reused.Start, gone.PID, elsewhere.PIDNS = "1", 1<<30, "1"
	label := strconv.Itoa(live.PID) + "\n"
	for _, c := range []struct {
		name     string
		label    string // "" is none
		record   *Record
		old      bool // the label is from before the process
		respect  bool
		evidence Evidence
		state    LabelState
	}{
		{"nothing", "", nil, false, true, Free, NoLabel},
		{"garbage", "x", nil, false, true, Free, GarbageLabel},
		{"foreign", label, nil, false, true, Foreign, FreshLabel},
		{"foreign ignored", label, nil, false, false, Free, StaleLabel},
		{"older than its process", label, nil, true, true, Free, StaleLabel},
		{"dead", "1073741824", nil, false, true, Free, StaleLabel},
		{"lost", label, &Record{Identity: live}, false, false, Lost, FreshLabel},
		{"lost, label too", "", &Record{Identity: live}, false, true, Lost, NoLabel},
		{"reused", label, &Record{Identity: reused}, false, true, Free, StaleLabel},
		{"record of a dead one", "", &Record{Identity: gone}, false, true, Free, NoLabel},
		{"record of a dead one, foreign label", label, &Record{Identity: gone}, false, true, Foreign, FreshLabel},
		{"another namespace", "", &Record{Identity: elsewhere}, false, true, Free, NoLabel},
		{"child of a dead one", "", &Record{Identity: gone, Child: &live}, false, true, Lost, NoLabel},
		{"reused child", "", &Record{Identity: gone, Child: &reused}, false, true, Free, NoLabel},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.pid")
			if c.label != "" {
				write(t, path, []byte(c.label))
			}
			if c.old {
				old := time.Unix(1, 0)
				if err := os.Chtimes(path, old, old); err != nil {
					t.Fatal(err)
				}
			}
			if c.record != nil {
				line, err := jsonout.Line(c.record)
				if err != nil {
					t.Fatal(err)
				}
				write(t, recordPath(path), line)
			}
			// Nobody has the kernel lock, so Inspect asks the guard.
			for _, ask := range []func(string, bool) (State, error){Guard, Inspect} {
				s, err := ask(path, c.respect)
				if err != nil || s.Evidence != c.evidence || s.Label != c.state {
					t.Fatalf("%+v, %v", s, err)
				}
				if s.Held() && s.PID != live.PID {
					t.Errorf("held by %d, not %d", s.PID, live.PID)
				}
				id, known := s.Identity()
				if known != s.Held() || known && (id.PID != live.PID || id.Start != live.Start) {
					t.Errorf("it is %+v, %v", id, known)
				}
			}
			// Release respects a foreign process always: it removes what is its.
			s, err := Guard(path, true)
			if err != nil {
				t.Fatal(err)
			}
			if err := Release(path); s.Held() != errors.Is(err, lockfile.ErrHeld) {
				t.Errorf("released while %+v: %v", s, err)
			}
			_, err = os.Stat(path)
			if gone := errors.Is(err, fs.ErrNotExist); gone != (!s.Held() || c.label == "") {
				t.Errorf("the label is gone: %v, while %+v", gone, s)
			}
		})
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
