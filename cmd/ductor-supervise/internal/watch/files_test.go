package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"

	"ductor/internal/common/clitest"
)

// warnings collects what a watch warns of.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

func (w *warnings) add(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, fmt.Sprintf(format, args...))
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.texts, "\n")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, elem ...string) string {
	t.Helper()
	dir := filepath.Join(elem...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// realTemp is a folder under its real name, as events have it.
func realTemp(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func newFiles(t *testing.T, w *warnings, paths ...string) *Files {
	t.Helper()
	f := NewFiles(paths, w.add)
	t.Cleanup(f.Close)
	return f
}

func look(t *testing.T, f *Files, what string) {
	t.Helper()
	select {
	case <-f.Look():
	case <-time.After(clitest.Patience):
		t.Fatalf("waited in vain: %s", what)
	}
}

func TestFilesSeesMarkers(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, path string){
		"created":            func(t *testing.T, path string) { write(t, path, "") },
		"written":            func(t *testing.T, path string) { write(t, path, "1\n") },
		"renamed into place": func(t *testing.T, path string) { write(t, path+".tmp", "1"); rename(t, path+".tmp", path) },
		"moved in from elsewhere": func(t *testing.T, path string) {
			from := filepath.Join(filepath.Dir(filepath.Dir(path)), "x")
			write(t, from, "1")
			rename(t, from, path)
		},
		"linked": func(t *testing.T, path string) {
			write(t, path+".x", "1")
			if err := os.Link(path+".x", path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var w warnings
			dir := mkdir(t, t.TempDir(), "ctl")
			markers := []string{filepath.Join(dir, "stop-requested"), filepath.Join(dir, "restart-requested")}
			f := newFiles(t, &w, markers...)
			for _, m := range markers {
				make(t, m)
				look(t, f, m)
			}
			if w.String() != "" {
				t.Errorf("warnings: %s", &w)
			}
		})
	}
}

// TestFilesTouched: touch of a marker that was overlooked is a second chance.
func TestFilesTouched(t *testing.T) {
	var w warnings
	path := filepath.Join(t.TempDir(), "m")
	write(t, path, "1")
	f := newFiles(t, &w, path)
	if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	look(t, f, "touch")
}

func TestFilesInSeveralFolders(t *testing.T) {
	var w warnings
	top := t.TempDir()
	a, b := filepath.Join(mkdir(t, top, "a"), "m"), filepath.Join(mkdir(t, top, "b"), "m")
	f := newFiles(t, &w, a, b)
	write(t, a, "")
	look(t, f, a)
	write(t, b, "")
	look(t, f, b)
}

// TestFilesIgnoresOtherNames hands events in by hand: that the second one was
// taken proves that the first one was judged.
func TestFilesIgnoresOtherNames(t *testing.T) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan fsnotify.Event)
	w.Events = events
	f := &Files{w: w, paths: []string{"/x/ctl/m"}, look: make(chan struct{}, 1), done: make(chan struct{}), warn: t.Errorf}
	ended := make(chan struct{})
	go func() { f.listen(); close(ended) }()
	for _, name := range []string{"/x/ctl/m.tmp", "/x/ctl/.m", "/x/ctl", "/x/m", "/x/ctl/m/m", "/x/other"} {
		events <- fsnotify.Event{Name: name, Op: fsnotify.Create}
	}
	events <- fsnotify.Event{Name: "/x/y", Op: fsnotify.Remove}
	events <- fsnotify.Event{}
	if len(f.look) != 0 {
		t.Error("another file's event woke the supervisor")
	}
	for range 3 { // one delivery may stand for many
		events <- fsnotify.Event{Name: "/x/ctl/m", Op: fsnotify.Create}
	}
	look(t, f, "the marker's event")
	f.Close()
	<-ended
}

// TestFilesOverflow: something was missed, so it is time to look.
func TestFilesOverflow(t *testing.T) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	w.Errors = errs
	f := &Files{w: w, paths: []string{"/x/m"}, look: make(chan struct{}, 1), done: make(chan struct{}), warn: t.Errorf}
	go f.listen()
	defer f.Close()
	errs <- fsnotify.ErrEventOverflow
	look(t, f, "overflow")
}

// TestFilesFolderGone: removed or moved away, it is polled from then on, also
// when it has come back.
func TestFilesFolderGone(t *testing.T) {
	for name, away := range map[string]func(t *testing.T, dir string){
		"removed": func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		},
		"renamed": func(t *testing.T, dir string) { rename(t, dir, dir+".away") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w warnings
			dir := mkdir(t, t.TempDir(), "ctl")
			path := filepath.Join(dir, "m")
			f := newFiles(t, &w, path)
			away(t, dir)
			look(t, f, "the folder's end") // what was in it is unknown
			if text := w.String(); !strings.Contains(text, dir) || !strings.Contains(text, "each second") {
				t.Errorf("warnings: %s", text)
			}
			mkdir(t, dir)
			write(t, path, "")
			look(t, f, "a marker in the new folder")
		})
	}
}

func TestFilesFolderMissing(t *testing.T) {
	t.Parallel()
	var w warnings
	dir := filepath.Join(t.TempDir(), "none yet")
	f := newFiles(t, &w, filepath.Join(dir, "m"))
	if !strings.Contains(w.String(), "each second") {
		t.Errorf("warnings: %s", &w)
	}
	write(t, filepath.Join(mkdir(t, dir), "m"), "")
	look(t, f, "a marker in a folder that came later")
}

func TestFilesCloseLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var w warnings
	dir := t.TempDir()
	NewFiles([]string{filepath.Join(dir, "m")}, w.add).Close()         // told
	NewFiles([]string{filepath.Join(dir, "none", "m")}, w.add).Close() // polling
	gone := mkdir(t, dir, "gone")
	f := NewFiles([]string{filepath.Join(gone, "m")}, w.add)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	look(t, f, "the folder's end") // told, then polling
	f.Close()
}
