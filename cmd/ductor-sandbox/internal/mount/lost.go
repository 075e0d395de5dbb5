package mount

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Lost reads what /proc/self/mountinfo says in a running container, and on the
// host, and returns the targets that are not as planned:
//
// A read-only one is no longer mounted, or is writable. It happens when a program
// of the host replaces or removes a file that is protected: the kernel then takes
// the mount away, and the new file lies open.
//
// Another place of the host is mounted, or it is mounted at another one inside.
// Docker follows links when it mounts, and what runs in a container can make one
// after the plan has looked: .git, which leads to the owner's keys. Without the
// host's text ("") this is not looked for.
//
// Only a new start of the container, by a new plan, puts it right. A container's
// text without /ductor is not of ours, and says nothing: the PID was another
// machine's.
func (p Plan) Lost(mountinfo, host string) (lost []string) {
	inside, outside := map[string]mounted{}, readMountinfo(host)
	for _, m := range readMountinfo(mountinfo) {
		inside[m.target] = m // of several at one point the last is seen
	}
	if _, ours := inside[homeAlias]; !ours {
		return nil
	}
	for _, m := range p.Mounts {
		at, ok := inside[m.Target]
		gone := !ok && (m.ReadOnly || len(outside) > 0 && p.overItself(m))
		open := ok && m.ReadOnly && !at.readOnly
		if (gone || open) && p.parentMounted(m, inside) || ok && at.elsewhere(m, outside) {
			lost = append(lost, m.Target)
		}
	}
	return lost
}

// parentMounted is false below a target that is a symbolic link inside: what is
// mounted there has another name in the kernel's list.
func (p Plan) parentMounted(m Mount, inside map[string]mounted) bool {
	parent, ok := p.over(path.Dir(m.Target))
	_, there := inside[parent.Target]
	return !ok || there
}

// overItself: the target shows the source also without this mount, and so it was
// no symbolic link when the plan was made.
func (p Plan) overItself(m Mount) bool {
	parent, _ := p.over(path.Dir(m.Target)) // a tmpfs has no source, and so shows none
	rel, _ := below(m.Target, parent.Target)
	return filepath.Join(parent.Source, filepath.FromSlash(rel)) == m.Source
}

// mounted is a line of proc_pid_mountinfo(5).
type mounted struct {
	id, parent   string
	device, root string // the file system, and the folder or file of it
	target       string
	readOnly     bool
}

// elsewhere reports whether another place of the host is mounted than planned.
func (at mounted) elsewhere(m Mount, host []mounted) bool {
	under, ok := holding(host, m.Source)
	if m.Tmpfs || !ok {
		return false
	}
	rel, _ := below(m.Source, under.target)
	return at.device != under.device || at.root != path.Join(under.root, rel)
}

// holding returns the mount that a path lies on. It goes as the kernel does, from
// the root to the next mount on the way: the longest name would be wrong where
// something was mounted over a parent later.
func holding(all []mounted, p string) (at mounted, ok bool) {
	for range all {
		next := -1
		for i, m := range all {
			if m.parent == at.id && m.holds(p) && (next < 0 || len(m.target) <= len(all[next].target)) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		at, ok = all[next], true
	}
	return at, ok
}

func (at mounted) holds(p string) bool {
	return strings.HasPrefix(p+"/", strings.TrimSuffix(at.target, "/")+"/")
}

// readMountinfo takes only a space for one: a name may hold all others. What was
// removed since is still the same place.
func readMountinfo(text string) (all []mounted) {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	ids := map[string]bool{}
	for line := range strings.Lines(text) {
		f := strings.Split(line, " ")
		if len(f) < 6 {
			continue
		}
		all = append(all, mounted{id: f[0], parent: f[1], device: f[2], root: strings.TrimSuffix(unescape.Replace(f[3]), "//deleted"),
			target: unescape.Replace(f[4]), readOnly: slices.Contains(strings.Split(f[5], ","), "ro")})
		ids[f[0]] = true
	}
	for i, m := range all {
		if !ids[m.parent] || m.parent == m.id {
			all[i].parent = "" // a root
		}
	}
	return all
}
