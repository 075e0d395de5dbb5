//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The large tree: 100, 900 and 9,000 folders below each other, ten files in
// each.
const (
	treeTop, treeMiddle, treeBottom = 100, 9, 10
	treeFolders                     = treeTop * (1 + treeMiddle*(1+treeBottom))
	treeFiles                       = 10 // in a folder
)

const (
	scaleRounds = 3
	scaleSaves  = 2 // a round
	// scalePatience is for one step of one tool, scaleLimit for all: what is
	// not done by then is left out.
	scalePatience = 20 * time.Second
	scaleLimit    = 150 * time.Second
	// restful is for how long a tool that does not say when it watches must have
	// done nothing.
	restful = time.Second
)

// scaled is a tool that watches the large tree, or was to.
type scaled struct {
	row               // the first bot
	saved   []float64 // ms
	ready   []float64 // seconds
	weight  memory    // of the last round
	command func(*bot) (spec, error)
	events  string // where it says that it watches; "" if it does not
}

// scale is what a large tree costs. The tools have their turns one after the
// other, because each would notice what the next one does.
func (b *bench) scale() []section {
	what := fmt.Sprintf("%d files in %d folders: ", treeFolders*treeFiles, treeFolders)
	dir, deep, err := b.largeTree()
	defer os.RemoveAll(dir)
	all := b.scalers(dir)
	end := time.Now().Add(scaleLimit)
	for range scaleRounds {
		for _, t := range all {
			switch {
			case t.err != nil:
			case err != nil:
				t.err = err
			case time.Now().Before(end):
				t.err = b.scaleRound(t, deep, end)
			case len(t.values) == 0:
				t.err = errors.New("left out, because the others took all the time")
			}
		}
	}
	first := section{what: what + "first bot", unit: "ms", digits: 1, ref: "entr", note: "in place of the 90th percentile, when the tool watched or had come to rest"}
	weight := section{what: what + "memory (RSS)", unit: "MB", digits: 2, ref: "entr"}
	saved := section{what: what + "saved file to new bot", unit: "ms", digits: 1, ref: "entr"}
	for _, t := range all {
		if len(t.ready) > 0 {
			t.extra = fmt.Sprintf("watches after %.1f s", percentile(t.ready, 50))
			weight.rows = append(weight.rows, row{name: t.name, ours: t.ours, values: []float64{t.weight.rss}, extra: t.weight.shares()})
		}
		first.rows = append(first.rows, t.row)
		saved.rows = append(saved.rows, row{name: t.name, ours: t.ours, values: t.saved})
	}
	return []section{first, weight, saved}
}

// scaleRound starts a tool, looks at it, and saves a file.
func (b *bench) scaleRound(t *scaled, deep string, end time.Time) error {
	said, _ := b.log.Seek(0, io.SeekEnd)
	k := &kept{}
	defer k.end()
	err := b.startOnTree(t, k, end)
	if err == nil {
		t.weight, err = weigh(k.proc.pid)
	}
	w := &watched{kept: k, dir: filepath.Dir(deep)}
	for n := 0; n < scaleSaves && err == nil; n++ {
		err = w.save(n)
	}
	t.saved = append(t.saved, w.values...)
	if words := b.lastWords(said); err != nil && words != "" {
		err = fmt.Errorf("%w; it said %q", err, words)
	}
	return err
}

// startOnTree waits for the first bot, and until the tool watches.
func (b *bench) startOnTree(t *scaled, k *kept, end time.Time) (err error) {
	var s spec
	if k.bot, err = b.newBot(); err != nil {
		return err
	}
	if s, err = t.command(k.bot); err != nil {
		return err
	}
	begin := now()
	if k.proc, err = b.launch(s); err != nil {
		return err
	}
	if err = k.bot.next(patience(end)); err != nil {
		return err
	}
	at, err := t.watches(k.proc.pid, end)
	if err == nil {
		t.values = append(t.values, time.Duration(k.bot.started-begin).Seconds()*1e3)
		t.ready = append(t.ready, time.Duration(at-begin).Seconds())
	}
	return err
}

func patience(end time.Time) time.Duration {
	return min(scalePatience, max(time.Until(end), time.Millisecond))
}

// watches returns when a tool watched: when it said so, or when it began to
// use no more processor time.
func (t *scaled) watches(pid int, end time.Time) (at int64, err error) {
	before, since := -1, now()
	for limit := time.Now().Add(patience(end)); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		if t.events != "" {
			if text, _ := os.ReadFile(t.events); bytes.Contains(text, []byte(`"type":"watching"`)) {
				return now(), os.Remove(t.events) // so that the next round does not read it
			}
			continue
		}
		used, err := busy(pid)
		if err != nil {
			return 0, err
		}
		if used != before {
			before, since = used, now()
		}
		if time.Duration(now()-since) >= restful {
			return since, nil
		}
	}
	return 0, fmt.Errorf("does not watch, or does not come to rest, within %s", scalePatience)
}

// busy is the processor time of a process, in ticks.
func busy(pid int) (ticks int, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	var user, system int
	_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	return user + system, err
}

// lastWords is the last line that programs said after a place in the log.
func (b *bench) lastWords(after int64) string {
	text, _ := os.ReadFile(b.log.Name())
	lines := strings.Split(strings.TrimSpace(string(text[min(after, int64(len(text))):])), "\n")
	return lines[len(lines)-1]
}

// largeTree makes the tree, and returns the file in it that is saved.
func (b *bench) largeTree() (dir, deep string, err error) {
	dir = b.folder("scale")
	fill := func(path ...string) error {
		folder := filepath.Join(append([]string{dir}, path...)...)
		if err := os.Mkdir(folder, 0o700); err != nil {
			return err
		}
		for n := range treeFiles {
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("module%d.py", n)), []byte("x = 1\n"), 0o600); err != nil {
				return err
			}
		}
		deep = filepath.Join(folder, "app.py")
		return nil
	}
	for i := range treeTop {
		top := fmt.Sprintf("top%02d", i)
		if err := fill(top); err != nil {
			return dir, "", err
		}
		for j := range treeMiddle {
			middle := fmt.Sprintf("middle%d", j)
			if err := fill(top, middle); err != nil {
				return dir, "", err
			}
			for k := range treeBottom {
				if err := fill(top, middle, fmt.Sprintf("bottom%d", k)); err != nil {
					return dir, "", err
				}
			}
		}
	}
	return dir, deep, os.WriteFile(deep, []byte("round = 0\n"), 0o600)
}

// scalers are the tools and how each is started on the tree.
func (b *bench) scalers(dir string) (all []*scaled) {
	for _, mode := range []struct {
		name, bot string
		flags     []string
	}{
		{"ductor-supervise --watch", "scale", nil},
		{"ductor-supervise --watch-mode poll", "scale-poll", []string{"--watch-mode", "poll"}},
	} {
		flags := append([]string{"--watch", dir, "--ext", ".py"}, mode.flags...)
		all = append(all, &scaled{row: row{name: mode.name, ours: true}, command: b.ourKeeper(mode.bot, flags...),
			events: filepath.Join(b.home(), "run", mode.bot, "events.jsonl")})
	}
	for _, tool := range []struct {
		name    string
		command func(path, dir string, t *bot) (spec, error)
	}{{"entr", entr}, {"reflex", reflex}, {"air", air}} {
		if path := b.find(tool.name); path != "" {
			all = append(all, &scaled{row: row{name: tool.name}, command: func(t *bot) (spec, error) { return tool.command(path, dir, t) }})
		}
	}
	return all
}
