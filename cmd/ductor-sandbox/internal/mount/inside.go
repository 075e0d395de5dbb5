package mount

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Inside returns the path in the container of a folder of the host: the same one
// if it is mounted there, else another that shows the same folder (first of all
// below /ductor). ok is false when nothing does. Symbolic links are followed as
// on the host.
func (p Plan) Inside(hostDir string) (dir string, ok bool) {
	if !filepath.IsAbs(hostDir) {
		return "", false
	}
	real, err := newDisk().resolve(filepath.Clean(hostDir))
	if err != nil {
		return "", false
	}
	var all []string
	for _, m := range p.Mounts {
		rel, in := below(real, m.Source)
		if at := path.Join(m.Target, rel); !m.Tmpfs && in && p.Outside(at) == real {
			all = append(all, at)
		}
	}
	for _, wanted := range []string{real, filepath.Clean(hostDir)} {
		if slices.Contains(all, wanted) {
			return wanted, true
		}
	}
	if i := slices.IndexFunc(all, func(s string) bool { return strings.HasPrefix(s+"/", homeAlias+"/") }); i >= 0 {
		return all[i], true
	}
	if len(all) == 0 {
		return "", false
	}
	return all[0], true
}

// Outside returns the path of the host that a path in the container shows, or ""
// for what is the container's own.
func (p Plan) Outside(inside string) string {
	m, ok := p.over(inside)
	if !ok || m.Tmpfs {
		return ""
	}
	rel, _ := below(inside, m.Target)
	return filepath.Join(m.Source, filepath.FromSlash(rel))
}

// over returns the mount that a path in the container lies on: the last one,
// since parents come first.
func (p Plan) over(inside string) (over Mount, ok bool) {
	for _, m := range p.Mounts {
		if _, in := below(inside, m.Target); in {
			over, ok = m, true
		}
	}
	return over, ok
}
