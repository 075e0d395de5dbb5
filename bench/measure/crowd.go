//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

const crowdSize = 100

// crowd is many of one supervisor, each with a bot that sleeps.
type crowd struct {
	name   string
	ours   bool
	procs  []*proc
	memory memory // of all
	wakes  int    // of all threads
	err    error
}

// crowd is what a machine full of supervisors costs. Those of different
// programs share nothing, and are looked at during the same minute. Ours that
// also watch have a minute of their own: they would share pages with ours that
// do not, and Linux allows a user 128 inotify instances.
func (b *bench) crowd() []section {
	weight := section{what: fmt.Sprintf("%d supervisors: memory (PSS)", crowdSize), unit: "MB", digits: 1, ref: "runsv"}
	wakes := section{what: fmt.Sprintf("%d supervisors: wake-ups a minute", crowdSize), note: instancesNote()}
	for _, gather := range []func() []*crowd{b.plainCrowds, b.watchingCrowd} {
		all := gather()
		b.observe(all)
		for _, c := range all {
			w, k := c.rows(b.idleSeconds())
			weight.rows, wakes.rows = append(weight.rows, w), append(wakes.rows, k)
			c.end()
		}
	}
	return []section{weight, wakes}
}

func instancesNote() string {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		return ""
	}
	return fmt.Sprintf("fs.inotify.max_user_instances is %s; a supervisor needs one; where there is none it looks, every second for requests and every 2 s for changes", strings.TrimSpace(string(text)))
}

// plainCrowds are those that watch no files of the user's.
func (b *bench) plainCrowds() (all []*crowd) {
	sleep := []string{b.find("sleep"), "86400"}
	all = append(all, b.gather("ductor-supervise", true, func(n int) (spec, error) {
		return b.ourSleeper(fmt.Sprintf("crowd%d", n), sleep), nil
	}))
	for _, name := range []string{"runsv", "s6-supervise"} {
		if path := b.find(name); path != "" {
			all = append(all, b.gather(name, false, func(int) (spec, error) {
				return b.serviceFolder(path)(&bot{argv: sleep})
			}))
		}
	}
	return all
}

func (b *bench) watchingCrowd() []*crowd {
	sleep := []string{b.find("sleep"), "86400"}
	dir, err := b.project()
	return []*crowd{b.gather("ductor-supervise --watch", true, func(n int) (spec, error) {
		return b.ourSleeper(fmt.Sprintf("watchers%d", n), sleep, "--watch", dir, "--ext", ".py"), err
	})}
}

// gather starts a crowd.
func (b *bench) gather(name string, ours bool, command func(n int) (spec, error)) *crowd {
	c := &crowd{name: name, ours: ours}
	for n := range crowdSize {
		s, err := command(n)
		var p *proc
		if err == nil {
			p, err = b.launch(s)
		}
		if c.err = err; err != nil {
			return c
		}
		c.procs = append(c.procs, p)
	}
	return c
}

// observe lets crowds come to rest, and counts for a minute.
func (b *bench) observe(all []*crowd) {
	time.Sleep(2 * settle)
	for _, c := range all {
		c.count(-1)
	}
	time.Sleep(time.Duration(b.idleSeconds()) * time.Second)
	for _, c := range all {
		c.count(1)
		for _, p := range c.procs {
			m, err := weigh(p.pid)
			if err != nil && c.err == nil {
				c.err = err
			}
			c.memory = memory{c.memory.rss + m.rss, c.memory.pss + m.pss, c.memory.private + m.private}
		}
	}
}

// count adds, or takes away, the context switches of all.
func (c *crowd) count(sign int) {
	for _, p := range c.procs {
		threads, err := switches(p.pid)
		if err != nil && c.err == nil {
			c.err = err
		}
		for _, n := range threads {
			c.wakes += sign * n
		}
	}
}

func (c *crowd) rows(seconds int) (weight, wakes row) {
	weight = row{name: c.name, ours: c.ours, err: c.err}
	wakes = row{name: c.name, ours: c.ours}
	if c.err == nil {
		weight.values = []float64{c.memory.pss}
		weight.extra = fmt.Sprintf("RSS %.1f, private %.1f", c.memory.rss, c.memory.private)
		wakes.values = []float64{float64(c.wakes) * 60 / float64(seconds)}
	}
	return weight, wakes
}

// end ends all at once: a hundred ends one after the other take their time.
func (c *crowd) end() {
	var all sync.WaitGroup
	for _, p := range c.procs {
		all.Go(p.end)
	}
	all.Wait()
}
