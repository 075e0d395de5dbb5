package watch

import (
	"os"
	"path/filepath"
	"slices"
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
}

// NewFiles watches for paths, whose folders must exist, without waking while
// nothing happens. Where the system gives no watch (limits are per user), it
// looks each second instead, and warns.
func NewFiles(paths []string, warn func(format string, args ...any)) *Files {
	f := &Files{paths: paths, look: make(chan struct{}, 1), done: make(chan struct{}), warn: warn}
	w, err := f.subscribe()
	if err != nil {
		f.warn("%v; looking for markers each second instead", Explain(err))
		go f.poll()
		return f
	}
	go f.listen(w)
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

func (f *Files) listen(w *fsnotify.Watcher) {
	defer w.Close()
	for {
		select {
		case <-f.done:
			return
		case ev, ok := <-w.Events:
			if !ok {
				return
			}
			if slices.Contains(f.paths, ev.Name) {
				f.wake()
			} else if (ev.Op.Has(fsnotify.Remove) || ev.Op.Has(fsnotify.Rename)) && f.watches(ev.Name) {
				f.warn("folder %q was removed or renamed; looking for markers each second instead", ev.Name)
				f.wake()
				go f.poll()
				return
			}
		case <-w.Errors: // an overflow: something was missed
			f.wake()
		}
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
