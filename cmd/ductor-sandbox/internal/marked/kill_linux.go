package marked

import (
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
// none is left, for at most 10 seconds. Children that dropped the mark are
// ended too while their parent is known. PID 1 and this process never are, and
// none with the mark of another run.
//
// It returns how many processes are left and how many ended. That some are
// left is no error.
func Kill(root, id string, sig syscall.Signal, grace time.Duration) (left, killed int, err error) {
	if !Valid(id) {
		return 0, 0, badID(id)
	}
	r := &reaper{root: root, id: id, met: map[proc]bool{}}
	if sig != syscall.SIGKILL {
		if gone, err := r.until(time.Now().Add(grace), sig); gone || err != nil {
			return 0, len(r.met), err
		}
	}
	gone, err := r.until(time.Now().Add(patience), syscall.SIGKILL)
	if gone || err != nil {
		return 0, len(r.met), err
	}
	if len(r.alive) > 0 && r.refused != nil {
		err = fmt.Errorf("kill %d processes of run %q: %w", len(r.alive), id, r.refused)
	}
	return len(r.alive), len(r.met) - len(r.alive), err
}

// reaper is one call of Kill.
type reaper struct {
	root, id string
	met      map[proc]bool // every process of the run that was ever seen, without its mark
	alive    []proc        // of these, at the last look
	refused  error         // the last signal that was not allowed
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
	r.alive = r.ours(s.procs)
	for _, p := range r.alive {
		r.signal(p, sig)
	}
	if s.unsure && len(r.alive) == 0 {
		chase(r.root, time.Now().Add(2*time.Millisecond), func(p proc) bool {
			if p.mark != r.id {
				return false
			}
			r.alive = append(r.alive, p)
			r.signal(p, sig)
			return true
		})
	}
	return s.unsure, nil
}

// ours are the processes with the mark, those without one that descend from
// them, and those that were met before: of these the parent or the mark may be
// gone by now. It must be known before the first signal, because a process that
// ends takes the way to its children with it.
func (r *reaper) ours(procs []proc) (list []proc) {
	taken := map[int]bool{}
	for more := true; more; {
		more = false
		for _, p := range procs {
			if !taken[p.pid] && (p.mark == r.id || p.mark == "" && (taken[p.parent] || r.met[known(p)])) {
				taken[p.pid], more = true, true
				list = append(list, p)
			}
		}
	}
	return list
}

// known is a process as met has it: whatever becomes of its parent or mark.
func known(p proc) proc { return proc{pid: p.pid, start: p.start} }

func (r *reaper) signal(p proc, sig syscall.Signal) {
	if r.met[known(p)] && sig != syscall.SIGKILL {
		return // it was asked
	}
	r.met[known(p)] = true
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
		if err := handle.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			r.refused = err
		}
	}
}
