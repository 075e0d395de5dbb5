package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Change is one burst of changes.
type Change struct {
	Path  string    // the first file that changed
	Count int       // how many files
	Last  time.Time // when the last of them was seen, or, if the first scan found it, written
}

// Options are how to watch.
type Options struct {
	Mode Mode
	// Share lets Files and Trees have one watcher; nil makes another one. Files
	// has to outlive Trees.
	Share *Files
	// Warn is told what keeps us from watching as was asked for.
	Warn func(format string, args ...any)
	// Watching is told when the first scan is done, and again when the mode has
	// changed: Native, Poll or Mixed, and the number of folders. Like Warn it is
	// called by goroutines of the watch, and must not wait for its end.
	Watching func(mode string, folders int)
}

// Mixed is told when some roots are watched by the system and some are not.
const Mixed = "native and poll"

// Trees watches folders and all below them.
type Trees struct {
	opt     Options
	filter  Filter
	roots   []*root
	sieve   *sieve
	since   time.Time            // of the first scan
	whole   time.Time            // up to which nothing can have been lost
	w       *source              // nil when the system is asked for nothing
	dirs    map[string]bool      // watched folders; true: a file that counts was seen in it
	opened  int                  // entries in them
	parents map[string]bool      // watched for what is done to a root
	refused map[string]bool      // folders that we may not read
	muted   time.Time            // until then complaints are only counted
	more    int                  // of them
	stale   map[string]time.Time // folders whose .gitignore has changed
	limit   error                // was met: the roots are to be polled
	reports chan report
	polled  int // folders that are polled
	waiting int // pollers that have not looked yet
	changes chan Change
	done    chan struct{}
	burst   burst
}

// root is a folder to watch. The folders above it, and those of links that lead
// to it, are watched too, because a folder that is replaced, and a link that is
// turned elsewhere, tell nothing themselves.
type root struct {
	name  string // as it was given, absolute
	real  string // where it leads, or led while it was there
	id    os.FileInfo
	links []string // on the way, by which events may tell of it
	poll  bool     // the system is not asked
	taken bool     // a poller has it
	doubt bool     // something happened to it: look again
}

// NewTrees watches dirs. It returns at once and scans afterwards, except in the
// mode Native: there it is an error if a limit is met, which it names. What is
// written while the scan goes on is a change, too.
func NewTrees(dirs []string, filter Filter, opt Options) (*Trees, error) {
	t, err := openTrees(dirs, filter, opt, usual)
	if err == nil {
		go t.run()
	}
	return t, err
}

// openTrees does all that NewTrees does but listen.
func openTrees(dirs []string, filter Filter, opt Options, p pace) (*Trees, error) {
	t := &Trees{opt: opt, filter: filter, sieve: newSieve(filter), since: time.Now(), dirs: map[string]bool{}, stale: map[string]time.Time{},
		parents: map[string]bool{}, refused: map[string]bool{},
		reports: make(chan report), changes: make(chan Change), done: make(chan struct{}), burst: burst{pace: p}}
	t.whole = t.since
	native := false
	for _, dir := range dirs {
		r, err := findRoot(dir)
		if err != nil {
			return nil, err
		}
		r.poll = opt.Mode.Kind == Poll || opt.Mode.Kind != Native && remote(r.real) != ""
		native = native || !r.poll
		t.roots = append(t.roots, r)
	}
	if !native {
		return t, nil
	}
	w, err := newSource(opt.Share)
	if err != nil {
		if t.opt.Mode.Kind == Native || !isLimit(err) {
			return nil, Explain(err)
		}
		t.limit = err
		return t, nil
	}
	t.w = w
	if opt.Mode.Kind == Native {
		if t.firstScan(); t.limit != nil {
			w.Close()
			return nil, fmt.Errorf("watch: %w", Explain(t.limit))
		}
	}
	return t, nil
}

// Changes delivers each burst once, when it has gone quiet.
func (t *Trees) Changes() <-chan Change { return t.changes }

// Close ends the watch.
func (t *Trees) Close() { close(t.done) }

func (t *Trees) closed() bool { return isClosed(t.done) }

func findRoot(dir string) (*root, error) {
	name, err := filepath.Abs(dir)
	if err == nil {
		r := &root{name: name}
		if err = r.find(); err == nil {
			return r, nil
		}
	}
	return nil, fmt.Errorf("watch %q: %w", dir, err)
}

// find resolves the root anew, or leaves it as it was.
func (r *root) find() error {
	real, err := filepath.EvalSymlinks(r.name)
	if err != nil {
		return err
	}
	info, err := os.Stat(real)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("is not a folder")
	}
	r.real, r.id, r.links = real, info, links(r.name)
	return nil
}

// replaced reports whether the root is another folder than it was.
func (r *root) replaced() bool {
	now := root{name: r.name}
	return now.find() != nil || now.real != r.real || !os.SameFile(now.id, r.id)
}

// under reports whether something lies on the way to the root, or is the root.
func (r *root) under(path string) bool {
	return inside(path, r.name) || inside(path, r.real) || slices.ContainsFunc(r.links, func(l string) bool { return inside(path, l) })
}

// linksMost is where the systems give up, too.
const linksMost = 40

// links are the symbolic links on the way to an absolute path, each by a name
// that no other link is in, as events have it.
func links(path string) (found []string) {
	sep := string(filepath.Separator)
	volume := filepath.VolumeName(path)
	at, rest := volume+sep, strings.Split(path[len(volume):], sep)
	for len(rest) > 0 && len(found) < linksMost {
		next := filepath.Join(at, rest[0]) // also of "", . and ..
		rest = rest[1:]
		to, err := os.Readlink(next)
		if err != nil {
			at = next
			continue
		}
		found = append(found, next)
		if filepath.IsAbs(to) {
			volume = filepath.VolumeName(to)
			at, to = volume+sep, to[len(volume):]
		}
		rest = append(strings.Split(filepath.FromSlash(to), sep), rest...)
	}
	return found
}

// run collects changes into bursts. It is the only goroutine that touches the
// state of Trees; pollers send it what they found.
func (t *Trees) run() {
	defer func() {
		if t.w != nil {
			t.w.Close()
		}
	}()
	if t.w != nil && t.opt.Mode.Kind != Native {
		t.firstScan()
	}
	if t.limit != nil {
		t.giveUp(t.since)
	}
	t.startPolling(t.since, nil)
	t.tidy()
	t.tell()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	lost := time.NewTicker(time.Second)
	lost.Stop()
	defer lost.Stop()
	for {
		t.arm(timer)
		events, errs := t.sources()
		select {
		case <-t.done:
			return
		case ev, ok := <-events:
			if !ok {
				return
			}
			t.see(ev)
		case <-errs: // an overflow
			t.rescan()
		case rep := <-t.reports:
			t.take(rep)
		case <-lost.C:
		case <-timer.C:
			select { // what is known already comes first, since it may prolong the burst
			case ev := <-events:
				t.see(ev)
			default:
				t.refresh()
				t.sumUp()
				if !t.deliver() {
					return
				}
			}
		}
		if t.limit != nil {
			t.fallBack()
		}
		if t.checkRoots() {
			lost.Stop()
		} else {
			lost.Reset(time.Second)
		}
	}
}

// largeTree is in folders.
const largeTree = 2000

// tidy gives back what the first scan of a large tree has left: 2 of 7 MB for
// 10,000 folders. After a small one there is less to get than a collection
// needs for itself, and once there was one, Go makes another every two minutes.
func (t *Trees) tidy() {
	if len(t.dirs) > largeTree {
		debug.FreeOSMemory()
	}
}

// sources are nil, and so never ready, when the system tells nothing.
func (t *Trees) sources() (<-chan fsnotify.Event, <-chan error) {
	if t.w == nil {
		return nil, nil
	}
	return t.w.events, t.w.errs
}

// arm sets the timer to what has to be done next.
func (t *Trees) arm(timer *time.Timer) {
	var due time.Time
	if t.burst.active() {
		due = t.burst.due()
	}
	if !t.muted.IsZero() && (due.IsZero() || t.muted.Before(due)) {
		due = t.muted
	}
	for _, at := range t.stale {
		if at = at.Add(t.burst.pace.first); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	if due.IsZero() {
		timer.Stop()
		return
	}
	timer.Reset(time.Until(due))
}

// deliver hands over a burst that is over, and reports false when nobody
// listens any more.
func (t *Trees) deliver() bool {
	if !t.burst.active() || !t.burst.settled(time.Now()) {
		return true
	}
	select {
	case t.changes <- t.burst.take():
		return true
	case <-t.done:
		return false
	}
}

// tell says how we watch, as soon as all have looked.
func (t *Trees) tell() {
	if t.waiting > 0 || t.opt.Watching == nil || t.closed() {
		return
	}
	mode := Native
	for _, r := range t.roots {
		switch {
		case r.poll && t.w == nil:
			mode = Poll
		case r.poll:
			mode = Mixed
		}
	}
	t.opt.Watching(mode, len(t.dirs)+t.polled)
}
