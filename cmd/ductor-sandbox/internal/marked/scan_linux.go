package marked

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// proc is one process as a scan saw it. Start tells it from a later one with
// the same PID.
type proc struct {
	pid, parent int
	start       string
	mark        string // "" without one
	kin         kin    // what Kill has found out
}

// scan is what was seen at one walk through /proc. A walk takes time: unsure
// says that somebody was in between, so that the absence of a mark proves
// nothing yet.
type scan struct {
	procs  []proc
	unsure bool
}

// walk looks at every process but PID 1 and this one.
func walk(root string) (scan, error) {
	dir, err := os.Open(root)
	if err != nil {
		return scan{}, fmt.Errorf("open process list: %w", err)
	}
	defer dir.Close()
	var s scan
	last := lastPID(root)
	for {
		names, err := dir.Readdirnames(64)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil && pid > 1 && pid != os.Getpid() {
				s.look(root, pid)
			}
		}
		if err != nil {
			// The end; what was listed until an error is all there is. Somebody
			// born meanwhile may be a child of one that was gone by its turn.
			s.unsure = s.unsure || lastPID(root) != last
			return s, nil
		}
	}
}

// chase looks at the youngest processes until hit takes one: a link of a chain
// in which each starts the next and ends lives for less time than a walk takes.
func chase(root string, deadline time.Time, hit func(proc) bool) {
	for time.Now().Before(deadline) {
		last := lastPID(root)
		for pid := max(2, last-3); pid <= last; pid++ {
			var s scan
			if !isOurs(root, pid) {
				s.look(root, pid)
			}
			if len(s.procs) > 0 && hit(s.procs[0]) {
				return
			}
		}
	}
}

// isOurs: the youngest number may be that of a thread of this process, which a
// signal would end as a whole.
func isOurs(root string, pid int) bool {
	_, err := os.Lstat(filepath.Join(root, strconv.Itoa(os.Getpid()), "task", strconv.Itoa(pid)))
	return err == nil
}

// lastPID returns the PID given last in our namespace, the last word of
// loadavg; 0 if that cannot be read.
func lastPID(root string) int {
	data, _ := os.ReadFile(filepath.Join(root, "loadavg"))
	words := strings.Fields(string(data))
	if len(words) == 0 {
		return 0
	}
	pid, _ := strconv.Atoi(words[len(words)-1])
	return pid
}

func (s *scan) look(root string, pid int) {
	p, state, err := readStat(root, pid)
	if err != nil {
		s.unsure = true // it ended just now, and may have left a child
		return
	}
	if state.dead || state.kernel {
		return
	}
	env, err := environ(root, pid, state)
	switch {
	case errors.Is(err, os.ErrPermission): // somebody else's
	case err != nil || len(env) == 0 && !state.bare:
		s.unsure = true // it ends, or becomes another program
	default:
		p.mark = markIn(env)
	}
	s.procs = append(s.procs, p)
}

// state is what a process's stat says of its environment.
type state struct {
	dead     bool // no thread of it runs
	headless bool // its first thread ended and others run
	kernel   bool // a thread of the kernel
	bare     bool // it has no environment, and may stay so
}

// readStat reads proc(5)'s stat. The name, in parentheses, may hold anything.
func readStat(root string, pid int) (proc, state, error) {
	data, err := os.ReadFile(filepath.Join(root, strconv.Itoa(pid), "stat"))
	if err != nil {
		return proc{}, state{}, err
	}
	// From the third field on, the state; the numbers below are proc(5)'s less 3.
	f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(f) < 20 {
		return proc{}, state{}, errors.New("torn stat")
	}
	parent, _ := strconv.Atoi(f[4-3])
	flags, _ := strconv.ParseUint(f[9-3], 10, 64)
	const kthread = 0x00200000 // PF_KTHREAD of linux/sched.h
	zombie := f[0] == "Z" || f[0] == "X"
	st := state{
		dead: zombie && f[20-3] == "1", headless: zombie && f[20-3] != "1", kernel: flags&kthread != 0,
		bare: len(f) > 51-3 && f[50-3] != "0" && f[50-3] == f[51-3],
	}
	return proc{pid: pid, parent: parent, start: f[22-3]}, st, nil
}

// environ reads a process's environment; of a headless one by its threads.
func environ(root string, pid int, st state) ([]byte, error) {
	dir := filepath.Join(root, strconv.Itoa(pid))
	if !st.headless {
		return os.ReadFile(filepath.Join(dir, "environ"))
	}
	threads, err := filepath.Glob(filepath.Join(dir, "task", "*", "environ"))
	for _, path := range threads {
		env, readErr := os.ReadFile(path)
		if len(env) > 0 {
			return env, nil
		}
		err = errors.Join(err, readErr)
	}
	return nil, err
}

// markIn returns the run that an environment names: the first, as getenv(3)
// would have it, and only an ID that can be ours.
func markIn(env []byte) string {
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		if id, ok := strings.CutPrefix(string(kv), Env+"="); ok {
			if Valid(id) {
				return id
			}
			return ""
		}
	}
	return ""
}

// List returns the PIDs of each run, ascending. Of a process that ends or
// starts meanwhile it may or may not know.
func List(root string) (map[string][]int, error) {
	s, err := walk(root)
	if err != nil {
		return nil, err
	}
	runs := map[string][]int{}
	for _, p := range s.procs {
		if p.mark != "" {
			runs[p.mark] = append(runs[p.mark], p.pid)
		}
	}
	for _, pids := range runs {
		slices.Sort(pids)
	}
	return runs, nil
}
