package path

import (
	"path/filepath"
	"slices"
	"strings"

	"ductor/cmd/ductor-service/internal/definition"
)

// temporary are the folders that anybody may write to, or that end with the
// session. What lies there is gone after a boot, and then it is whoever comes
// first that decides what the bot runs. On macOS /tmp and /var are links.
var temporary = []string{"/tmp", "/var/tmp", "/dev/shm", "/run/user", "/var/folders", "/private/tmp", "/private/var/tmp", "/private/var/folders"}

// usable reports whether a folder can be in PATH, and is worth it after the
// next boot.
func (r Recipe) usable(dir string) bool {
	return filepath.IsAbs(dir) && !strings.Contains(dir, r.separator()) && definition.Carries(dir) == nil && !r.ephemeral(dir) && isDir(dir)
}

// ephemeral reports whether a folder ends with a session, or is of a temporary
// place. A home that is in such a place is there for good.
func (r Recipe) ephemeral(dir string) bool {
	home := filepath.Clean(r.Home)
	for _, temp := range temporary {
		if below(dir, temp) && !(below(home, temp) && below(dir, home)) {
			return true
		}
	}
	return has(dir, "fnm_multishells") || has(dir, ".codex", "tmp")
}

// passing reports whether a folder is there for what the caller works on at the
// moment: a virtual environment, a project's own tools. A bot may live in one,
// so this is no question for our own folders.
func (r Recipe) passing(dir string) bool {
	return dir == filepath.Join(r.Getenv("VIRTUAL_ENV"), "bin") || has(dir, "node_modules", ".bin")
}

// below reports whether dir is a folder, or in it.
func below(dir, folder string) bool {
	rest, found := strings.CutPrefix(dir, strings.TrimSuffix(folder, string(filepath.Separator)))
	return found && (rest == "" || rest[0] == filepath.Separator)
}

// has reports whether these names follow each other in a path.
func has(dir string, names ...string) bool {
	words := strings.Split(filepath.ToSlash(dir), "/")
	for i := range words {
		if len(words)-i >= len(names) && slices.Equal(words[i:i+len(names)], names) {
			return true
		}
	}
	return false
}
