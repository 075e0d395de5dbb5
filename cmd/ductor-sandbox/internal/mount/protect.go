package mount

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// What the host runs or obeys when it finds it: in a project, in Claude Code's
// folder, in Codex'. Memory and instructions (CLAUDE.md) are text that an agent
// is meant to write. .git/config names programs (core.fsmonitor, hooksPath), and
// so it is as good as a hook; whoever wants `git push -u` names it as writable.
// .git/commondir leads to another config.
var (
	project = append(under(".claude/", claude),
		rule{".git/hooks", asIs}, rule{".git/config", asIs}, rule{".git/commondir", asIs}, rule{".mcp.json", `{"mcpServers":{}}` + "\n"}, rule{".codex", folder}, rule{".agents", folder})
	claude = []rule{{"settings.json", "{}\n"}, {"settings.local.json", "{}\n"},
		{"hooks", folder}, {"commands", folder}, {"agents", folder}, {"plugins", folder}, {"skills", folder}}
	// The program itself, and what /statusline writes: nothing runs them unless
	// they were there.
	claudeRuns = append(under("", claude), rule{"local", inert}, rule{"statusline.sh", inert}, rule{"statusline-command.sh", inert})
	codexRuns  = []rule{{"config.toml", ""}, {"hooks.json", asIs}, {".env", asIs},
		{"hooks", folder}, {"rules", folder}, {"skills", folder}, {"plugins", folder}, {"agents", folder}, {"prompts", folder}}
)

// rule is a name that the host runs or obeys, and what Fill makes of it where it
// is not there: a file with this content that says nothing, or
type rule struct{ name, empty string }

const (
	folder = "folder/"
	asIs   = "as it is/" // nobody knows what would say nothing
	inert  = "inert/"    // and what does nothing by itself need not be there
)

func under(dir string, rules []rule) (all []rule) {
	for _, r := range rules {
		all = append(all, rule{dir + r.name, r.empty})
	}
	return all
}

// guarded is a path of the host that is read-only wherever a writable folder
// shows it, unless somebody named it, or what holds it below root, as writable.
type guarded struct{ root, path string }

// guard looks for what must not be written in a folder. What is a symbolic link
// is left alone: a mount on it would lie where it leads, in the container, and
// the link itself could be replaced.
//
// What is not there is to be filled in if the folder is the owner's own to do so.
func (b *builder) guard(root place, rules []rule, fill bool) {
	if !root.isDir() {
		return
	}
	for _, r := range rules {
		g := guarded{root: root.path, path: root.path}
		if b.descend(&g, r) && !b.isGuarded(g.path) {
			b.guarded = append(b.guarded, g)
		} else if fill && b.fills(r, g.path) {
			b.plan.Absent = append(b.plan.Absent, Absent{root.path, r.name, r.empty})
		}
	}
}

// fills: below a link, and where something else is, nothing is made.
func (b *builder) fills(r rule, stopped string) bool {
	_, err := os.Lstat(stopped)
	return r.empty != asIs && r.empty != inert && errors.Is(err, fs.ErrNotExist)
}

func (b *builder) descend(g *guarded, r rule) bool {
	for _, part := range strings.Split(r.name, "/") {
		g.path = filepath.Join(g.path, part)
		info, err := os.Lstat(g.path)
		switch {
		case err != nil:
			if r.empty != inert {
				b.unprotected(g.path)
			}
			return false
		case info.Mode()&fs.ModeSymlink != 0:
			b.unprotected(g.path)
			b.warn("%q is a symbolic link: it cannot be protected from what runs in the container", g.path)
			return false
		case info.Mode().IsRegular():
			return true // at a place of a folder, too: a file .git names the real one
		case !info.IsDir():
			return false
		}
	}
	return true
}

func (b *builder) isGuarded(p string) bool {
	return slices.ContainsFunc(b.guarded, func(g guarded) bool { return g.path == p })
}

func (b *builder) unprotected(p string) {
	if !slices.Contains(b.plan.Unprotected, p) {
		b.plan.Unprotected = append(b.plan.Unprotected, p)
	}
}

// allowed reports whether somebody named the path, or a folder between it and
// its root, as writable.
func (b *builder) allowed(g guarded) bool {
	return slices.ContainsFunc(b.listed, func(l string) bool {
		inRoot, ok := below(l, g.root)
		_, holds := below(g.path, l)
		return ok && inRoot != "." && holds
	})
}

// cover lays on each mount what must not be seen or written through it, whatever
// name it has: the workspace has two or three, and an extra folder may hold all.
func (b *builder) cover() {
	b.plan.Absent = slices.DeleteFunc(b.plan.Absent, func(a Absent) bool {
		return b.allowed(guarded{root: a.Root, path: filepath.Join(a.Root, a.name)})
	})
	var on []Mount
	for _, m := range b.targets {
		on = append(on, m)
	}
	slices.SortFunc(on, parentsFirst)
	for _, m := range on {
		b.hide(m)
	}
	on = slices.DeleteFunc(on, func(m Mount) bool { return m.ReadOnly })
	all := append([]guarded{{path: b.home.path}}, slices.DeleteFunc(b.guarded, b.allowed)...)
	for _, lay := range []func(Mount, guarded){b.protect, b.pin} { // first what is read-only: it may be a folder around another
		for _, g := range all {
			for _, m := range on {
				lay(m, g)
			}
		}
	}
}

func (b *builder) hide(m Mount) {
	for _, name := range hidden {
		p, err := b.disk.locate(filepath.Join(b.home.path, name))
		if rel, ok := below(p.path, m.Source); err == nil && ok && rel != "." && p.isDir() {
			b.put(Mount{Target: path.Join(m.Target, rel), Tmpfs: true, ReadOnly: true, Mode: 0o555})
		}
	}
}

func (b *builder) protect(m Mount, g guarded) {
	if rel, ok := below(g.path, m.Source); ok && rel != "." {
		b.put(Mount{Source: g.path, Target: path.Join(m.Target, rel), ReadOnly: true})
	}
}

// pin mounts the folders between a writable one and what is read-only in it over
// themselves: a mount point cannot be renamed, but the folder around it can, with
// it, and be made anew. In a read-only folder nothing can be renamed, and a pin
// would make a part of it writable.
func (b *builder) pin(m Mount, g guarded) {
	for dir := filepath.Dir(g.path); ; dir = filepath.Dir(dir) {
		rel, ok := below(dir, m.Source)
		if !ok || rel == "." {
			return
		}
		if at := path.Join(m.Target, rel); !b.readOnlyAt(at) {
			b.put(Mount{Source: dir, Target: at})
		}
	}
}

func (b *builder) readOnlyAt(target string) bool {
	for ; target != "/"; target = path.Dir(target) {
		if m, ok := b.targets[target]; ok {
			return m.ReadOnly
		}
	}
	return false
}
