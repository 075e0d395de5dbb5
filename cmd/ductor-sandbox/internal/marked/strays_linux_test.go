package marked

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
)

// TestEldest: by number, not by text, and by PID within a tick.
func TestEldest(t *testing.T) {
	for name, tt := range map[string]struct {
		procs []proc
		want  int
	}{
		"nobody":                {nil, 0},
		"none visible":          {[]proc{{pid: 9, parent: 0, start: "1"}, {pid: 10, parent: 9, start: "2"}}, 0},
		"by number":             {[]proc{{pid: 7, parent: 1, start: "10"}, {pid: 8, parent: 1, start: "9"}}, 8},
		"not the lowest PID":    {[]proc{{pid: 3, parent: 1, start: "200"}, {pid: 30000, parent: 1, start: "100"}}, 30000},
		"a tie":                 {[]proc{{pid: 9, parent: 1, start: "5"}, {pid: 7, parent: 1, start: "5"}, {pid: 8, parent: 1, start: "5"}}, 7},
		"older, of another":     {[]proc{{pid: 2, parent: 0, start: "1"}, {pid: 7, parent: 1, start: "5"}}, 7},
		"at the machine's dawn": {[]proc{{pid: 9, parent: 1, start: "4"}, {pid: 7, parent: 1, start: "0"}}, 7},
	} {
		if got, ok := eldest(tt.procs); got.pid != tt.want || ok != (tt.want != 0) {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

func TestTorn(t *testing.T) {
	whole := []proc{{pid: 7, parent: 1}, {pid: 8, parent: 0}, {pid: 9, parent: 8}, {pid: 10, parent: os.Getpid()}}
	if torn(whole) {
		t.Error("every parent is there")
	}
	if !torn(append(whole, proc{pid: 11, parent: 12})) {
		t.Error("a parent is missing")
	}
}

// container is a made-up one, with two living runs, and what others have left.
func container() []proc {
	return []proc{
		{pid: 7, parent: 1, start: "1", mark: "a"}, // idle
		{pid: 20, parent: 0, start: "2", mark: "a"},
		{pid: 21, parent: 20, start: "2", mark: "a"},
		{pid: 22, parent: 21, start: "3", mark: "b"}, // forged
		{pid: 23, parent: 22, start: "3"},
		{pid: 30, parent: 0, start: "4", mark: "b"},
		{pid: 31, parent: 30, start: "4"},
		{pid: 33, parent: 32, start: "5", mark: "x"}, // listed before its parent
		{pid: 32, parent: 1, start: "5", mark: "b"},  // forged, by a stray
		{pid: 40, parent: os.Getpid(), start: "6", mark: "x"},
	}
}

func pidsOf(procs []proc, k kin) (pids []int) {
	for _, p := range procs {
		if p.kin == k {
			pids = append(pids, p.pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// TestKin: what is the run's, and what is nobody's any more.
func TestKin(t *testing.T) {
	idle := proc{pid: 7, start: "1"}
	for name, tt := range map[string]struct {
		id          string
		idle        proc
		met         map[proc]kin
		own, strays []int
	}{
		"elsewhere":       {"a", proc{}, nil, []int{7, 20, 21, 22, 23}, nil},
		"elsewhere, none": {"c", proc{}, nil, nil, nil},
		"ours":            {"a", idle, nil, []int{20, 21, 22, 23, 40}, []int{32, 33}},
		"ours, none":      {"c", idle, nil, []int{40}, []int{32, 33}},
		"a neighbour":     {"b", idle, nil, []int{22, 23, 30, 31, 32, 33, 40}, nil},
		"met before":      {"c", proc{}, map[proc]kin{{pid: 23, start: "3"}: own, {pid: 31, start: "1"}: own}, []int{23}, nil},
		"a stray, met":    {"c", idle, map[proc]kin{{pid: 33, start: "5"}: stray}, []int{40}, []int{32, 33}},
		"not allowed":     {"c", idle, map[proc]kin{{pid: 32, start: "5"}: foreign}, []int{40}, nil},
	} {
		r := &reaper{id: tt.id, idle: tt.idle, met: tt.met}
		got := r.ours(container())
		if own, strays := pidsOf(got, own), pidsOf(got, stray); !slices.Equal(own, tt.own) || !slices.Equal(strays, tt.strays) {
			t.Errorf("%s: %d and %d, not %d and %d", name, own, strays, tt.own, tt.strays)
		}
	}
}

// TestKinOf: one by itself is what it is among all, and nobody's if its parent has
// ended or its parent's number is another's by now.
func TestKinOf(t *testing.T) {
	root := t.TempDir()
	stat := func(p proc, state string) {
		dir := filepath.Join(root, strconv.Itoa(p.pid))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%d (a) b) %s %d 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 %s 0", p.pid, state, p.parent, p.start)
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range container() {
		stat(p, "S")
	}
	stat(proc{pid: 50, parent: 1, start: "3"}, "Z")
	stat(proc{pid: 51, parent: 1, start: "10"}, "S") // a number given anew
	more := []proc{{pid: 60, parent: 50, start: "9"}, {pid: 61, parent: 51, start: "9"}, {pid: 62, parent: 52, start: "9"}, {pid: 63, parent: 51, start: "11"}}
	idle := proc{pid: 7, start: "1"}
	for name, tt := range map[string]struct {
		id   string
		idle proc
		met  map[proc]kin
		want map[int]kin
	}{
		"elsewhere":   {"a", proc{}, nil, map[int]kin{7: own, 20: own, 21: own}},
		"ours":        {"a", idle, nil, map[int]kin{20: own, 21: own, 40: own, 32: stray, 33: stray, 63: stray}},
		"met before":  {"c", proc{}, map[proc]kin{{pid: 23, start: "3"}: own, {pid: 31, start: "1"}: own}, map[int]kin{23: own}},
		"not allowed": {"c", idle, map[proc]kin{{pid: 32, start: "5"}: foreign}, map[int]kin{40: own, 33: stray, 63: stray}},
	} {
		r := &reaper{root: root, id: tt.id, idle: tt.idle, met: tt.met}
		got := map[int]kin{}
		for _, p := range append(container(), more...) {
			if k := r.kinOf(p); k != 0 {
				got[p.pid] = k
			}
		}
		if !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v, not %v", name, got, tt.want)
		}
	}
}

// TestNoIdleHere: nobody on this machine is a stray.
func TestNoIdleHere(t *testing.T) {
	s, err := walk("/proc")
	if err != nil || len(s.procs) == 0 {
		t.Fatal(err)
	}
	if idle := findIdle("/proc", s.procs); idle != (proc{}) {
		t.Errorf("%+v", idle)
	}
}

// orphans counts those that leave has made, and hydra's heads.
func (b box) orphans() int {
	b.Helper()
	out := b.docker("top", b.name, "-eo", "pid,args")
	return strings.Count(out, " -late ") + strings.Count(out, " -head ")
}

// nobody: a look may miss a hydra, whose heads come and go.
func (b box) nobody() bool {
	b.Helper()
	for range 5 {
		if b.orphans() > 0 {
			return false
		}
	}
	return true
}

// leave makes two strays, one of which bears the mark of a living run, and a
// hydra without a mark if there is room for its file.
func (b box) leave(hydra bool) {
	b.Helper()
	b.docker("exec", "-d", "-e", Env+"=two", b.name, "/bin/fakecli", "orphan", "3600")
	b.docker("exec", "-d", b.name, "/bin/fakecli", "orphan", "3600")
	clitest.Wait(b, "the orphans", func() bool { return b.orphans() == 2 })
	if hydra {
		b.docker("exec", b.name, "/bin/fakecli", "hydra", "/tmp/there")
		clitest.Wait(b, "the hydra", func() bool { return b.orphans() > 2 })
	}
}

// TestStrays: in our own container they end with any run, and no neighbour does.
func TestStrays(t *testing.T) {
	needLinux(t)
	for _, user := range []string{"0:0", "1234:1234"} {
		for _, sig := range []string{"TERM", "KILL"} {
			t.Run(user+" "+sig, func(t *testing.T) {
				b := newBoxOf(t, []string{"--init", "--user", user, "-e", helper + "=1", "--tmpfs", "/tmp:exec,mode=1777", "--entrypoint", first}, "idle")
				one, three := b.tree("one"), b.tree("three")
				b.leave(true)
				var got Result
				b.reapBy(first, &got, "kill", "one", sig, "20ms")
				if got != (Result{3, 0}) || !b.nobody() {
					t.Errorf("%+v of %+v, and %d orphans", got, one, b.orphans())
				}
				var runs Runs
				b.reapBy(first, &runs, "list")
				if len(runs.Runs) != 1 || len(runs.Runs["three"]) != 3 {
					t.Errorf("%v are left, not %+v", runs, three)
				}
				if out := b.docker("inspect", "-f", "{{.State.Running}}", b.name); out != "true\n" {
					t.Errorf("PID 1 runs: %s", out)
				}
			})
		}
	}
}

// TestNoStrays: a child of PID 1 may be anybody's where not all of it is as it is
// in our own container.
func TestNoStrays(t *testing.T) {
	needLinux(t)
	ours := []string{"--init", "-e", helper + "=1", "--entrypoint", first}
	for name, tt := range map[string]struct {
		options []string
		program string
		words   []string
	}{
		"a program elsewhere":    {ours, "/.ductor/reaper", []string{"idle"}},
		"another first one":      {[]string{"--init"}, first, nil},
		"no init, and no eldest": {ours[1:], first, []string{"idle"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoxOf(t, tt.options, tt.words...)
			b.leave(false)
			var got Result
			b.reapBy(tt.program, &got, "kill", "one", "TERM", "20ms")
			if got != (Result{}) || b.orphans() != 2 {
				t.Errorf("%+v, and %d orphans", got, b.orphans())
			}
		})
	}
}

// TestForeignStray: one that may not be ended holds up nobody.
func TestForeignStray(t *testing.T) {
	needLinux(t)
	b := newBoxOf(t, []string{"--init", "--user", "1234:1234", "-e", helper + "=1", "--entrypoint", first}, "idle")
	b.docker("exec", "-d", "--user", "0:0", b.name, "/bin/fakecli", "orphan", "3600")
	clitest.Wait(t, "the orphan", func() bool { return b.orphans() == 1 })
	for _, sig := range []string{"TERM", "KILL"} {
		var got Result
		b.reapBy(first, &got, "kill", "one", sig, "20ms")
		if got != (Result{}) || b.orphans() != 1 {
			t.Errorf("%+v, and %d orphans", got, b.orphans())
		}
	}
}
