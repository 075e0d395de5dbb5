package mount

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"ductor/internal/common/exitcode"
)

// TestNoPlanLetsTheBotBeDriven builds homes and questions at random, links of a
// hostile agent included, and looks at what every plan lets be written and read.
func TestNoPlanLetsTheBotBeDriven(t *testing.T) {
	planned := 0
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 6))
		w := newWorld(t)
		scatter(w, r)
		ask(w, r)
		p, err := w.Plan()
		if err != nil {
			var e *exitcode.Error
			if !errors.As(err, &e) || e.Code != exitcode.NoPerm && e.Code != exitcode.Unavailable && e.Code != exitcode.Usage {
				t.Errorf("seed %d: %v", seed, err)
			}
			continue
		}
		planned++
		check(t, p)
		judge(t, w, p, seed)
	}
	if planned < 10 {
		t.Errorf("only %d plans were made: the test proves little", planned)
	}
}

var (
	names = []string{
		".ductor/workspace/a", ".ductor/workspace/.git/hooks", ".ductor/workspace/.git", ".ductor/workspace/.claude/hooks", ".ductor/workspace/.mcp.json", ".ductor/workspace/.codex",
		".ductor/data", ".ductor/data/in", ".ductor/logs", "src", "src/.git/hooks", ".claude/hooks", ".claude/settings.json", ".codex/rules", "link",
	}
	goals = []string{
		".", "..", ".ssh", ".ductor", ".ductor/config", ".ductor/run", ".ductor/cron_jobs.json", ".ductor/sandbox", ".ductor/workspace", ".ductor/data", "src", ".claude", "none", "/etc",
	}
	control = []string{".ductor/cron_jobs.json", ".ductor/restart-sentinel.json", ".ductor/bot.pid", ".ductor/run/ductor/bot.pid", ".ductor/config/config.json", ".ductor/sandbox/runs", ".ssh/id"}
)

// scatter makes folders, files and links, where an agent could and elsewhere.
func scatter(w *world, r *rand.Rand) {
	w.file(".ssh/id", ".ductor/bot.pid")
	for _, name := range names {
		if _, err := os.Lstat(w.at(name)); err == nil || os.MkdirAll(filepath.Dir(w.at(name)), 0o700) != nil {
			continue // under a file, or a link that leads nowhere
		}
		switch r.IntN(8) {
		case 0:
			os.Symlink(w.at(goals[r.IntN(len(goals))]), w.at(name))
		case 1:
			os.WriteFile(w.at(name), nil, 0o600)
		case 2, 3, 4, 5:
			os.Mkdir(w.at(name), 0o700)
		}
	}
}

func ask(w *world, r *rand.Rand) {
	for range r.IntN(3) {
		w.Writable = append(w.Writable, w.at(names[r.IntN(9)]))
	}
	for range r.IntN(3) {
		w.Extra = append(w.Extra, Extra{Path: w.at(names[r.IntN(len(names))]), ReadOnly: r.IntN(2) == 0})
	}
	if r.IntN(10) == 0 {
		w.Extra = append(w.Extra, Extra{Path: w.at(goals[r.IntN(len(goals))]), ReadOnly: r.IntN(2) == 0})
	}
	w.GOOS = []string{"linux", "darwin", "windows"}[r.IntN(3)]
}

func judge(t *testing.T, w *world, p Plan, seed uint64) {
	t.Helper()
	for _, f := range control {
		if at := writable(p, w.at(f)); at != "" && !named(w, f) {
			t.Errorf("seed %d: %s can be written at %q\n%+v\n%+v", seed, f, at, w.Query, p.Mounts)
		}
	}
	for _, f := range []string{".ductor/config/config.json", ".ductor/run/ductor/bot.pid", ".ssh/id"} {
		if at := visible(p, w.at(f)); at != "" {
			t.Errorf("seed %d: %s can be read at %q\n%+v\n%+v", seed, f, at, w.Query, p.Mounts)
		}
	}
	for _, m := range p.Mounts {
		if at := movable(p, m.Source); m.ReadOnly && !m.Tmpfs && at != "" {
			t.Errorf("seed %d: %q can be renamed, with %s in it\n%+v\n%+v", seed, at, m.Source, w.Query, p.Mounts)
		}
	}
	if writable(p, w.at(".ductor/workspace")) == "" {
		t.Errorf("seed %d: no workspace", seed)
	}
}

// named: somebody said that this very file may be written.
func named(w *world, f string) bool {
	for _, e := range w.Extra {
		if real, err := filepath.EvalSymlinks(e.Path); err == nil && real == w.at(f) {
			return true
		}
	}
	for _, path := range w.Writable {
		if real, err := filepath.EvalSymlinks(path); err == nil && real == w.at(f) {
			return true
		}
	}
	return false
}
