package watch

import (
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// source is what tells Trees of changes: a watcher of its own, or that of Files.
// A user may have no more than 128 of them on Linux
// (fs.inotify.max_user_instances), and so no more than 64 supervisors with two.
type source struct {
	w      *fsnotify.Watcher
	events <-chan fsnotify.Event
	errs   <-chan error
	tap    *tap            // nil for one of its own
	added  map[string]bool // with a tap: what has to be removed at the end
}

// newSource makes a watcher, or taps that of files, which may be nil.
func newSource(files *Files) (*source, error) {
	if files != nil && files.w != nil {
		t := &tap{files: files, ready: make(chan struct{}, 1), done: make(chan struct{})}
		events, errs := make(chan fsnotify.Event), make(chan error)
		go t.pump(events, errs)
		files.tap.Store(t)
		return &source{w: files.w, events: events, errs: errs, tap: t, added: map[string]bool{}}, nil
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return &source{w: w, events: w.Events, errs: w.Errors}, nil
}

func (s *source) Add(dir string) error {
	err := s.w.Add(dir)
	if err == nil && s.tap != nil {
		s.added[dir] = true
	}
	return err
}

// Remove leaves what Files needs.
func (s *source) Remove(dir string) {
	delete(s.added, dir)
	if s.tap == nil || !s.tap.files.watches(dir) {
		_ = s.w.Remove(dir)
	}
}

// Close ends what is this source's.
func (s *source) Close() {
	if s.tap == nil {
		s.w.Close()
		return
	}
	s.tap.files.tap.Store(nil)
	close(s.tap.done)
	for dir := range s.added {
		s.Remove(dir)
	}
}

// tap takes from Files what its watcher tells. Files must not wait for Trees,
// which may be in the middle of a scan, so there is a queue between them.
type tap struct {
	files *Files
	ready chan struct{}
	done  chan struct{}

	mu     sync.Mutex
	events []fsnotify.Event
	lost   error // nil, or why events are missing
}

// tapMost bounds the queue. Linux itself keeps 16,384 events.
const tapMost = 16 << 10

// put queues an event, or an error, which means that some were lost.
func (t *tap) put(ev fsnotify.Event, lost error) {
	t.mu.Lock()
	switch {
	case lost == nil && len(t.events) < tapMost:
		t.events = append(t.events, ev)
	case lost == nil:
		t.events, t.lost = nil, fsnotify.ErrEventOverflow
	default:
		t.lost = lost
	}
	t.mu.Unlock()
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

func (t *tap) take() (events []fsnotify.Event, lost error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	events, lost = t.events, t.lost
	t.events, t.lost = nil, nil
	return events, lost
}

// pump hands over what is queued, until the end.
func (t *tap) pump(out chan<- fsnotify.Event, errs chan<- error) {
	for {
		select {
		case <-t.ready:
		case <-t.done:
			return
		}
		events, lost := t.take()
		if lost != nil {
			select {
			case errs <- lost:
			case <-t.done:
				return
			}
		}
		for _, ev := range events {
			select {
			case out <- ev:
			case <-t.done:
				return
			}
		}
	}
}

// realFolder resolves the links on the way to a file, not the file itself: a
// folder that is watched under two names tells by one of them.
func realFolder(path string) string {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}
