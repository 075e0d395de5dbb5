package mount

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"ductor/internal/common/exitcode"
)

// sealed folders are refused with all that is in them, and with all that holds
// them. Absolute ones are the system's, the others lie in the user's home.
var sealed = []string{
	"/etc", "/proc", "/sys", "/dev", "/boot", "/run", "/var/run", "/var/lib/docker", "/var/lib/containerd",
	".ssh", ".aws", ".gnupg", ".kube", ".docker",
	".colima/default/docker.sock", ".rd/docker.sock", ".orbstack/run", // engines of macOS
}

// whole folders are refused, and what holds them, but not what is in them. They
// are the image's: the host's would hide its programs.
var whole = []string{"/usr", "/usr/bin", "/usr/lib", "/usr/sbin", "/bin", "/sbin", "/lib", "/lib64"}

// removable disks are mounted below /run by some systems.
const removable = "/run/media"

var (
	keyFolders = []string{".ssh", ".aws", ".gnupg"}
	engine     = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)(docker|podman|containerd|crio|buildkit).*\.sock$`)
	})
	sockets = []string{"docker.sock", "docker.raw.sock", "podman.sock", "podman/podman.sock", "containerd.sock", "containerd/containerd.sock"}
)

// refuse returns an error if the place gives the host away. With Dangerous it is
// a warning, but for the root: a container has one of its own.
func (b *builder) refuse(given string, p place) error {
	if filepath.Dir(p.path) == p.path {
		return exitcode.Errorf(exitcode.NoPerm, "mount %q: it is the root of a file system", given).WithID("mount_refused")
	}
	why := b.danger(p)
	switch {
	case why == "":
		return nil
	case b.Dangerous:
		b.warn("%q is mounted although %s: what runs in the container can act on the host", given, why)
		return nil
	}
	return exitcode.Errorf(exitcode.NoPerm, "mount %q: %s", given, why).WithID("mount_refused").
		WithHint("--dangerous mounts it all the same")
}

// danger says why a place must not be mounted, or "".
func (b *builder) danger(p place) string {
	if why := b.socketIn(p); why != "" {
		return why
	}
	if parts := strings.Split(filepath.ToSlash(p.path), "/"); slices.ContainsFunc(keyFolders, func(k string) bool { return slices.Contains(parts, k) }) {
		return "it is in a folder of keys"
	}
	for _, f := range b.forbidden {
		if _, disk := below(p.path, removable); f.inside && p.within(f.place) && !disk {
			return fmt.Sprintf("it is in %q", f.name)
		}
		if f.within(p) {
			return fmt.Sprintf("it holds %q", f.name)
		}
	}
	return ""
}

// forbidden is a place that must not be mounted, nor what holds it, nor (with
// inside) what is in it.
type forbidden struct {
	place
	name   string
	inside bool
}

// forbid collects the places, resolved once.
func (b *builder) forbid() {
	add := func(inside bool, names ...string) {
		for _, name := range names {
			// What cannot be resolved cannot be mounted by name either.
			if name == "" {
				continue
			}
			if p, err := b.disk.locate(name); err == nil {
				b.forbidden = append(b.forbidden, forbidden{p, name, inside})
			}
		}
	}
	for _, s := range sealed {
		switch {
		case strings.HasPrefix(s, "/"):
			add(true, s)
		case b.UserHome != "":
			add(true, filepath.Join(b.UserHome, s))
		}
	}
	for _, name := range hidden {
		add(true, filepath.Join(b.Home, name))
	}
	add(true, b.Sockets...)
	add(false, b.UserHome, b.Home)
	add(false, whole...)
}

func (b *builder) socketIn(p place) string {
	switch {
	case engine().MatchString(p.path):
		return "it is the socket of a container engine"
	case !p.exists():
		return ""
	case p.infos[0].Mode()&fs.ModeSocket != 0:
		return "it is a socket of the host"
	}
	for _, name := range sockets {
		if s, err := b.disk.locate(filepath.Join(p.path, name)); err == nil && s.exists() {
			return fmt.Sprintf("it holds %q", s.path)
		}
	}
	return ""
}
