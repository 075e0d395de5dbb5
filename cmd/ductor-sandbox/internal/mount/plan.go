package mount

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"ductor/internal/common/exitcode"
)

// Query is what the plan depends on. Paths are the host's and absolute.
type Query struct {
	Home          string   // $DUCTOR_HOME
	UserHome      string   // the owner's home folder, "" if unknown
	Claude, Codex string   // CLAUDE_CONFIG_DIR, CODEX_HOME; "" is .claude and .codex in UserHome
	Writable      []string // what the container may write below Home, absolute or relative to it
	Extra         []Extra
	Dangerous     bool // --dangerous: mount what is refused otherwise, with a warning
	UID, GID      int  // whom the container runs as
	GOOS          string
	Passwd, Group string   // files with what Passwd returns, or ""
	Helper        string   // our own program, to be mounted at HelperInside, or ""
	Sockets       []string // where the daemon listens, refused like docker.sock
}

// Plan is what to mount, and what follows from it.
type Plan struct {
	Mounts  []Mount  // parents before children; each target once
	Env     []string // NAME=VALUE for every command in the container
	WorkDir string   // the workspace, where sessions made on the host find themselves
	// Auth says for "claude" and "codex" where the login is: "dir" (a file in the
	// mounted folder), "keychain" (of macOS, out of reach), "none".
	Auth        map[string]string
	Warnings    []string
	Unprotected []string // host paths that the container may create or replace, and that the host would run
	Absent      []Absent // of these, what Fill can make
}

// Targets inside.
const (
	HelperInside = "/.ductor/ductor-sandbox"
	homeAlias    = "/ductor"
	workspace    = "workspace"
	own          = "sandbox/home" // the container's own home, as a folder of Home
)

// hidden folders of a home are empty inside: config/ holds the bot's token, run/
// sockets and pipes that a read-only mount would not close, sandbox/ our records.
var hidden = []string{"config", "run", "sandbox"}

// Make creates the folders below Home that Plan needs, 0700 each, and the mount
// points in the container's own home: Docker would create them owned by root. It
// does not follow links that lead out of Home.
func (q Query) Make() error {
	if err := os.MkdirAll(q.Home, 0o700); err != nil {
		return exitcode.File(exitcode.CantCreat, fmt.Errorf("create the home folder: %w", err))
	}
	root, err := os.OpenRoot(q.Home)
	if err != nil {
		return exitcode.File(exitcode.CantCreat, fmt.Errorf("open the home folder: %w", err))
	}
	defer root.Close()
	for _, dir := range []string{"config", "run", workspace, own} {
		if info, err := os.Stat(filepath.Join(q.Home, dir)); err == nil && info.IsDir() {
			continue
		}
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return exitcode.File(exitcode.CantCreat, fmt.Errorf("create a folder of %q: %w", q.Home, err))
		}
	}
	return q.makePoints()
}

// builder gathers mounts by target.
type builder struct {
	Query
	disk      *disk
	plan      Plan
	home      place
	work      place
	targets   map[string]Mount
	guarded   []guarded
	forbidden []forbidden
	listed    []string // what is writable because somebody said so
	missing   []string
}

// Plan looks at the files and decides. It changes nothing. Errors: a path that
// is malformed (USAGE), missing (UNAVAILABLE, mount_missing) or dangerous
// (NOPERM, mount_refused).
func (q Query) Plan() (Plan, error) {
	if q.GOOS == "" {
		q.GOOS = runtime.GOOS
	}
	b := &builder{Query: q, disk: newDisk(), targets: map[string]Mount{}}
	b.plan.Auth = map[string]string{}
	for _, step := range []func() error{b.check, b.base, b.writable, b.logins, b.files, b.extras, b.complete} {
		if err := step(); err != nil {
			return Plan{}, err
		}
	}
	b.cover()
	b.plan.Env = []string{"HOME=" + homeInside, "CLAUDE_CONFIG_DIR=" + homeInside + "/.claude", "CODEX_HOME=" + homeInside + "/.codex"}
	b.plan.Mounts = slices.SortedFunc(maps.Values(b.targets), parentsFirst)
	return b.plan, nil
}

// parentsFirst is by depth, as the daemon sorts.
func parentsFirst(a, b Mount) int {
	if d := strings.Count(a.Target, "/") - strings.Count(b.Target, "/"); d != 0 {
		return d
	}
	return strings.Compare(a.Target, b.Target)
}

func (b *builder) warn(format string, args ...any) {
	if w := fmt.Sprintf(format, args...); !slices.Contains(b.plan.Warnings, w) {
		b.plan.Warnings = append(b.plan.Warnings, w)
	}
}

// check refuses malformed paths before anything is looked at.
func (b *builder) check() error {
	type named struct {
		what, path string
		optional   bool
	}
	all := []named{
		{"home folder", b.Home, false}, {"user's home folder", b.UserHome, true},
		{"CLAUDE_CONFIG_DIR", b.Claude, true}, {"CODEX_HOME", b.Codex, true},
		{"passwd file", b.Passwd, true}, {"group file", b.Group, true}, {"helper", b.Helper, true},
	}
	for _, e := range b.Extra {
		all = append(all, named{"mount", e.Path, false})
	}
	for _, n := range all {
		if n.path == "" && n.optional {
			continue
		}
		if err := checkPath(n.what, n.path); err != nil {
			return err
		}
		if !filepath.IsAbs(n.path) {
			return exitcode.Errorf(exitcode.Usage, "%s %q: not an absolute path on this system", n.what, n.path)
		}
	}
	b.Home = filepath.Clean(b.Home)
	return nil
}

// need resolves a path, and notes it if it is missing.
func (b *builder) need(p string) (place, error) {
	at, err := b.disk.locate(p)
	if err == nil && !at.exists() {
		b.missing = append(b.missing, p)
	}
	return at, err
}

// folder is need for what has to be a folder.
func (b *builder) folder(p string) (place, error) {
	at, err := b.need(p)
	if err == nil && at.exists() && !at.isDir() {
		err = exitcode.Errorf(exitcode.Unavailable, "mount %q: not a folder", p).WithID("mount_missing")
	}
	return at, err
}

// complete ends with one error that names all that is missing.
func (b *builder) complete() error {
	if len(b.missing) == 0 {
		return nil
	}
	var names []string
	hint := "create it, or do not ask for it"
	for _, p := range b.missing {
		names = append(names, strconv.Quote(p))
		if strings.Contains(p, ":/") {
			hint = "a mount is one path, the same outside and inside: /folder, /folder:ro or /folder:rw"
		}
	}
	slices.Sort(names)
	return exitcode.Errorf(exitcode.Unavailable, "mount %s: no such file or folder", strings.Join(slices.Compact(names), ", ")).
		WithID("mount_missing").WithHint("%s", hint)
}

// put adds a mount unless its target is taken: what comes first wins.
func (b *builder) put(m Mount) {
	if _, taken := b.targets[m.Target]; !taken {
		b.targets[m.Target] = m
	}
}

// owned warns of folders that the container will not be able to write.
func (b *builder) owned(places ...place) {
	for _, p := range places {
		uid, ok := 0, false
		if b.GOOS == "linux" && p.exists() { // elsewhere a virtual machine maps owners
			uid, ok = owner(p.infos[0])
		}
		if ok && uid != b.UID {
			b.warn("%q belongs to uid %d, and the container runs as uid %d: it may not be able to write there", p.path, uid, b.UID)
		}
	}
}
