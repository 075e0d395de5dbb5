package mount

import (
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ductor/internal/common/exitcode"
)

// world is a user's home with a bot's home in it. Its name has all that has ever
// confused a parser of mounts.
type world struct {
	t    *testing.T
	user string
	Query
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if filepath.Separator != '/' {
		t.Skip("the expected paths are those of Unix; Windows' are tested apart")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, user: filepath.Join(dir, `u:s,e r's "é"`)}
	w.Query = Query{Home: filepath.Join(w.user, ".ductor"), UserHome: w.user, GOOS: "linux", UID: os.Getuid(), GID: os.Getgid()}
	w.dir(w.user)
	if err := w.Make(); err != nil {
		t.Fatal(err)
	}
	w.file(".ductor/config/config.json", ".ductor/cron_jobs.json", ".ductor/run/ductor/bot.pid", ".ductor/restart-sentinel.json")
	return w
}

// at is a path in the user's home, unless it is absolute.
func (w *world) at(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(w.user, p)
}

func (w *world) dir(dirs ...string) {
	w.t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(w.at(d), 0o700); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) file(files ...string) {
	w.t.Helper()
	for _, f := range files {
		w.dir(filepath.Dir(w.at(f)))
		if err := os.WriteFile(w.at(f), []byte("x"), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) link(to, name string) {
	w.t.Helper()
	w.dir(filepath.Dir(w.at(name)))
	if err := os.Symlink(to, w.at(name)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) plan() Plan {
	w.t.Helper()
	p, err := w.Plan()
	if err != nil {
		w.t.Fatal(err)
	}
	check(w.t, p)
	return p
}

func (w *world) fails(code int, id string, words ...string) {
	w.t.Helper()
	p, err := w.Plan()
	e, ok := err.(*exitcode.Error)
	if !ok || e.Code != code || e.ID != id {
		w.t.Errorf("want %d %q: %v %v", code, id, err, p.Mounts)
		return
	}
	for _, word := range words {
		if !strings.Contains(e.Error(), strings.Trim(quote(word), `"`)) && !strings.Contains(e.Hint, word) {
			w.t.Errorf("no %q in: %v (%s)", word, e, e.Hint)
		}
	}
}

func quote(s string) string { return strings.ReplaceAll(s, `"`, `\"`) }

// socket makes one somewhere else: the path of a socket must be short.
func (w *world) socket(name string) {
	w.t.Helper()
	dir, err := os.MkdirTemp("/tmp", "s")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	if err := os.Rename(dir+"/s", w.at(name)); err != nil {
		w.t.Fatal(err)
	}
}

// check is what holds for every plan.
func check(t *testing.T, p Plan) {
	t.Helper()
	seen := map[string]bool{}
	for i, m := range p.Mounts {
		switch {
		case seen[m.Target]:
			t.Errorf("%q twice", m.Target)
		case m.Target != path.Clean(m.Target) || !path.IsAbs(m.Target) || m.Target == "/":
			t.Errorf("target %q", m.Target)
		case m.Tmpfs != (m.Source == "") || m.Tmpfs && (m.Mode != 0o555 || !m.ReadOnly):
			t.Errorf("%+v", m)
		}
		seen[m.Target] = true
		if !m.Tmpfs {
			if real, err := filepath.EvalSymlinks(m.Source); err != nil || real != m.Source {
				t.Errorf("source %q is %q, %v", m.Source, real, err)
			}
		}
		for _, later := range p.Mounts[i+1:] {
			if _, in := below(m.Target, later.Target); in {
				t.Errorf("%q comes before its parent %q", m.Target, later.Target)
			}
		}
	}
}

// writable reports whether a host file can be changed through any mount.
func writable(p Plan, host string) (through string) {
	for _, m := range p.Mounts {
		rel, ok := below(host, m.Source)
		if m.Tmpfs || !ok {
			continue
		}
		at := path.Join(m.Target, rel)
		if over, _ := p.over(at); !over.ReadOnly && p.Outside(at) == host {
			return at
		}
	}
	return ""
}

func visible(p Plan, host string) (through string) {
	for _, m := range p.Mounts {
		if rel, ok := below(host, m.Source); ok && !m.Tmpfs && p.Outside(path.Join(m.Target, rel)) == host {
			return path.Join(m.Target, rel)
		}
	}
	return ""
}

func TestBase(t *testing.T) {
	w := newWorld(t)
	home := w.at(".ductor")
	want := []Mount{
		{Source: home, Target: "/ductor", ReadOnly: true},
		{Target: "/ductor/config", Tmpfs: true, ReadOnly: true, Mode: 0o555},
		{Target: "/ductor/run", Tmpfs: true, ReadOnly: true, Mode: 0o555},
		{Target: "/ductor/sandbox", Tmpfs: true, ReadOnly: true, Mode: 0o555},
		{Source: home + "/workspace", Target: "/ductor/workspace"},
		{Source: home + "/sandbox/home", Target: "/home/node"},
		{Source: home + "/workspace", Target: home + "/workspace"},
	}
	p := w.plan()
	if !slices.Equal(p.Mounts, want) {
		t.Errorf("%+v", p.Mounts)
	}
	if p.WorkDir != home+"/workspace" || p.Auth["claude"] != "none" || p.Auth["codex"] != "none" || len(p.Warnings) > 0 {
		t.Errorf("%+v", p)
	}
	if got := strings.Join(p.Env, " "); got != "HOME=/home/node CLAUDE_CONFIG_DIR=/home/node/.claude CODEX_HOME=/home/node/.codex" {
		t.Error(got)
	}
	w.GOOS = "windows"
	if p := w.plan(); p.WorkDir != "/ductor/workspace" || len(p.Mounts) != len(want)-1 {
		t.Errorf("%+v", p)
	}
}

func TestMakeIsPrivateAndStaysInTheHome(t *testing.T) {
	w := newWorld(t)
	for _, dir := range []string{"config", "run", "workspace", "sandbox", "sandbox/home", "sandbox/home/.claude", "sandbox/home/.codex"} {
		info, err := os.Stat(filepath.Join(w.Home, dir))
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", dir, info, err)
		}
	}
	if err := os.Remove(w.at(".ductor/config/config.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.at(".ductor/config")); err != nil {
		t.Fatal(err)
	}
	w.dir("elsewhere")
	w.link("../elsewhere/new", ".ductor/config")
	if err := w.Make(); exitcode.Of(err) != exitcode.CantCreat {
		t.Error(err)
	}
	if _, err := os.Lstat(w.at("elsewhere/new")); err == nil {
		t.Error("a link was followed")
	}
}

func TestMissingFoldersAreNamed(t *testing.T) {
	w := newWorld(t)
	os.RemoveAll(w.at(".ductor"))
	w.fails(exitcode.Unavailable, "mount_missing", w.Home)
	w.dir(".ductor")
	w.Extra = []Extra{{Path: w.at("none:/x")}}
	w.Writable = []string{"data"}
	w.Passwd = w.at("passwd")
	w.fails(exitcode.Unavailable, "mount_missing", "/workspace", "/sandbox/home", "/config", "/none:/x", ".ductor/data", "/passwd", "the same outside and inside")
	if _, err := os.Lstat(w.at("none:")); err == nil {
		t.Error("created")
	}
	w.Extra, w.Writable, w.Passwd = nil, nil, ""
	w.file(".ductor/workspace")
	w.fails(exitcode.Unavailable, "mount_missing", "not a folder")
}

func TestLogins(t *testing.T) {
	w := newWorld(t)
	w.file(".claude/.credentials.json", ".claude/settings.json", ".claude/hooks/h", ".claude/CLAUDE.md", ".codex/auth.json", ".codex/config.toml")
	p := w.plan()
	if p.Auth["claude"] != "dir" || p.Auth["codex"] != "dir" {
		t.Error(p.Auth)
	}
	for _, f := range []string{".claude/.credentials.json", ".claude/CLAUDE.md", ".claude/new", ".codex/auth.json"} {
		if writable(p, w.at(f)) == "" {
			t.Errorf("%s cannot be written", f)
		}
	}
	for _, f := range []string{".claude/settings.json", ".claude/hooks/h", ".codex/config.toml"} {
		if at := writable(p, w.at(f)); at != "" || visible(p, w.at(f)) == "" {
			t.Errorf("%s can be written at %q", f, at)
		}
	}
	if !slices.Contains(p.Unprotected, w.at(".claude/commands")) || slices.Contains(p.Unprotected, w.at(".claude/hooks")) {
		t.Error(p.Unprotected)
	}
	w.dir("other")
	w.Claude, w.Codex = w.at("other"), w.at("none")
	p = w.plan()
	if m, _ := p.over("/home/node/.claude"); m.Source != w.at("other") || p.Auth["codex"] != "none" || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "CODEX_HOME") {
		t.Errorf("%+v", p)
	}
	w.Claude = w.user
	w.fails(exitcode.NoPerm, "mount_refused", "--dangerous")
	w.Claude = "relative"
	w.fails(exitcode.Usage, "", "CLAUDE_CONFIG_DIR")
}

func TestKeychain(t *testing.T) {
	w := newWorld(t)
	w.GOOS = "darwin"
	w.file(".claude/settings.json", ".codex/auth.json")
	p := w.plan()
	if p.Auth["claude"] != "keychain" || p.Auth["codex"] != "dir" || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "CLAUDE_CODE_OAUTH_TOKEN") {
		t.Errorf("%+v", p)
	}
	w.file(".claude/.credentials.json")
	if p := w.plan(); p.Auth["claude"] != "dir" || len(p.Warnings) != 0 {
		t.Errorf("%+v", p)
	}
}

func TestWhatTheHostWouldRunIsReadOnly(t *testing.T) {
	w := newWorld(t)
	for _, root := range []string{".ductor/workspace", "src"} {
		for _, f := range []string{".git/hooks/pre-commit", ".git/config", ".claude/settings.local.json", ".claude/agents/a", ".mcp.json"} {
			w.file(root + "/" + f)
		}
	}
	w.Extra = []Extra{{Path: w.at("src")}}
	p := w.plan()
	for _, root := range []string{".ductor/workspace", "src"} {
		for _, f := range []string{".git/hooks/pre-commit", ".git/config", ".claude/settings.local.json", ".claude/agents/a", ".mcp.json"} {
			if at := writable(p, w.at(root+"/"+f)); at != "" {
				t.Errorf("%q can be written", at)
			}
		}
		if writable(p, w.at(root+"/.git/index")) == "" || writable(p, w.at(root+"/.claude/todo")) == "" {
			t.Errorf("nothing can be written in %s", root)
		}
	}
	for _, root := range []string{"/ductor/workspace", w.at(".ductor/workspace"), w.at("src")} {
		for _, pin := range []string{"/.git", "/.claude"} { // else `mv .git x` takes the mount away
			if m, _ := p.over(root + pin); m.Target != root+pin || m.ReadOnly {
				t.Errorf("%s is not a mount point: %+v", root+pin, m)
			}
		}
	}
	w.Writable = []string{"workspace", "workspace/.git/config"}
	p = w.plan()
	if writable(p, w.at(".ductor/workspace/.git/config")) == "" || writable(p, w.at(".ductor/workspace/.git/hooks/pre-commit")) != "" {
		t.Errorf("%+v", p.Mounts)
	}
}

func TestGitFileOfAWorktree(t *testing.T) {
	w := newWorld(t)
	w.file(".ductor/workspace/.git")
	if at := writable(w.plan(), w.at(".ductor/workspace/.git")); at != "" {
		t.Error(at)
	}
}

// TestCommondir: it leads git to another config.
func TestCommondir(t *testing.T) {
	w := newWorld(t)
	w.dir(".ductor/workspace/.git")
	if p := w.plan(); !slices.Contains(p.Unprotected, w.at(".ductor/workspace/.git/commondir")) || slices.ContainsFunc(p.Absent, func(a Absent) bool { return a.name == ".git/commondir" }) {
		t.Errorf("%q %v", p.Unprotected, p.Absent)
	}
	w.file(".ductor/workspace/.git/commondir")
	if p := w.plan(); writable(p, w.at(".ductor/workspace/.git/commondir")) != "" || slices.Contains(p.Unprotected, w.at(".ductor/workspace/.git/commondir")) {
		t.Errorf("%q %+v", p.Unprotected, p.Mounts)
	}
}

// TestClaudeKeepsServersInTheFolderThatWasNamed, and it must be able to write them.
func TestClaudeKeepsServersInTheFolderThatWasNamed(t *testing.T) {
	w := newWorld(t)
	w.file(".claude/.claude.json", "other/.claude.json")
	if p := w.plan(); slices.Contains(p.Unprotected, w.at(".claude/.claude.json")) { // the host's is beside the folder
		t.Error(p.Unprotected)
	}
	w.Claude = w.at("other")
	if p := w.plan(); !slices.Contains(p.Unprotected, w.at("other/.claude.json")) || writable(p, w.at("other/.claude.json")) == "" {
		t.Errorf("%q %+v", p.Unprotected, p.Mounts)
	}
	w.Claude = w.at("none") // not mounted
	if p := w.plan(); slices.Contains(p.Unprotected, w.at("none/.claude.json")) {
		t.Error(p.Unprotected)
	}
}

// movable returns a folder around a file of the host that can be renamed inside,
// with the file in it.
func movable(p Plan, host string) string {
	for _, m := range p.Mounts {
		rel, ok := below(host, m.Source)
		if m.Tmpfs || m.ReadOnly || !ok || p.Outside(path.Join(m.Target, rel)) != host {
			continue
		}
		for at := path.Dir(path.Join(m.Target, rel)); len(at) > len(m.Target); at = path.Dir(at) {
			if over, _ := p.over(at); over.Target != at && !over.ReadOnly {
				return at
			}
		}
	}
	return ""
}

// TestReadOnlyPartCannotBeMovedAway with the folder around it, by any name of it,
// and what keeps it there makes nothing writable.
func TestReadOnlyPartCannotBeMovedAway(t *testing.T) {
	w := newWorld(t)
	w.file("p/vendor/keep/x", "p/vendor/y", "p/a/b/c/file", "p/ro/d/keep/x", "p/ro/d/y", "p/ro/rw/e/keep/x", "p/q/r/.git/hooks/h", ".ductor/workspace/a/keep/x")
	w.link("p", "ln")
	w.Extra = []Extra{{Path: w.at("p")}, {Path: w.at("ln")}, {Path: w.at("p/q/r")}, {Path: w.at("p/ro"), ReadOnly: true}, {Path: w.at("p/ro/rw")}}
	keep := []string{"p/vendor/keep", "p/a/b/c/file", "p/ro/d/keep", "p/ro/rw/e/keep", ".ductor/workspace/a/keep"}
	for _, k := range keep {
		w.Extra = append(w.Extra, Extra{Path: w.at(k), ReadOnly: true})
	}
	p := w.plan()
	for _, f := range append(keep, "p/q/r/.git/hooks") {
		if at := movable(p, w.at(f)); at != "" {
			t.Errorf("%s: %q can be renamed", f, at)
		}
	}
	for _, f := range append(keep, "p/q/r/.git/hooks/h", "p/ro/d/y") {
		if at := writable(p, w.at(f)); at != "" {
			t.Errorf("%s can be written at %q", f, at)
		}
	}
	for _, target := range []string{w.at("p/vendor"), w.at("ln/vendor"), w.at("p/a/b"), w.at("p/ro/rw/e"), w.at("p/q"), "/ductor/workspace/a", w.at(".ductor/workspace/a")} {
		if m, _ := p.over(target); m.Target != target || m.ReadOnly {
			t.Errorf("%s is not a mount point: %+v", target, m)
		}
	}
	if writable(p, w.at("p/vendor/y")) == "" || writable(p, w.at("p/ro/rw/e/y")) == "" {
		t.Errorf("%+v", p.Mounts)
	}
}

// TestReadOnlyFolderAroundAHook is so by each name of the workspace.
func TestReadOnlyFolderAroundAHook(t *testing.T) {
	w := newWorld(t)
	w.file(".ductor/workspace/.git/hooks/h", ".ductor/workspace/.git/index")
	w.Extra = []Extra{{Path: w.at(".ductor/workspace/.git"), ReadOnly: true}}
	if at := writable(w.plan(), w.at(".ductor/workspace/.git/index")); at != "" {
		t.Error(at)
	}
}

// TestHomeCannotBeMovedAway where all of the user's is given.
func TestHomeCannotBeMovedAway(t *testing.T) {
	w := newWorld(t)
	w.file(".claude/settings.json", ".claude/hooks/h")
	if err := os.MkdirAll(w.at("deep/er"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.Home, w.at("deep/er/home")); err != nil {
		t.Fatal(err)
	}
	w.Home = w.at("deep/er/home")
	w.Extra, w.Dangerous = []Extra{{Path: w.user}}, true
	p := w.plan()
	for _, f := range []string{"deep/er/home", ".claude/settings.json", ".claude/hooks"} {
		if at := movable(p, w.at(f)); at != "" {
			t.Errorf("%s: %q can be renamed", f, at)
		}
	}
	if at := writable(p, w.at("deep/er/home/cron_jobs.json")); at != "" {
		t.Error(at)
	}
}

// TestLinksOfTheAgentShowNothing: a protection must not turn into a way to read.
func TestLinksOfTheAgentShowNothing(t *testing.T) {
	w := newWorld(t)
	w.file(".ssh/id", "private/x", ".ductor/workspace/real/hooks/h")
	w.link("../../../.ssh", ".ductor/workspace/.claude/hooks")
	w.link(w.at("private"), ".ductor/workspace/.git")
	w.link("real", ".ductor/workspace/.codex")
	p := w.plan()
	for _, f := range []string{".ssh/id", "private/x"} {
		if at := visible(p, w.at(f)); at != "" {
			t.Errorf("%s is seen at %q", f, at)
		}
	}
	if len(p.Warnings) != 3 || !slices.Contains(p.Unprotected, w.at(".ductor/workspace/.git")) {
		t.Errorf("%q %q", p.Warnings, p.Unprotected)
	}
	w.link(w.at("private"), ".ductor/workspace/p")
	w.Extra = []Extra{{Path: w.at(".ductor/workspace/p")}}
	w.fails(exitcode.NoPerm, "mount_refused", "leads out of")
	w.Extra, w.Writable = nil, []string{"workspace/p"}
	w.fails(exitcode.NoPerm, "mount_refused")
	w.link("../cron_jobs.json", ".ductor/workspace/c")
	w.Writable = []string{"workspace/c"}
	w.fails(exitcode.NoPerm, "mount_refused", "leads out of")
	w.dir(".ductor/data")
	w.link("../cron_jobs.json", ".ductor/data/c")
	w.Writable = []string{"data", w.at(".ductor/data/c")}
	w.fails(exitcode.NoPerm, "mount_refused", "leads out of")
}

func TestWritable(t *testing.T) {
	w := newWorld(t)
	w.dir(".ductor/data/in", "outside")
	w.link("data", ".ductor/link")
	w.Writable = []string{"link", "cron_jobs.json", w.at(".ductor/data/in")}
	p := w.plan()
	for _, f := range []string{"data/x", "data/in/x", "cron_jobs.json"} {
		if writable(p, w.at(".ductor/"+f)) != "/ductor/"+f {
			t.Errorf("%s: %+v", f, p.Mounts)
		}
	}
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "cron_jobs.json") {
		t.Error(p.Warnings)
	}
	w.link(w.at("outside"), ".ductor/out")
	w.link("config", ".ductor/conf")
	w.Dangerous = true // does not help: the home's own rules stay
	for _, bad := range []string{".", "config", "config/config.json", "run", "run/ductor/bot.pid", "sandbox", "sandbox/home", "out", "conf", "..", "/", w.user, "../outside"} {
		w.Writable = []string{bad}
		w.fails(exitcode.NoPerm, "mount_refused", bad)
	}
	for _, bad := range []string{"", "a\nb", "a\x00", "\xff"} {
		w.Writable = []string{bad}
		w.fails(exitcode.Usage, "")
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	w.file(".ssh/id", ".gnupg/x", ".aws/x", "deep/.ssh/id", ".ductor/logs/l", "src/x")
	w.dir("engine")
	for name, to := range map[string]string{"l1": ".ssh", "l2": "/", "l3": "/etc/ssl", "l4": ".", "l5": ".ductor/config"} {
		w.link(to, name)
	}
	w.socket("any.sock")
	w.socket("engine/podman.sock")
	bad := []string{
		"any.sock", "engine", "/var/run/docker.sock", "/run/user/7/podman/podman.sock", "/x/containerd.sock", "/var/run", "/run", "/run/user",
		"", "..", ".ssh", ".ssh/id", "deep/.ssh", ".aws", ".gnupg/x", ".docker", ".ductor", ".ductor/config", ".ductor/config/config.json", ".ductor/run", ".ductor/sandbox/home",
		"/etc", "/etc/passwd", "/proc", "/proc/1", "/sys", "/dev", "/dev/shm", "/boot", "/usr", "/bin", "/var/lib/docker/volumes", "/home", "/var",
		"l1", "l3", "l4", "l5", "l1/id",
	}
	if !strings.HasPrefix(w.user, "/home") {
		bad = slices.DeleteFunc(bad, func(s string) bool { return s == "/home" })
	}
	if info, err := os.Lstat("/var/run"); err != nil || info.Mode()&fs.ModeSymlink != 0 {
		bad = slices.DeleteFunc(bad, func(s string) bool { return s == "/var" && !pathExists("/var/lib/docker") })
	}
	for _, p := range bad {
		w.Extra = []Extra{{Path: w.at(p), ReadOnly: true}}
		w.Dangerous = false
		w.fails(exitcode.NoPerm, "mount_refused", w.at(p), "--dangerous")
	}
	for _, p := range []string{"/", "l2"} {
		w.Extra, w.Dangerous = []Extra{{Path: w.at(p)}}, true
		w.fails(exitcode.NoPerm, "mount_refused")
	}
	for _, p := range []string{".ductor/logs", "src", ".ductor/cron_jobs.json"} {
		w.Extra, w.Dangerous = []Extra{{Path: w.at(p)}}, false
		w.plan()
	}
}

func pathExists(p string) bool { _, err := os.Stat(p); return err == nil }

// TestDangerous: the user's home may be had, and the bot stays protected in it.
func TestDangerous(t *testing.T) {
	w := newWorld(t)
	w.file(".ssh/id", ".claude/settings.json", "x")
	w.Extra, w.Dangerous = []Extra{{Path: w.user}}, true
	p := w.plan()
	if len(p.Warnings) != 1 || writable(p, w.at("x")) == "" || writable(p, w.at(".ssh/id")) == "" || writable(p, w.at(".ductor/workspace/x")) == "" {
		t.Errorf("%+v", p)
	}
	for _, f := range []string{".ductor/cron_jobs.json", ".ductor/config/config.json", ".ductor/run/ductor/bot.pid", ".claude/settings.json"} {
		if at := writable(p, w.at(f)); at != "" {
			t.Errorf("%q can be written", at)
		}
	}
	if at := visible(p, w.at(".ductor/config/config.json")); at != "" {
		t.Errorf("%q can be read", at)
	}
}

func TestExtras(t *testing.T) {
	w := newWorld(t)
	w.file("src/out/x", "src/y", "file")
	w.link("src", "ln")
	w.Extra = []Extra{{Path: w.at("src"), ReadOnly: true}, {Path: w.at("src/out")}, {Path: w.at("src")}, {Path: w.at("file")}, {Path: w.at("ln"), ReadOnly: true}}
	p := w.plan()
	if writable(p, w.at("src/out/x")) == "" || writable(p, w.at("src/y")) != "" || writable(p, w.at("file")) == "" {
		t.Errorf("%+v", p.Mounts)
	}
	if m, _ := p.over(w.at("ln")); m.Source != w.at("src") || m.Target != w.at("ln") || !m.ReadOnly {
		t.Errorf("%+v", m)
	}
	// A read-only part of a writable folder is so by each of its names.
	w.dir(".ductor/workspace/part")
	w.Extra = []Extra{{Path: w.at(".ductor/workspace/part"), ReadOnly: true}}
	if at := writable(w.plan(), w.at(".ductor/workspace/part/x")); at != "" {
		t.Error(at)
	}
	w.Extra = []Extra{{Path: w.at(".ductor/workspace")}} // what is there already
	w.plan()
	w.Extra[0].ReadOnly = true
	w.fails(exitcode.Usage, "")
	for _, bad := range []string{"rel", w.at("a\nb"), w.at("\xff"), ""} {
		w.Extra = []Extra{{Path: bad}}
		w.fails(exitcode.Usage, "")
	}
}

func TestHomes(t *testing.T) {
	w := newWorld(t)
	w.UserHome = w.Home
	w.fails(exitcode.NoPerm, "mount_refused", "DUCTOR_HOME")
	w.UserHome = ""
	if p := w.plan(); p.Auth["claude"] != "none" {
		t.Error(p.Auth)
	}
	for _, bad := range []string{"", "rel", "/a\n", "/a\x00"} {
		w.Home = bad
		w.fails(exitcode.Usage, "")
	}
}

// TestLinkedHome: a session is found again by the folder that getcwd says.
func TestLinkedHome(t *testing.T) {
	w := newWorld(t)
	w.dir("disk")
	if err := os.Rename(w.at(".ductor/workspace"), w.at("disk/ws")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.at(".ductor"), w.at("disk/home")); err != nil {
		t.Fatal(err)
	}
	w.link("disk/home", ".ductor")
	w.link("../ws", "disk/home/workspace")
	w.file("disk/ws/.mcp.json")
	w.dir("disk/ws/p")
	p := w.plan()
	if p.WorkDir != w.at("disk/ws") {
		t.Error(p.WorkDir)
	}
	for _, target := range []string{"/ductor/workspace", w.at(".ductor/workspace"), w.at("disk/ws")} {
		if m, _ := p.over(target + "/x"); m.Source != w.at("disk/ws") || m.Target != target {
			t.Errorf("%s: %+v", target, m)
		}
	}
	if at := writable(p, w.at("disk/ws/.mcp.json")); at != "" {
		t.Error(at)
	}
	if got, ok := p.Inside(w.at(".ductor/workspace/p")); got != w.at("disk/ws/p") || !ok {
		t.Error(got, ok)
	}
	for _, to := range []string{"..", ".", "config", "../../.ssh", "/etc"} {
		w.dir(".ssh")
		os.Remove(w.at("disk/home/workspace"))
		w.link(to, "disk/home/workspace")
		w.fails(exitcode.NoPerm, "mount_refused")
	}
}

func TestConfigInTheWorkspaceIsRefused(t *testing.T) {
	w := newWorld(t)
	if err := os.Rename(w.at(".ductor/config"), w.at(".ductor/workspace/cfg")); err != nil {
		t.Fatal(err)
	}
	w.link("workspace/cfg", ".ductor/config")
	w.fails(exitcode.NoPerm, "mount_refused")
}

func TestInside(t *testing.T) {
	w := newWorld(t)
	w.dir("src/a", ".claude/projects", ".ductor/logs", "none", ".ductor/workspace/p")
	w.link(w.at("none"), ".ductor/workspace/out")
	w.Extra = []Extra{{Path: w.at("src"), ReadOnly: true}}
	p := w.plan()
	for host, want := range map[string]string{
		".ductor/workspace": w.at(".ductor/workspace"), ".ductor/workspace/p": w.at(".ductor/workspace/p"), ".ductor/workspace/../workspace/p/": w.at(".ductor/workspace/p"),
		".ductor/workspace/new/x": w.at(".ductor/workspace/new/x"),
		".ductor/logs":            "/ductor/logs", ".ductor": "/ductor", "src/a": w.at("src/a"),
		".claude/projects": "/home/node/.claude/projects", ".ductor/sandbox/home": "/home/node",
		".ductor/config": "", ".ductor/run/ductor": "", "none": "", ".ductor/workspace/out": "", "": "", "/": "", "srcs": "", "/etc": "",
	} {
		if host == ".ductor/workspace/../workspace/p/" {
			host = w.at(".ductor/workspace") + "/../workspace/p/"
		}
		if got, ok := p.Inside(w.at(host)); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", host, got, ok)
		}
	}
	if _, ok := p.Inside("src"); ok {
		t.Error("a relative path was mapped")
	}
}

func TestOwner(t *testing.T) {
	w := newWorld(t)
	w.UID++
	if p := w.plan(); len(p.Warnings) != 2 {
		t.Error(p.Warnings)
	}
	w.GOOS = "darwin"
	if p := w.plan(); len(p.Warnings) != 1 { // the keychain's
		t.Error(p.Warnings)
	}
}

func TestFilesOfTheCaller(t *testing.T) {
	w := newWorld(t)
	w.file("p", "g", "helper")
	w.Passwd, w.Group, w.Helper = w.at("p"), w.at("g"), w.at("helper")
	p := w.plan()
	for target, source := range map[string]string{"/etc/passwd": "p", "/etc/group": "g", HelperInside: "helper"} {
		if m, _ := p.over(target); m != (Mount{Source: w.at(source), Target: target, ReadOnly: true}) {
			t.Errorf("%+v", m)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	dir := b.TempDir()
	q := Query{Home: filepath.Join(dir, ".ductor"), UserHome: dir, GOOS: "linux", Extra: []Extra{{Path: filepath.Join(dir, "src")}}}
	os.MkdirAll(filepath.Join(dir, "src", ".git", "hooks"), 0o700)
	os.MkdirAll(filepath.Join(dir, ".claude", "hooks"), 0o700)
	if err := q.Make(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := q.Plan(); err != nil {
			b.Fatal(err)
		}
	}
}
