//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// settle is how long a program may take to become idle.
const settle = 5 * time.Second

// idler is a program that has nothing to do.
type idler struct {
	name   string
	ours   bool
	proc   *proc
	before map[string]int
	memory memory
	err    error
}

// idle is what supervisors weigh, and how often they wake up, while their bot
// sleeps. All are looked at during the same minute.
func (b *bench) idle() []section {
	all := b.idlers()
	time.Sleep(settle)
	for _, p := range all {
		if p.err == nil {
			p.before, p.err = switches(p.proc.pid)
		}
	}
	seconds := b.idleSeconds()
	time.Sleep(time.Duration(seconds) * time.Second)
	weight := section{what: "idle memory (RSS)", unit: "MB", digits: 2, ref: "runsv", budget: fixed("≤ 6 MB", 6)}
	wakes := section{what: "idle wake-ups a minute", digits: 1, ref: "Go program that sleeps",
		budget: fixed("≤ 3", 3), note: fmt.Sprintf("context switches of all threads, seen for %d s", seconds)}
	for _, p := range all {
		weight.rows = append(weight.rows, row{name: p.name, ours: p.ours, err: p.err})
		wakes.rows = append(wakes.rows, row{name: p.name, ours: p.ours})
		if p.err == nil {
			p.look(&weight.rows[len(weight.rows)-1], &wakes.rows[len(wakes.rows)-1], seconds)
		}
	}
	for _, p := range all {
		if p.proc != nil {
			p.proc.end()
		}
	}
	return []section{weight, wakes}
}

// look fills in the two rows of a program.
func (p *idler) look(weight, wakes *row, seconds int) {
	after, err := switches(p.proc.pid)
	if err == nil {
		p.memory, err = weigh(p.proc.pid)
	}
	if err != nil {
		weight.err = err
		return
	}
	count := 0
	for id, n := range after {
		count += n - p.before[id]
	}
	wakes.values = []float64{float64(count) * 60 / float64(seconds)}
	weight.values, weight.extra = []float64{p.memory.rss}, p.memory.shares()
}

func (b *bench) idlers() (all []*idler) {
	sleep := []string{b.find("sleep"), "86400"}
	add := func(name string, ours bool, s spec) {
		p := &idler{name: name, ours: ours}
		p.proc, p.err = b.launch(s)
		all = append(all, p)
	}
	add("ductor-supervise", true, b.ourSleeper("idle", sleep))
	if dir, err := b.project(); err == nil {
		add("ductor-supervise --watch", true, b.ourSleeper("idle-watch", sleep, "--watch", dir, "--ext", ".py"))
	}
	for _, name := range []string{"runsv", "s6-supervise", "supervise"} {
		if path := b.find(name); path != "" {
			s, err := b.serviceFolder(path)(&bot{argv: sleep})
			if err == nil {
				add(name, false, s)
			}
		}
	}
	if path := b.find("supervisord"); path != "" {
		if s, err := supervisord(path, b.folder("supervisord"), sleep); err == nil {
			add("supervisord", false, s)
		}
	}
	add("Go program that sleeps", false, spec{argv: []string{b.helper("sleeper")}})
	return all
}

// ourSleeper runs a bot that sleeps under ductor-supervise.
func (b *bench) ourSleeper(name string, sleep []string, flags ...string) spec {
	argv := append([]string{b.ours("ductor-supervise"), "--name", name}, flags...)
	return spec{argv: append(append(argv, "--"), sleep...)}
}

func supervisord(path, dir string, command []string) (spec, error) {
	config := filepath.Join(dir, "supervisord.conf")
	text := fmt.Sprintf("[supervisord]\nnodaemon=true\nlogfile=%s\nlogfile_maxbytes=0\npidfile=%s\nuser=%d\n[program:bot]\ncommand=%s\n",
		os.DevNull, filepath.Join(dir, "pid"), os.Getuid(), strings.Join(command, " "))
	return spec{argv: []string{path, "-n", "-c", config}, dir: dir}, os.WriteFile(config, []byte(text), 0o600)
}

// switches counts voluntary and involuntary context switches, by thread:
// threads come and go, and what a thread did before we looked is not ours.
func switches(pid int) (map[string]int, error) {
	counts := map[string]int{}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err == nil && len(tasks) == 0 {
		err = fmt.Errorf("process %d has ended", pid)
	}
	for _, task := range tasks {
		fields, err := readFields(filepath.Join(task, "status"))
		if err == nil {
			counts[task] = fields["voluntary_ctxt_switches"] + fields["nonvoluntary_ctxt_switches"]
		}
	}
	return counts, err
}

// memory is in MB of 1,000,000 bytes.
type memory struct{ rss, pss, private float64 }

// shares says how much of it others have too.
func (m memory) shares() string { return fmt.Sprintf("PSS %.2f, private %.2f", m.pss, m.private) }

// weigh reads smaps_rollup of proc(5), which is in KiB.
func weigh(pid int) (memory, error) {
	f, err := readFields(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	mb := func(kib int) float64 { return float64(kib) * 1024 / 1e6 }
	return memory{mb(f["Rss"]), mb(f["Pss"]), mb(f["Private_Clean"] + f["Private_Dirty"])}, err
}

// readFields reads the lines "Name: number …" of a file of proc(5).
func readFields(path string) (map[string]int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	fields := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		name, rest, ok := strings.Cut(lines.Text(), ":")
		if words := strings.Fields(rest); ok && len(words) > 0 {
			if n, err := strconv.Atoi(words[0]); err == nil {
				fields[name] = n
			}
		}
	}
	return fields, nil
}
