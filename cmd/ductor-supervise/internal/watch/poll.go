package watch

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report is what a poller has found.
type report struct {
	first   bool // it has looked for the first time
	folders int
	biggest []Subtree
	why     error // it is needed
	paths   []string
	listed  map[string]bool // the same
	count   int             // of them, and of those beyond burstFiles
	hits    int             // a file that is found by two looks is one, and two of these
	at      time.Time
}

// add takes a file that changed.
func (r *report) add(path string) {
	r.hits++
	if r.listed[path] {
		return
	}
	if r.count++; len(r.paths) < burstFiles {
		if r.listed == nil {
			r.listed = map[string]bool{}
		}
		r.paths, r.listed[path] = append(r.paths, path), true
	}
}

// poller compares looks at roots. It has a goroutine of its own, since a file
// system that does not answer must not keep the others waiting.
type poller struct {
	roots []*place
	sieve *sieve
	every time.Duration
	pace  pace
	since time.Time
	why   error
	out   chan<- report
	done  <-chan struct{}
}

// place is a root and what was seen there.
type place struct {
	root
	known map[string]*folder // by path below the root
	looks uint32
}

// folder is what counted in a folder, by name. Folders without such files are
// not kept.
type folder struct {
	files []file
	look  uint32 // at which it was there
}

type file struct {
	name string
	sig  uint64
}

// startPolling gives roots without a poller one.
func (t *Trees) startPolling(since time.Time, why error) {
	p := &poller{sieve: newSieve(t.filter), every: t.every(), pace: t.burst.pace, since: since, why: why, out: t.reports, done: t.done}
	for _, r := range t.roots {
		if r.poll && !r.taken {
			r.taken = true
			p.roots = append(p.roots, &place{root: root{name: r.name, real: r.real}, known: map[string]*folder{}})
		}
	}
	if len(p.roots) > 0 {
		t.waiting++
		go p.run()
	}
}

func (t *Trees) every() time.Duration {
	if t.opt.Mode.Every > 0 {
		return t.opt.Mode.Every
	}
	return DefaultPoll
}

// giveUp follows a limit: from now on all roots are polled.
func (t *Trees) giveUp(since time.Time) {
	why := t.limit
	if t.opt.Mode.Kind == Native {
		t.complain("%v; changes in new folders will not be noticed", Explain(why))
		t.limit = nil
		return
	}
	if t.w != nil {
		t.drain()
		t.w.Close()
		t.w = nil
	}
	t.limit, t.dirs, t.stale, t.opened = nil, map[string]bool{}, map[string]time.Time{}, 0
	for _, r := range t.roots {
		r.poll = true
	}
	t.startPolling(since, why)
}

// fallBack gives up in the middle. What was written just before may carry a
// time that is a tick older.
func (t *Trees) fallBack() { t.giveUp(time.Now().Add(-tick)) }

// drain takes what the system has told already. What is written from now on, a
// poller's first look finds.
func (t *Trees) drain() {
	end := time.After(time.Second)
	for {
		select {
		case ev, ok := <-t.w.events:
			if !ok {
				return
			}
			t.see(ev)
		case <-t.w.errs:
			t.burst.add(t.roots[0].real, time.Now())
		case <-time.After(2 * tick):
			return
		case <-end:
			return
		case <-t.done:
			return
		}
	}
}

// take hears a poller.
func (t *Trees) take(rep report) {
	if rep.first {
		t.waiting--
		t.polled += rep.folders
		if rep.why != nil {
			t.warn("%s", complaint(rep.why, t.every(), rep.folders, rep.biggest))
		}
		t.tell()
	}
	now := time.Now()
	for _, path := range rep.paths {
		t.burst.addAt(path, now, rep.at)
	}
	t.burst.more += rep.count - len(rep.paths)
}

// run looks until the end. A look that finds something is followed by another
// soon, and what is told is a burst that is over.
func (p *poller) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	found := report{first: true, why: p.why}
	var begun time.Time // of the burst
	for {
		select {
		case <-p.done:
			return
		case <-timer.C:
		}
		start, before := time.Now(), found.hits
		p.look(&found)
		took := time.Since(start)
		if before == 0 {
			begun = start
		}
		if found.hits > before && !found.first && time.Since(begun) < p.pace.end {
			timer.Reset(max(p.pace.look, took))
			continue
		}
		if (found.count > 0 || found.first) && !p.send(&found) {
			return
		}
		timer.Reset(p.pause(took))
	}
}

// pause lets looking take a fifth of the time at most.
func (p *poller) pause(took time.Duration) time.Duration { return max(p.every, 4*took) }

// send reports what was found, and reports false when nobody listens any more.
func (p *poller) send(found *report) bool {
	select {
	case p.out <- *found:
		*found = report{}
		return true
	case <-p.done:
		return false
	}
}

// look adds what is new to found. Its time is that of the end: what is written
// during the look is not told again, so it must not seem older than a bot that
// was started meanwhile.
func (p *poller) look(found *report) {
	before := found.hits
	for _, pl := range p.roots {
		p.lookAt(pl, found)
	}
	if found.hits > before {
		found.at = time.Now()
	}
}

// lookAt compares a root with what was known of it. While a root is not there,
// nothing is said of it.
func (p *poller) lookAt(pl *place, found *report) {
	was := pl.real
	if pl.find() != nil {
		return
	}
	if pl.real != was {
		p.sieve.scopes, p.sieve.tops = map[string]*scope{}, map[string]*scope{}
		p.sieve.resolve()
	}
	before := *p.sieve
	before.scopes, before.tops = maps.Clone(before.scopes), maps.Clone(before.tops)
	l := &glance{place: pl, sieve: p.sieve, before: &before, found: found, since: p.since}
	p.sieve.turned = false
	pl.looks++
	ended := !scan(p.sieve, pl.real, pl.real, visitor{
		enter: func(dir string) bool {
			if found.first {
				found.folders++
				if found.why != nil {
					l.dirs = append(l.dirs, dir)
				}
			}
			return !isClosed(p.done)
		},
		list: l.list,
		fail: func(dir string, _ error) { l.keep(dir) },
	})
	if ended {
		return
	}
	l.gone()
	if found.first && found.why != nil {
		found.biggest = append(found.biggest, biggest(pl.real, l.dirs)...)
	}
}

// glance is one look at a place.
type glance struct {
	*place
	sieve  *sieve
	before *sieve // as it was at the look before
	found  *report
	since  time.Time
	dirs   []string
}

func (l *glance) below(dir string) string {
	return strings.TrimPrefix(dir[len(l.real):], string(filepath.Separator))
}

// list compares a folder's files, which are in the order of their names.
func (l *glance) list(dir string, entries []os.DirEntry) {
	rel := l.below(dir)
	old := l.known[rel]
	if old == nil {
		if len(entries) == 0 {
			return
		}
		old = &folder{}
	}
	files := make([]file, 0, len(entries))
	rest := old.files
	for _, e := range entries {
		for len(rest) > 0 && rest[0].name < e.Name() {
			l.removed(filepath.Join(dir, rest[0].name))
			rest = rest[1:]
		}
		known := len(rest) > 0 && rest[0].name == e.Name()
		f := file{name: e.Name()}
		if known {
			f = rest[0]
			rest = rest[1:]
		}
		info, err := e.Info()
		switch {
		case err != nil && known && !os.IsNotExist(err): // nothing can be said
		case err != nil:
			if known {
				l.found.add(filepath.Join(dir, f.name))
			}
			continue
		default:
			sig := signature(info)
			if known && sig != f.sig || !known && l.isNew(filepath.Join(dir, f.name), info) {
				l.found.add(filepath.Join(dir, f.name))
			}
			f.sig = sig
		}
		files = append(files, f)
	}
	for _, f := range rest {
		l.removed(filepath.Join(dir, f.name))
	}
	if old.look = l.looks; !slices.Equal(files, old.files) {
		old.files = files
	}
	l.known[rel] = old
}

// isNew judges a file that was not there at the look before. At the first look
// that is every file: those have changed that were written since NewTrees was
// called. A file that was there, but ignored, has not.
func (l *glance) isNew(path string, info os.FileInfo) bool {
	if l.looks == 1 {
		at := changed(info)
		return at.After(l.since) && !at.After(time.Now())
	}
	return !l.sieve.turned || !l.before.ignored(l.real, path, false, false)
}

// removed judges a file that is not there any more, or is ignored now.
func (l *glance) removed(path string) {
	if l.sieve.turned && exists(path) {
		return
	}
	l.found.add(path)
}

// keep lets what was known of a folder stand that cannot be read now: an error
// is no removal.
func (l *glance) keep(dir string) {
	rel := l.below(dir)
	for d, f := range l.known {
		if rel == "" || inside(rel, d) {
			f.look = l.looks
		}
	}
}

// gone judges the folders that the look did not come to, in order, so that the
// same file is always the first.
func (l *glance) gone() {
	var gone []string
	for rel, f := range l.known {
		if f.look != l.looks {
			gone = append(gone, rel)
		}
	}
	slices.Sort(gone)
	for _, rel := range gone {
		dir := filepath.Join(l.real, rel)
		for _, file := range l.known[rel].files {
			l.removed(filepath.Join(dir, file.name))
		}
		delete(l.known, rel)
		delete(l.sieve.scopes, dir)
	}
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
