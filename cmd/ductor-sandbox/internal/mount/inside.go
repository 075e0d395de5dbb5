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

// Lost reads what /proc/self/mountinfo says in a running container, and returns
// the read-only targets that are no longer mounted, or are writable. It happens
// when a program of the host replaces or removes a file that is protected: the
// kernel then takes the mount away, and the new file lies open. Only a restart of
// the container brings it back.
func (p Plan) Lost(mountinfo string) (lost []string) {
	mounted := readMountinfo(mountinfo)
	for _, m := range p.Mounts {
		readOnly, ok := mounted[m.Target]
		if m.ReadOnly && (!ok || !readOnly) && p.parentMounted(m, mounted) {
			lost = append(lost, m.Target)
		}
	}
	return lost
}

// parentMounted is false below a target that is a symbolic link inside: what is
// mounted there has another name in the kernel's list.
func (p Plan) parentMounted(m Mount, mounted map[string]bool) bool {
	parent, ok := p.over(path.Dir(m.Target))
	_, there := mounted[parent.Target]
	return !ok || there
}

// readMountinfo returns what is mounted, and whether it is read-only, by field 5
// and 6 of proc_pid_mountinfo(5). Of several at one point the last is seen.
func readMountinfo(text string) map[string]bool {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	mounted := map[string]bool{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 5 {
			mounted[unescape.Replace(f[4])] = slices.Contains(strings.Split(f[5], ","), "ro")
		}
	}
	return mounted
}
