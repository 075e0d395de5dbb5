package tree

import (
	"bytes"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }

// awaitExit returns when the process has ended, and leaves it a zombie.
func awaitExit(pid int) Exit {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			return exitOf(&info)
		}
		if !errors.Is(err, unix.EINTR) {
			return Exit{Code: 128 + int(unix.SIGKILL), Signal: unix.SIGKILL}
		}
	}
}

// exitOf reads si_status, which x/sys does not name: it lies behind three
// ints, padding to a pointer's alignment, si_pid and si_uid (sigaction(2)).
func exitOf(info *unix.Siginfo) Exit {
	fields := (3*4+unsafe.Alignof(uintptr(0))-1)/unsafe.Alignof(uintptr(0))*unsafe.Alignof(uintptr(0)) + 2*4
	status := int(*(*int32)(unsafe.Add(unsafe.Pointer(info), fields)))
	const cldExited = 1
	if info.Code == cldExited {
		return Exit{Code: status}
	}
	return Exit{Code: 128 + status, Signal: syscall.Signal(status)}
}

// adopter knows which of our children belong to the tree: as a subreaper we
// become the parent of every orphan among our descendants, those included
// that called setsid and so escaped the group.
type adopter struct {
	opt     Options
	changed chan os.Signal
	before  []int // children that we had before we started any
	// allOurs: we began without children, and we are not PID 1, to which
	// strangers may fall too. Then every child comes from the tree, and one
	// that wiped its environment is recognised all the same.
	allOurs  bool
	hopeless map[int]bool // may not be signalled
	ours     map[int]bool // belong to the tree: one that is about to end has no environment any more
	spared   map[int]bool // children that somebody else started and waits for
}

func (a *adopter) init(opt Options) {
	a.opt = opt
	a.changed = make(chan os.Signal, 1)
	a.hopeless, a.ours, a.spared = map[int]bool{}, map[int]bool{}, map[int]bool{}
	a.before = children()
	a.allOurs = len(a.before) == 0 && os.Getpid() != 1
	if opt.LeaderOnly {
		if os.Getpid() == 1 { // orphans fall to us whether we want them or not
			signal.Notify(a.changed, unix.SIGCHLD)
		}
		return
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		opt.Warn("become a subreaper: %v; processes that leave the group may survive", err)
	}
	signal.Notify(a.changed, unix.SIGCHLD)
}

// Changed tells that some child ended: the time for Reap, and for Gone.
func (a *adopter) Changed() <-chan os.Signal { return a.changed }

// Spare leaves a child alone that does not belong to the tree, until it is
// given up with false: between two calls of Reap or Gone, by their caller.
func (a *adopter) Spare(pid int, yes bool) {
	if yes {
		a.spared[pid] = true
		return
	}
	delete(a.spared, pid)
}

// Reap clears away orphans that ended while the leader runs.
func (a *adopter) Reap(leader int) {
	for _, pid := range children() {
		if pid != leader && !a.spared[pid] && !slices.Contains(a.before, pid) {
			a.reap(pid)
		}
	}
}

// Dismiss asks what hooks have left behind to end, when no tree is there any
// more.
func (a *adopter) Dismiss() {
	if a.opt.LeaderOnly {
		return
	}
	for _, pid := range a.strays(0) {
		a.end(pid, syscall.SIGTERM)
		a.end(pid, syscall.SIGCONT)
	}
}

// reap reports whether the child was a zombie, and no longer is. What is known
// of its PID ends with it.
func (a *adopter) reap(pid int) bool {
	got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
	if err != nil || got != pid {
		return false
	}
	delete(a.hopeless, pid)
	delete(a.ours, pid)
	return true
}

// strays returns the children other than the leader that belong to the tree
// and live. They stay ours, and their PIDs theirs, until we reap them.
func (a *adopter) strays(leader int) (pids []int) {
	for again := true; again; {
		pids, again = nil, false
		for _, pid := range children() {
			switch {
			case pid == leader || a.spared[pid] || slices.Contains(a.before, pid) || a.hopeless[pid]:
			case a.reap(pid):
				again = true // its own children became ours after the list was read
			case a.ours[pid] || a.belongs(pid, leader):
				a.ours[pid] = true
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func (a *adopter) belongs(pid, leader int) bool {
	if pgid, err := unix.Getpgid(pid); err == nil && pgid == leader {
		return true
	}
	return a.allOurs || HasInstance(pid, a.opt.Instance)
}

// end signals one child. One that we may not signal (it became another user)
// is not waited for: a restart must not hang on it for ever.
func (a *adopter) end(pid int, sig syscall.Signal) {
	if err := unix.Kill(pid, sig); errors.Is(err, unix.EPERM) {
		a.hopeless[pid] = true
		a.opt.Warn("process %d of the old tree may not be signalled, and is left alone", pid)
	}
}

// alone reports whether the zombie leader is the last of its tree.
func (t *Tree) alone() bool {
	strays := t.k.strays(t.PID)
	for _, pid := range strays {
		if pgid, err := unix.Getpgid(pid); t.sig != 0 && !t.asked[pid] && (err != nil || pgid != t.PID) {
			t.asked[pid] = true
			t.k.end(pid, t.sig)
			t.k.end(pid, syscall.SIGCONT)
		}
	}
	return len(strays) == 0
}

// children lists our child processes, zombies included. Which of our threads
// counts as the parent of an orphan is the kernel's choice.
func children() (pids []int) {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		data, err := slurp("/proc/self/task/" + task.Name() + "/children")
		if errors.Is(err, unix.ENOENT) {
			if _, err := os.Stat("/proc/self/task/" + task.Name()); err == nil {
				return childrenByScan()
			}
		}
		for _, f := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// slurp reads a file of procfs without setting up the poller for it: this runs
// between the end of one bot and the start of the next.
func slurp(path string) (data []byte, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for buf := make([]byte, 4096); ; {
		n, err := unix.Read(fd, buf)
		if n <= 0 || err != nil {
			return data, err
		}
		data = append(data, buf[:n]...)
	}
}

// childrenByScan is for kernels without CONFIG_PROC_CHILDREN.
func childrenByScan() (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		data, _ := os.ReadFile(path)
		_, rest, _ := bytes.Cut(data[max(bytes.LastIndexByte(data, ')'), 0):], []byte(" "))
		f := strings.Fields(string(rest))
		if len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// HasInstance reports whether the process was started with this
// DUCTOR_INSTANCE in its environment.
func HasInstance(pid int, instance string) bool {
	return HasVariable(pid, "DUCTOR_INSTANCE", instance)
}

// HasVariable reports whether the process was started with this in its
// environment. Nothing has an empty value.
func HasVariable(pid int, name, value string) bool {
	if value == "" {
		return false
	}
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	want := []byte(name + "=" + value)
	return slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return bytes.Equal(v, want) })
}
