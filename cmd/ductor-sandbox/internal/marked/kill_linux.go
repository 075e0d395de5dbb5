package marked

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// patience is how long a process may take to end after KILL. One in an
// uninterruptible system call takes as long as the device does.
const patience = 10 * time.Second

// Kill ends the processes of run id: it sends sig, and CONT, to each that it
// finds, looks for new ones until grace is over, and then sends KILL until
// none is left, for at most 10 seconds. What has come of these is ended too,
// whatever mark it bears, while its parent is known. PID 1 and this process
// never are, and none of another run, unless it bears this mark.
//
// In our own container it also ends all that has come of this process, and the
// strays: see findIdle.
//
// It returns how many processes are left, strays too, and how many of the run
// ended. That some are left is no error.
func Kill(root, id string, sig syscall.Signal, grace time.Duration) (left, killed int, err error) {
	if !Valid(id) {
		return 0, 0, badID(id)
	}
	r := &reaper{root: root, id: id, met: map[proc]kin{}}
	if sig != syscall.SIGKILL {
		if gone, err := r.until(time.Now().Add(grace), sig); gone || err != nil {
			return 0, r.killed(), err
		}
	}
	gone, err := r.until(time.Now().Add(patience), syscall.SIGKILL)
	if gone || err != nil {
		return 0, r.killed(), err
	}
	if len(r.alive) > 0 && r.refused != nil {
		err = fmt.Errorf("kill %d processes of run %q: %w", len(r.alive), id, r.refused)
	}
	return len(r.alive), r.killed(), err
}

// reaper is one call of Kill.
type reaper struct {
	root, id string
	idle     proc         // without its mark; none unless this is our container
	met      map[proc]kin // every process that was ever seen and is to end, without its mark
	alive    []proc       // of these, at the last look
	refused  error        // the last signal that was not allowed
}

// kin is why a process is to end.
type kin int

const (
	own     kin = iota + 1 // of the run
	stray                  // of a run that is over, which may be this one
	foreign                // a stray that is not ours to end: somebody else's docker exec has left it
)

// killed counts those of the run alone: strays can be anybody's.
func (r *reaper) killed() (n int) {
	for _, k := range r.met {
		if k == own {
			n++
		}
	}
	for _, p := range r.alive {
		if r.met[known(p)] == own {
			n--
		}
	}
	return n
}

// An environment may be missing for a moment, and on a busy machine somebody
// always ends. So many looks in a row without a mark are believed.
const enough = 8

// until looks and signals until nobody is left, which it reports, or the
// deadline. KILL does not wait between looks while it finds somebody.
func (r *reaper) until(deadline time.Time, sig syscall.Signal) (gone bool, err error) {
	for empty := 0; ; {
		unsure, err := r.look(sig)
		if err != nil {
			return false, err
		}
		switch {
		case len(r.alive) > 0:
			empty = 0
		case !unsure || empty == enough:
			return true, nil
		default:
			empty++
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		if len(r.alive) > 0 && sig != syscall.SIGKILL {
			time.Sleep(5 * time.Millisecond)
		} else if len(r.alive) > 0 || empty > 1 {
			time.Sleep(time.Millisecond)
		}
	}
}

// look signals whom it finds. If nobody was found and somebody may have slipped
// through, it goes after the youngest processes.
func (r *reaper) look(sig syscall.Signal) (unsure bool, err error) {
	s, err := walk(r.root)
	if err != nil {
		return false, err
	}
	if !r.contained() {
		r.idle = findIdle(r.root, s.procs)
	}
	r.alive = r.ours(s.procs)
	for _, p := range r.alive {
		r.signal(p, sig)
	}
	unsure = s.unsure || r.contained() && torn(s.procs)
	if unsure && len(r.alive) == 0 {
		chase(r.root, time.Now().Add(2*time.Millisecond), func(p proc) bool {
			if p.kin = r.kinOf(p); p.kin == 0 {
				return false
			}
			r.alive = append(r.alive, p)
			r.signal(p, sig)
			return true
		})
	}
	return unsure, nil
}

func (r *reaper) contained() bool { return r.idle != proc{} }

// ours are the processes with the mark, all that descend from them, and those
// that were met before: of these the parent or the mark may be gone by now. It
// must be known before the first signal, because a process that ends takes the
// way to its children with it. Strays come last, so that what is the run's counts
// as that.
func (r *reaper) ours(procs []proc) (list []proc) {
	taken := map[int]bool{}
	take := func(k kin, is func(proc) bool) {
		for more := true; more; {
			more = false
			for _, p := range procs {
				before := r.met[known(p)]
				if taken[p.pid] || known(p) == r.idle || before == foreign || before != k && !taken[p.parent] && !is(p) {
					continue
				}
				taken[p.pid], more = true, true
				p.kin = k
				list = append(list, p)
			}
		}
	}
	take(own, func(p proc) bool { return p.mark == r.id || r.contained() && p.parent == os.Getpid() })
	if r.contained() {
		take(stray, func(p proc) bool { return p.parent == 1 })
	}
	return list
}

// known is a process as met has it: whatever becomes of its parent or mark.
func known(p proc) proc { return proc{pid: p.pid, start: p.start} }

// kinOf is for one process by itself: it climbs to where it has come from.
func (r *reaper) kinOf(p proc) kin {
	before, at := r.met[known(p)], p
	switch {
	case before == foreign || known(p) == r.idle:
		return 0
	case before != 0:
		return before
	case p.mark == r.id:
		return own
	case !r.contained():
		return 0
	}
	for at.parent > 1 && at.parent != os.Getpid() {
		up, state, err := readStat(r.root, at.parent)
		if err != nil || state.dead || ticks(up) > ticks(at) {
			return 0 // that one has ended just now; its child has another parent by the next look
		}
		at = up
	}
	switch {
	case at.parent == 1 && known(at) != r.idle:
		return stray
	case at.parent == os.Getpid():
		return own
	}
	return 0 // it has come from outside, as the root of a run does
}

func (r *reaper) signal(p proc, sig syscall.Signal) {
	if r.met[known(p)] != 0 && sig != syscall.SIGKILL {
		return // it was asked
	}
	r.met[known(p)] = cmp.Or(r.met[known(p)], p.kin)
	// FindProcess pins the process, where the kernel can (5.3); only then a look
	// at its start proves that the signal meets who was seen.
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return
	}
	defer func() { _ = handle.Release() }()
	if now, _, err := readStat(r.root, p.pid); err != nil || now.start != p.start {
		return
	}
	for _, s := range []syscall.Signal{sig, syscall.SIGCONT} {
		err := handle.Signal(s)
		switch {
		case err == nil || errors.Is(err, os.ErrProcessDone):
		case p.kin == stray && errors.Is(err, os.ErrPermission):
			r.met[known(p)] = foreign // or every run would wait for it in vain
		default:
			r.refused = err
		}
	}
}
