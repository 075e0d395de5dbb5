package watch

import (
	"fmt"
	"os"
)

// Plan is what would be watched.
type Plan struct {
	Roots []RootPlan
}

// RootPlan is one of the folders that were named.
type RootPlan struct {
	Name    string // absolute
	Real    string // where it leads
	Mode    string // Native or Poll
	Why     string // not the other one
	Folders int
	Files   int // that count
	Biggest []Subtree
}

// Survey looks at dirs as a first scan does, and watches nothing. Whether a
// limit will be met it only guesses: it knows the limit, not what others of the
// user's programs have of it.
func Survey(dirs []string, filter Filter, mode Mode) (Plan, error) {
	var plan Plan
	total := 0
	for _, dir := range dirs {
		r, err := findRoot(dir)
		if err != nil {
			return plan, err
		}
		p := survey(r, filter)
		p.Mode, p.Why = plannedMode(r, mode)
		if p.Mode == Native {
			total += p.Folders
		}
		plan.Roots = append(plan.Roots, p)
	}
	if limit, name := watchLimit(); limit > 0 && total > limit {
		plan.overLimit(mode, fmt.Sprintf("%d folders are more than %s allows (%d)", total, name, limit))
	}
	return plan, nil
}

func survey(r *root, filter Filter) RootPlan {
	p := RootPlan{Name: r.name, Real: r.real}
	var folders []string
	scan(newSieve(filter), r.real, r.real, visitor{
		enter: func(dir string) bool { folders = append(folders, dir); return true },
		list:  func(_ string, files []os.DirEntry) { p.Files += len(files) },
	})
	p.Folders, p.Biggest = len(folders), biggest(r.real, folders)
	return p
}

func plannedMode(r *root, mode Mode) (kind, why string) {
	switch fs := remote(r.real); {
	case mode.Kind == Native || mode.Kind == Poll:
		return mode.Kind, "asked for"
	case fs != "":
		return Poll, "on " + fs + ", where others can write unseen"
	}
	return Native, "on a local file system"
}

// overLimit changes the plan to what will be done then: looking, or failing.
func (p *Plan) overLimit(mode Mode, why string) {
	for i := range p.Roots {
		if r := &p.Roots[i]; r.Mode == Native {
			if r.Why = why; mode.Kind != Native {
				r.Mode = Poll
			}
		}
	}
}
