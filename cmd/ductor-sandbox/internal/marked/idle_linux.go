package marked

import (
	"os"
	"path/filepath"
	"strconv"

	"ductor/cmd/ductor-sandbox/internal/mount"
)

// findIdle returns the first process of our own container, as known has it, and
// none anywhere else.
//
// There PID 1 is Docker's init, and its eldest child is our program, that idles.
// The root of each run is our program, too, from outside, and all that comes of a
// run stays below that as long as it lives, because it is a subreaper. So the
// other children of PID 1 are strays: their run's root was killed, or gave up, and
// no living run has any part in them, whatever their mark says.
//
// DANGER: elsewhere every daemon is a child of PID 1, and in a container with a
// shell in our place so is the background of every living run. Nobody is a stray
// unless this program is at its place in the container and PID 1's eldest child
// is the same file.
func findIdle(root string, procs []proc) proc {
	if self, err := os.Executable(); err != nil || self != mount.HelperInside {
		return proc{}
	}
	first, ok := eldest(procs)
	if !ok {
		return proc{}
	}
	ours, err := os.Stat(filepath.Join(root, "self", "exe"))
	if err != nil {
		return proc{}
	}
	its, err := os.Stat(filepath.Join(root, strconv.Itoa(first.pid), "exe"))
	if err != nil || !os.SameFile(ours, its) {
		return proc{}
	}
	return known(first)
}

// eldest is the child of PID 1 that began first; of two in one tick the one with
// the lower PID, since these are given in turn.
func eldest(procs []proc) (first proc, ok bool) {
	for _, p := range procs {
		if p.parent != 1 {
			continue
		}
		if a, b := ticks(p), ticks(first); !ok || a < b || a == b && p.pid < first.pid {
			first, ok = p, true
		}
	}
	return first, ok
}

// ticks is when a process began, since the machine did.
func ticks(p proc) uint64 {
	n, _ := strconv.ParseUint(p.start, 10, 64)
	return n
}

// torn: a parent is not among those seen. It ended between its child's turn and
// its own, and that child now has another.
func torn(procs []proc) bool {
	seen := map[int]bool{0: true, 1: true, os.Getpid(): true}
	for _, p := range procs {
		seen[p.pid] = true
	}
	for _, p := range procs {
		if !seen[p.parent] {
			return true
		}
	}
	return false
}
