// Package mount plans which folders of the host a container sees, and how.
//
// The rule behind the plan: an agent in the container may write its workspace
// and what was named, and nothing that the host acts upon. So the bot's home is
// read-only, its token is hidden, and what would later run on the host (hooks,
// settings, commands) lies read-only on top of a writable folder.
//
// Three things that look superfluous and are not, each seen on a real daemon:
// a folder that holds a read-only mount is mounted over itself, because it could
// else be renamed, mount included, and be made anew (`mv .git x`); run/ is
// hidden, because a socket can be connected to through a read-only mount; and a
// protection of a file ends silently when a program of the host replaces that
// file by rename, so Lost must be asked before a container is used again.
//
// What does not exist cannot be protected: Docker would create it on the host,
// owned by root. Plan.Unprotected lists it, and Fill makes what can be made.
package mount

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"ductor/internal/common/exitcode"
)

// Mount is one bind mount or, with Tmpfs, one empty file system. A caller mounts
// a read-only one not recursively (NonRecursive): before Linux 5.12 what is
// mounted below it would stay writable.
type Mount struct {
	Source   string // absolute, without symbolic links; "" with Tmpfs
	Target   string // absolute, with slashes
	ReadOnly bool
	Tmpfs    bool
	Mode     fs.FileMode // of the root of a tmpfs
}

// Extra is a folder or file of the host that the container sees at the same path.
type Extra struct {
	Path     string // absolute, cleaned
	ReadOnly bool
}

var drive = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z]:[\\/]`) })

// ParseExtra reads "/abs[:ro|:rw]"; a path may hold colons, and start with a
// drive. The default is read-write. Errors are USAGE.
func ParseExtra(s string) (Extra, error) {
	p, readOnly := strings.CutSuffix(s, ":ro")
	if !readOnly {
		p = strings.TrimSuffix(p, ":rw")
	}
	if err := checkPath("mount", p); err != nil {
		return Extra{}, err
	}
	switch {
	case strings.HasPrefix(p, "/"):
		p = path.Clean(p)
	case drive().MatchString(p):
		slashes := path.Clean(strings.ReplaceAll(p[2:], `\`, "/"))
		p = strings.ToUpper(p[:2]) + strings.ReplaceAll(slashes, "/", `\`)
	default:
		return Extra{}, exitcode.Errorf(exitcode.Usage, "mount %q: not an absolute path", s).
			WithHint("write /folder, /folder:ro or /folder:rw; it has the same path inside")
	}
	return Extra{Path: p, ReadOnly: readOnly}, nil
}

// String is what ParseExtra reads.
func (e Extra) String() string {
	if e.ReadOnly {
		return e.Path + ":ro"
	}
	return e.Path + ":rw"
}

// checkPath refuses what a daemon would not take literally: it reads JSON, in
// which bytes that are no UTF-8 become another name.
func checkPath(what, p string) error {
	switch {
	case p == "":
		return exitcode.Errorf(exitcode.Usage, "%s %q: empty path", what, p)
	case strings.ContainsAny(p, "\x00\n"):
		return exitcode.Errorf(exitcode.Usage, "%s %q: a path must not hold a NUL or a newline", what, p)
	case !utf8.ValidString(p):
		return exitcode.Errorf(exitcode.Usage, "%s %q: a path must be UTF-8", what, p)
	}
	return nil
}
