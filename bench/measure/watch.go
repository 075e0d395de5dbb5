//go:build linux

package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	watchRounds    = 15
	checkoutRounds = 3
	// watchAge keeps one restart from falling into what a tool does after the
	// one before.
	watchAge = 500 * time.Millisecond
	// checkoutQuiet is how long a restart may come after a checkout: entr, reflex
	// and air act within 1.1 s.
	checkoutQuiet = 2 * time.Second
	checkoutFiles = 1000
	// reopenEvery is in saves: see reopen.
	reopenEvery = 5
)

// nodemonSeen is what nodemon needed, in ms, when the budget was made: for
// machines that have none.
const nodemonSeen = 13.7

// watched is a bot whose supervisor watches a folder.
type watched struct {
	*kept
	dir    string
	counts []float64 // restarts a checkout
}

// watch is the time from a saved file to the new bot, and how many restarts
// one checkout makes.
func (b *bench) watch() []section {
	all := b.watchers()
	for n := range watchRounds {
		for _, w := range all {
			if w.err == nil {
				w.err = w.save(n)
			}
			if w.err == nil && w.ours && n%reopenEvery == reopenEvery-1 {
				w.err = w.reopen()
			}
		}
	}
	speed := section{what: "saved file to new bot", unit: "ms", digits: 1, ref: "entr", budget: nodemonBudget}
	counts := section{what: fmt.Sprintf("restarts, checkout of %d files", checkoutFiles), budget: fixed("exactly 1", 1)}
	if b.find("git") == "" {
		counts.note = "not measured, for want of git"
	} else {
		for n := range checkoutRounds {
			b.checkouts(all, n)
		}
	}
	for _, w := range all {
		w.end()
		speed.rows = append(speed.rows, w.row)
		if len(w.counts) > 0 {
			counts.rows = append(counts.rows, row{name: w.name, ours: w.ours, values: w.counts, extra: list(w.counts)})
		}
	}
	return []section{speed, counts}
}

func nodemonBudget(s section) (string, float64) {
	if v := s.of("nodemon"); !math.IsNaN(v) {
		return "≤ nodemon = " + s.number(v), v
	}
	return "≤ nodemon, " + s.number(nodemonSeen) + " elsewhere", nodemonSeen
}

func list(values []float64) string {
	return strings.Trim(fmt.Sprint(values), "[]")
}

// reopen asks ours for a restart: ten by file changes within a minute count as
// a loop, after which changes are passed over until somebody asks for one.
func (w *watched) reopen() error {
	w.bot.age(watchAge)
	if err := syscall.Kill(w.proc.pid, syscall.SIGUSR1); err != nil {
		return err
	}
	return w.bot.next(botPatience)
}

// save writes one file, and measures.
func (w *watched) save(n int) error {
	w.bot.age(watchAge)
	begin := now()
	if err := os.WriteFile(filepath.Join(w.dir, "app.py"), fmt.Appendf(nil, "round = %d\n", n), 0o600); err != nil {
		return err
	}
	if err := w.bot.next(botPatience); err != nil {
		return err
	}
	if w.bot.started < begin {
		return fmt.Errorf("a bot started before the file was saved")
	}
	w.values = append(w.values, time.Duration(w.bot.started-begin).Seconds()*1e3)
	return nil
}

// checkouts lets every tool see one checkout. Each has a folder of its own,
// and the next begins when the one before has acted.
func (b *bench) checkouts(all []*watched, n int) {
	branch := []string{"two", "one"}[n%2]
	counts := make([]float64, len(all))
	for i, w := range all {
		if w.err != nil {
			continue
		}
		w.bot.age(watchAge)
		if w.err = git(w.dir, "checkout", "-q", branch); w.err == nil && w.bot.next(checkoutQuiet) == nil {
			counts[i]++
		}
	}
	// Whatever comes late comes for all during the same wait.
	time.Sleep(checkoutQuiet)
	for i, w := range all {
		for w.err == nil && w.bot.next(time.Millisecond) == nil {
			counts[i]++
		}
		if w.err == nil {
			w.counts = append(w.counts, counts[i])
		}
	}
}

func git(dir string, args ...string) error {
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=b", "-c", "user.email=b@localhost", "-c", "gc.auto=0"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}

// project makes a folder with app.py, and with 1,000 files that differ between
// two branches.
func (b *bench) project() (string, error) {
	dir := b.folder("project")
	if err := writeFiles(dir, 1); err != nil {
		return "", err
	}
	if b.find("git") != "" {
		steps := [][]string{{"init", "-q", "-b", "one"}, {"add", "."}, {"commit", "-q", "-m", "one"}, {"checkout", "-q", "-b", "two"}}
		for _, s := range steps {
			if err := git(dir, s...); err != nil {
				return "", err
			}
		}
		if err := writeFiles(dir, 2); err != nil {
			return "", err
		}
		for _, s := range [][]string{{"commit", "-q", "-a", "-m", "two"}, {"checkout", "-q", "one"}} {
			if err := git(dir, s...); err != nil {
				return "", err
			}
		}
	}
	// Not in git, so that saving it does not stand in the way of a checkout.
	return dir, os.WriteFile(filepath.Join(dir, "app.py"), []byte("round = 0\n"), 0o600)
}

func writeFiles(dir string, branch int) error {
	for n := range checkoutFiles {
		sub := filepath.Join(dir, fmt.Sprintf("package%02d", n%20))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return err
		}
		text := fmt.Appendf(nil, "module, branch = %d, %d\n", n, branch)
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("module%04d.py", n)), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// watchers starts every tool on a folder of its own.
func (b *bench) watchers() (all []*watched) {
	tools := []struct {
		name    string
		command func(path, dir string, t *bot) (spec, error)
	}{{"entr", entr}, {"reflex", reflex}, {"air", air}, {"nodemon", nodemon}}
	add := func(name string, ours bool, command func(dir string, t *bot) (spec, error)) {
		dir, err := b.project()
		k := &kept{row: row{name: name, ours: ours, err: err}}
		if err == nil {
			k = b.keep(name, ours, func(t *bot) (spec, error) { return command(dir, t) })
		}
		all = append(all, &watched{kept: k, dir: dir})
	}
	add("ductor-supervise --watch", true, func(dir string, t *bot) (spec, error) {
		return b.ourKeeper("watch", "--watch", dir, "--ext", ".py")(t)
	})
	for _, tool := range tools {
		if path := b.find(tool.name); path != "" {
			add(tool.name, false, func(dir string, t *bot) (spec, error) { return tool.command(path, dir, t) })
		}
	}
	return all
}

// entr reads the files to watch from stdin, and knows no folders.
func entr(path, dir string, t *bot) (spec, error) {
	var files []byte
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".py" {
			files = append(append(files, path...), '\n')
		}
		return err
	})
	if err != nil {
		return spec{}, err
	}
	list := filepath.Join(filepath.Dir(t.file), "files")
	if err := os.WriteFile(list, files, 0o600); err != nil {
		return spec{}, err
	}
	stdin, err := os.Open(list) // for as long as entr runs
	return spec{argv: append([]string{path, "-n", "-r"}, t.argv...), stdin: stdin}, err
}

func reflex(path, dir string, t *bot) (spec, error) {
	return spec{argv: append([]string{path, "-d", "none", "-s", "-r", `\.py$`, "--"}, t.argv...), dir: dir}, nil
}

// air builds before it runs; here there is nothing to build. Its delay is its
// default.
func air(path, dir string, t *bot) (spec, error) {
	config := filepath.Join(filepath.Dir(t.file), "air.toml")
	text := fmt.Sprintf("root = %q\ntmp_dir = %q\n[build]\ncmd = \"true\"\nfull_bin = %q\nargs_bin = [%q, %q]\ninclude_ext = [\"py\"]\n",
		dir, filepath.Dir(t.file), t.argv[0], t.argv[1], t.argv[2])
	return spec{argv: []string{path, "-c", config}, dir: dir}, os.WriteFile(config, []byte(text), 0o600)
}

func nodemon(path, dir string, t *bot) (spec, error) {
	return spec{argv: []string{path, "--quiet", "--watch", dir, "--ext", "py", "--exec", strings.Join(t.argv, " ")}, dir: dir}, nil
}
