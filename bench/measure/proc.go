//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bench knows where things are, and every process that was started.
type bench struct {
	bin, own, peers, tmp string
	env                  func(string) string
	null, log            *os.File
	missing              []string
	folders              int
	starting             sync.Mutex // held for good by endAll: nothing starts after it
	leftovers            []func()   // remove what is not a process of ours
}

func (b *bench) prepare() (err error) {
	// Orphans of supervisors that are killed come to us, and so endAll finds
	// them.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	if b.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return err
	}
	if b.log, err = os.Create(filepath.Join(b.tmp, "log")); err != nil {
		return err
	}
	return os.Setenv("PATH", b.peers+":"+os.Getenv("PATH"))
}

// folder makes an empty folder below tmp.
func (b *bench) folder(name string) string {
	b.folders++
	dir := filepath.Join(b.tmp, fmt.Sprintf("%s.%d", name, b.folders))
	if err := os.Mkdir(dir, 0o700); err != nil {
		panic(err) // the folder above is ours and new
	}
	return dir
}

// find returns the path of a peer, or "" and notes that it is missing.
func (b *bench) find(name string) string {
	for dir := range strings.SplitSeq(os.Getenv("PATH"), ":") {
		path := filepath.Join(dir, name)
		if unix.Access(path, unix.X_OK) == nil {
			return path
		}
	}
	if !slices.Contains(b.missing, name) {
		b.missing = append(b.missing, name)
	}
	return ""
}

// ours returns the path of a program of this house.
func (b *bench) ours(name string) string { return filepath.Join(b.bin, name) }

// home is the DUCTOR_HOME of all that we start.
func (b *bench) home() string { return filepath.Join(b.tmp, "home") }

// helper returns the path of a program of bench/.
func (b *bench) helper(name string) string { return filepath.Join(b.own, name) }

// spec is a program to start. Its output goes to the log, or nowhere.
type spec struct {
	argv  []string
	dir   string
	stdin *os.File
	quiet bool
	env   []string // besides what all get, or in place of it
}

// fork starts a program in a process group of its own, so that a Ctrl-C
// reaches us alone. All get the same small environment.
func (b *bench) fork(s spec) (int, error) {
	out := b.log
	if s.quiet {
		out = b.null
	}
	in := b.null
	if s.stdin != nil {
		in = s.stdin
	}
	return syscall.ForkExec(s.argv[0], s.argv, &syscall.ProcAttr{
		Dir:   s.dir,
		Env:   b.environ(s.env),
		Files: []uintptr{in.Fd(), out.Fd(), out.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
}

// environ has no name twice: programs differ in which of two they take.
func (b *bench) environ(more []string) []string {
	all := slices.Clone(more)
	for _, kv := range []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.tmp, "DUCTOR_HOME=" + b.home(), "TERM=dumb"} {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(more, func(s string) bool { return strings.HasPrefix(s, name+"=") }) {
			all = append(all, kv)
		}
	}
	return all
}

// timeRun returns how long a program took, from before its fork until its end
// is known. A program that fails is measured for nothing, and so an error.
func (b *bench) timeRun(s spec) (time.Duration, error) {
	// Not until the end: endAll would wait for pip.
	b.starting.Lock()
	begin := time.Now()
	pid, err := b.fork(s)
	b.starting.Unlock()
	if err != nil {
		return 0, fmt.Errorf("start %q: %w", s.argv[0], err)
	}
	var status syscall.WaitStatus
	for {
		_, err = syscall.Wait4(pid, &status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("wait for %q: %w", s.argv, err)
	}
	if status.ExitStatus() != 0 {
		return 0, fmt.Errorf("%q: exit %d", s.argv, status.ExitStatus())
	}
	return took, nil
}

// timeRuns is timeRun of n at once, until the last has ended.
func (b *bench) timeRuns(n int, s spec) (time.Duration, error) {
	if n == 1 {
		return b.timeRun(s)
	}
	var all sync.WaitGroup
	errs := make([]error, n)
	begin := time.Now()
	for i := range n {
		all.Go(func() { _, errs[i] = b.timeRun(s) })
	}
	all.Wait()
	return time.Since(begin), errors.Join(errs...)
}

// proc is a program that runs until it is ended.
type proc struct {
	pid  int
	done chan struct{}
}

// launch starts a program that stays.
func (b *bench) launch(s spec) (*proc, error) {
	b.starting.Lock()
	defer b.starting.Unlock()
	pid, err := b.fork(s)
	if err != nil {
		return nil, fmt.Errorf("start %q: %w", s.argv[0], err)
	}
	p := &proc{pid, make(chan struct{})}
	go func() {
		defer close(p.done)
		for {
			if _, err := syscall.Wait4(pid, nil, 0, nil); !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	}()
	return p, nil
}

// end asks a program to stop, and then sees to it that nothing of it is left.
func (p *proc) end() {
	kin := descendants(p.pid)
	_ = syscall.Kill(p.pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
		<-p.done
	}
	killThose(kin)
}

// endAll ends everything that we started, and lets nothing start after it.
// Polite supervisors get a chance to end their own first.
func (b *bench) endAll() {
	b.starting.Lock()
	all := descendants(os.Getpid())
	for _, k := range all {
		if k.parent == os.Getpid() {
			_ = syscall.Kill(k.pid, syscall.SIGTERM)
		}
	}
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		reapAll()
		if len(descendants(os.Getpid())) == 0 {
			return
		}
	}
	for {
		reapAll()
		left := descendants(os.Getpid())
		if len(left) == 0 {
			return
		}
		killThose(left)
		time.Sleep(20 * time.Millisecond)
	}
}

// later returns remove, which the caller is to call; an interrupt does so, too.
func (b *bench) later(remove func()) func() {
	b.starting.Lock()
	defer b.starting.Unlock()
	b.leftovers = append(b.leftovers, remove)
	return remove
}

// clean comes after endAll.
func (b *bench) clean() {
	for _, remove := range b.leftovers {
		remove()
	}
}

func reapAll() {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != nil || pid <= 0 {
			return
		}
	}
}

// kin is a process below us. Its start keeps us from killing a stranger that
// got the same PID.
type kin struct {
	pid, parent int
	start       string
}

func killThose(list []kin) {
	for _, k := range list {
		if now, ok := look(k.pid); ok && now.start == k.start {
			_ = syscall.Kill(k.pid, syscall.SIGKILL)
		}
	}
}

// descendants lists the live processes below pid, parents first.
func descendants(pid int) (found []kin) {
	below := map[int][]kin{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			if k, ok := look(n); ok {
				below[k.parent] = append(below[k.parent], k)
			}
		}
	}
	for queue := below[pid]; len(queue) > 0; {
		next := queue[0]
		found = append(found, next)
		queue = append(queue[1:], below[next.pid]...)
	}
	return found
}

// look reads proc_pid_stat(5), and reports false for a zombie too.
func look(pid int) (kin, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return kin{}, false
	}
	f := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(f) < 20 || f[0][0] == 'Z' {
		return kin{}, false
	}
	parent, err := strconv.Atoi(string(f[1]))
	return kin{pid, parent, string(f[19])}, err == nil
}
