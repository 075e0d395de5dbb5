package mount

import (
	"maps"
	"path"
	"slices"
	"strings"

	"ductor/internal/common/exitcode"
)

// files are the caller's own.
func (b *builder) files() error {
	for target, source := range map[string]string{"/etc/passwd": b.Passwd, "/etc/group": b.Group, HelperInside: b.Helper} {
		if source == "" {
			continue
		}
		p, err := b.need(source)
		if err != nil {
			return err
		}
		b.put(Mount{Source: p.path, Target: target, ReadOnly: true})
	}
	return nil
}

// extras have the same path inside as outside, and where links lead as well. Of
// two that name the same place read-only wins.
func (b *builder) extras() error {
	merged := map[string]Mount{}
	for _, e := range b.Extra {
		p, err := b.disk.locate(e.Path)
		if err != nil {
			return err
		}
		if err := b.refuse(e.Path, p); err != nil { // first: a missing docker.sock is refused, too
			return err
		}
		if err := b.refuseEscape(e.Path, e.Path, p); err != nil {
			return err
		}
		if !p.exists() {
			b.missing = append(b.missing, e.Path)
			continue
		}
		for _, target := range inside(e.Path, p.path) {
			m := Mount{Source: p.path, Target: target, ReadOnly: e.ReadOnly}
			m.ReadOnly = m.ReadOnly || merged[target].ReadOnly
			merged[target] = m
		}
	}
	for _, target := range slices.Sorted(maps.Keys(merged)) {
		if err := b.extra(merged[target]); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) extra(m Mount) error {
	if old, taken := b.targets[m.Target]; taken && old != m {
		return exitcode.Errorf(exitcode.Usage, "mount %q: the container has %q there already", m.Source, m.Target)
	}
	for _, own := range []string{homeAlias, path.Dir(HelperInside)} {
		if _, in := below(m.Target, own); in && b.Home != own {
			return exitcode.Errorf(exitcode.Usage, "mount %q: %q is ours inside", m.Source, own)
		}
	}
	b.put(m)
	p, err := b.disk.locate(m.Source)
	switch {
	case err != nil:
		return err
	case m.ReadOnly:
		b.guarded = append(b.guarded, guarded{path: m.Source}) // also where a writable folder holds it
	default:
		b.listed = append(b.listed, m.Source)
		b.guard(p, project, false)
	}
	return nil
}

// inside are the targets of a path of the host and of where its links lead.
func inside(paths ...string) []string {
	var all []string
	for _, p := range paths {
		if drive().MatchString(p) { // as Docker's own tools map drives
			p = "/" + strings.ToLower(p[:1]) + strings.ReplaceAll(p[2:], `\`, "/")
		}
		all = append(all, p)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
