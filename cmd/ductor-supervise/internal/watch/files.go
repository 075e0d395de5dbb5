package watch

import (
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// PollInterval is how often Files looks where it cannot be told.
const PollInterval = time.Second

// Files watches for files that are written to be taken away: markers.
type Files struct {
	paths []string
	look  chan struct{}
	done  chan struct{}
	warn  func(format string, args ...any)
	w     *fsnotify.Watcher // nil when it was not to be had
	tap   atomic.Pointer[tap]
}

// NewFiles watches for paths, whose folders must exist, without waking while
// nothing happens. Where the system gives no watch (limits are per user), it
// looks each second instead, and warns.
func NewFiles(paths []string, warn func(format string, args ...any)) *Files {
	f := &Files{paths: slices.Clone(paths), look: make(chan struct{}, 1), done: make(chan struct{}), warn: warn}
	for i, p := range f.paths {
		f.paths[i] = realFolder(p)
	}
	var err error
	if f.w, err = f.subscribe(); err != nil {
		f.warn("%v; looking for markers each second instead", Explain(err))
		go f.poll()
		return f
	}
	go f.listen()
	return f
}

// Look delivers when one of the paths may be there. It may be wrong, and one
// delivery may stand for many.
func (f *Files) Look() <-chan struct{} { return f.look }

// Close ends the watch.
func (f *Files) Close() { close(f.done) }

func (f *Files) subscribe() (*fsnotify.Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	for _, p := range f.paths {
		if err := w.Add(filepath.Dir(p)); err != nil {
			w.Close()
			return nil, err
		}
	}
	return w, nil
}

func (f *Files) wake() {
	select {
	case f.look <- struct{}{}:
	default:
	}
}

func (f *Files) listen() {
	defer f.w.Close()
	polling := false
	for {
		select {
		case <-f.done:
			return
		case ev, ok := <-f.w.Events:
			if !ok {
				return
			}
			f.tell(ev, nil)
			if slices.Contains(f.paths, ev.Name) {
				f.wake()
			} else if !polling && (ev.Op.Has(fsnotify.Remove) || ev.Op.Has(fsnotify.Rename)) && f.watches(ev.Name) {
				f.warn("folder %q was removed or renamed; looking for markers each second instead", ev.Name)
				f.wake()
				polling = true
				go f.poll()
			}
		case err := <-f.w.Errors: // an overflow: something was missed
			f.tell(fsnotify.Event{}, err)
			f.wake()
		}
	}
}

// tell passes on what Trees may want to know.
func (f *Files) tell(ev fsnotify.Event, lost error) {
	if t := f.tap.Load(); t != nil {
		t.put(ev, lost)
	}
}

func (f *Files) watches(dir string) bool {
	return slices.ContainsFunc(f.paths, func(p string) bool { return filepath.Dir(p) == dir })
}

func (f *Files) poll() {
	t := time.NewTicker(PollInterval)
	defer t.Stop()
	for {
		select {
		case <-f.done:
			return
		case <-t.C:
		}
		for _, p := range f.paths {
			if _, err := os.Lstat(p); err == nil {
				f.wake()
			}
		}
	}
}
