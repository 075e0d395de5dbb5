//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// restartRounds are few, because a bot has to be old enough each time.
const restartRounds = 40

// restartAge: runsv and supervise hold back the successor of a bot that ran
// for less than a second. That is a policy and not a latency.
const restartAge = 1150 * time.Millisecond

// kept is a bot under a supervisor.
type kept struct {
	row
	bot  *bot
	proc *proc
}

// keep starts a bot under a supervisor, and waits for it.
func (b *bench) keep(name string, ours bool, command func(*bot) (spec, error)) *kept {
	k := &kept{row: row{name: name, ours: ours}}
	var s spec
	if k.bot, k.err = b.newBot(); k.err != nil {
		return k
	}
	if s, k.err = command(k.bot); k.err != nil {
		return k
	}
	if k.proc, k.err = b.launch(s); k.err == nil {
		k.err = k.bot.next(botPatience)
	}
	return k
}

func (k *kept) end() {
	if k.proc != nil {
		k.proc.end()
	}
	if k.bot != nil {
		k.bot.fifo.Close()
	}
}

// restart is the time between two bots.
func (b *bench) restart() []section {
	all := b.restarters()
	for range restartRounds {
		for _, k := range all {
			if k.err != nil {
				continue
			}
			k.bot.age(restartAge)
			var took time.Duration
			if took, k.err = k.bot.replace(); k.err == nil {
				k.values = append(k.values, took.Seconds()*1e3)
			}
		}
	}
	s := section{
		what: "exit 42 to new bot", unit: "ms", digits: 2, ref: "runsv + setlock",
		budget: atMost("≤ 1 × runsv + setlock (goal 0.8)", 1, "runsv + setlock", 0),
		note:   "s6-supervise and supervisord wait a second on purpose and are not compared",
	}
	for _, k := range all {
		k.end()
		s.rows = append(s.rows, k.row)
	}
	return []section{s}
}

func (b *bench) restarters() (all []*kept) {
	all = append(all,
		b.keep("ductor-supervise + ductor-lock", true, b.ourKeeper("locked")),
		b.keep("ductor-supervise --no-lock", false, b.ourKeeper("unlocked", "--no-lock")))
	setlock := b.find("setlock")
	if runsv := b.find("runsv"); runsv != "" {
		if setlock != "" {
			all = append(all, b.keep("runsv + setlock", false, b.serviceFolder(runsv, setlock)))
		}
		if chpst := b.find("chpst"); chpst != "" {
			all = append(all, b.keep("runsv + chpst -l", false, b.serviceFolder(runsv, chpst, "-l")))
		}
		all = append(all, b.keep("runsv, no lock", false, b.serviceFolder(runsv)))
	}
	if supervise := b.find("supervise"); supervise != "" && setlock != "" {
		all = append(all, b.keep("supervise + setlock", false, b.serviceFolder(supervise, setlock)))
	}
	return all
}

// ourKeeper runs a bot under ductor-supervise.
func (b *bench) ourKeeper(name string, flags ...string) func(*bot) (spec, error) {
	return func(t *bot) (spec, error) {
		argv := append([]string{b.ours("ductor-supervise"), "--name", name, "--restart-budget", "off"}, flags...)
		return spec{argv: append(append(argv, "--"), t.argv...)}, nil
	}
}

// serviceFolder runs a bot under a supervisor of the daemontools family, with
// a run script that takes the lock, if any, and becomes the bot.
func (b *bench) serviceFolder(supervisor string, lock ...string) func(*bot) (spec, error) {
	return func(t *bot) (spec, error) {
		dir := b.folder("service")
		words := []string{"exec"}
		if len(lock) > 0 {
			words = append(append(words, lock...), filepath.Join(dir, "lock"))
		}
		script := fmt.Sprintf("#!/bin/sh\n%s\n", strings.Join(append(words, t.argv...), " "))
		err := os.WriteFile(filepath.Join(dir, "run"), []byte(script), 0o700)
		return spec{argv: []string{supervisor, dir}}, err
	}
}
