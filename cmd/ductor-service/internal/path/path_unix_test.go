//go:build unix

package path

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// user is a home with programs in it.
type user struct {
	*testing.T
	Recipe
	env map[string]string
}

func newUser(t *testing.T) *user {
	u := &user{T: t, env: map[string]string{}}
	u.Recipe = Recipe{Home: t.TempDir(), GOOS: "linux", Getenv: func(k string) string { return u.env[k] }}
	return u
}

func (u *user) path(p string) string { return filepath.Join(u.Home, filepath.FromSlash(p)) }

// has makes a program, which says where it is.
func (u *user) has(programs ...string) {
	u.Helper()
	for _, p := range programs {
		u.file(p, "#!/bin/sh\necho "+p+"\n", 0o755)
	}
}

func (u *user) file(p, text string, mode os.FileMode) {
	u.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(u.path(p)), 0o755), os.WriteFile(u.path(p), []byte(text), mode)); err != nil {
		u.Fatal(err)
	}
}

// calls sets the PATH that we are called with: folders of the home, or absolute.
func (u *user) calls(folders ...string) {
	for i, f := range folders {
		if !filepath.IsAbs(f) {
			folders[i] = u.path(f)
		}
	}
	u.Caller = strings.Join(folders, ":")
}

// homes are the folders in the home of what the recipe makes, as words.
func (u *user) homes() string {
	var in []string
	for _, f := range u.Folders() {
		if rest, found := strings.CutPrefix(f, u.Home+"/"); found {
			in = append(in, rest)
		}
	}
	return strings.Join(in, " ")
}

// wants compares the folders in the home.
func (u *user) wants(folders ...string) {
	u.Helper()
	if got := u.homes(); got != strings.Join(folders, " ") {
		u.Errorf("got  %s\nwant %s", got, strings.Join(folders, " "))
	}
}

func TestManagers(t *testing.T) {
	tests := map[string]struct {
		has  []string
		env  map[string]string // values are folders of the home
		goos string
		want string
	}{
		"nothing":                    {},
		"~/.local/bin":               {has: []string{".local/bin/claude"}, want: ".local/bin"},
		"uv":                         {has: []string{"tools/x"}, env: map[string]string{"UV_TOOL_BIN_DIR": "tools"}, want: "tools"},
		"pipx":                       {has: []string{"tools/x"}, env: map[string]string{"PIPX_BIN_DIR": "tools"}, want: "tools"},
		"XDG_BIN_HOME":               {has: []string{"b/x", ".local/bin/y"}, env: map[string]string{"XDG_BIN_HOME": "b"}, want: "b .local/bin"},
		"XDG_DATA_HOME/../bin":       {has: []string{"x/bin/x"}, env: map[string]string{"XDG_DATA_HOME": "x/share"}, want: "x/bin"},
		"claude":                     {has: []string{".claude/local/claude"}, want: ".claude/local"},
		"volta":                      {has: []string{".volta/bin/node"}, want: ".volta/bin"},
		"VOLTA_HOME":                 {has: []string{"v/bin/node", ".volta/bin/node"}, env: map[string]string{"VOLTA_HOME": "v"}, want: "v/bin"},
		"a relative VOLTA_HOME":      {has: []string{".volta/bin/node"}, env: map[string]string{"VOLTA_HOME": ""}, want: ".volta/bin"},
		"asdf":                       {has: []string{".asdf/shims/node", ".asdf/bin/asdf"}, want: ".asdf/shims .asdf/bin"},
		"ASDF_DATA_DIR":              {has: []string{"a/shims/node"}, env: map[string]string{"ASDF_DATA_DIR": "a"}, want: "a/shims"},
		"mise":                       {has: []string{".local/share/mise/shims/node"}, want: ".local/share/mise/shims"},
		"mise, XDG_DATA_HOME":        {has: []string{"d/mise/shims/node"}, env: map[string]string{"XDG_DATA_HOME": "d"}, want: "d/mise/shims"},
		"MISE_DATA_DIR":              {has: []string{"m/shims/node"}, env: map[string]string{"MISE_DATA_DIR": "m", "XDG_DATA_HOME": "d"}, want: "m/shims"},
		"fnm":                        {has: []string{".local/share/fnm/aliases/default/bin/node"}, want: ".local/share/fnm/aliases/default/bin"},
		"fnm of old":                 {has: []string{".local/share/fnm/fnm", ".fnm/aliases/default/bin/node"}, want: ".fnm/aliases/default/bin"},
		"FNM_DIR":                    {has: []string{"f/aliases/default/bin/node", ".fnm/aliases/default/bin/node"}, env: map[string]string{"FNM_DIR": "f"}, want: "f/aliases/default/bin"},
		"fnm on macOS":               {has: []string{"Library/Application Support/fnm/aliases/default/bin/node"}, goos: "darwin", want: "Library/Application Support/fnm/aliases/default/bin"},
		"macOS's folder is no other": {has: []string{"Library/Application Support/fnm/aliases/default/bin/node"}},
		"pyenv":                      {has: []string{".pyenv/shims/python", ".pyenv/bin/pyenv"}, want: ".pyenv/shims .pyenv/bin"},
		"PYENV_ROOT":                 {has: []string{"p/shims/python"}, env: map[string]string{"PYENV_ROOT": "p"}, want: "p/shims"},
		"bun":                        {has: []string{".bun/bin/bun"}, want: ".bun/bin"},
		"BUN_INSTALL":                {has: []string{"b/bin/bun"}, env: map[string]string{"BUN_INSTALL": "b"}, want: "b/bin"},
		"cargo":                      {has: []string{".cargo/bin/rg"}, want: ".cargo/bin"},
		"CARGO_HOME":                 {has: []string{"c/bin/rg"}, env: map[string]string{"CARGO_HOME": "c"}, want: "c/bin"},
		"npm":                        {has: []string{".npm-global/bin/codex"}, want: ".npm-global/bin"},
		"deno":                       {has: []string{".deno/bin/deno"}, want: ".deno/bin"},
		"DENO_INSTALL":               {has: []string{"d/bin/deno"}, env: map[string]string{"DENO_INSTALL": "d"}, want: "d/bin"},
		"nvm":                        {has: []string{".nvm/versions/node/v22.14.0/bin/node"}, want: ".nvm/versions/node/v22.14.0/bin"},
		"nvm in .config":             {has: []string{".config/nvm/versions/node/v22.14.0/bin/node", ".nvm/nvm.sh"}, want: ".config/nvm/versions/node/v22.14.0/bin"},
		"nvm, XDG_CONFIG_HOME":       {has: []string{"c/nvm/versions/node/v1.0.0/bin/node"}, env: map[string]string{"XDG_CONFIG_HOME": "c"}, want: "c/nvm/versions/node/v1.0.0/bin"},
		"NVM_DIR":                    {has: []string{"n/versions/node/v1.0.0/bin/node", ".nvm/versions/node/v2.0.0/bin/node"}, env: map[string]string{"NVM_DIR": "n"}, want: "n/versions/node/v1.0.0/bin"},
		"all, in their order": {
			has: []string{".nvm/versions/node/v22.14.0/bin/node", ".deno/bin/deno", ".npm-global/bin/x", ".cargo/bin/x", ".bun/bin/bun", ".pyenv/shims/x",
				".fnm/aliases/default/bin/node", ".local/share/mise/shims/x", ".asdf/shims/x", ".volta/bin/node", ".claude/local/claude", ".local/bin/x"},
			want: ".local/bin .claude/local .volta/bin .asdf/shims .local/share/mise/shims .fnm/aliases/default/bin .pyenv/shims .bun/bin .cargo/bin .npm-global/bin .deno/bin .nvm/versions/node/v22.14.0/bin",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.has(test.has...)
			for k, v := range test.env {
				u.env[k] = "relative"
				if v != "" {
					u.env[k] = u.path(v)
				}
			}
			if test.goos != "" {
				u.GOOS = test.goos
			}
			u.wants(test.want)
		})
	}
}

// TestVariables: whoever writes a definition must know all that the recipe asks
// for, or a service would not find what a shell finds.
func TestVariables(t *testing.T) {
	u := newUser(t)
	asked := map[string]bool{}
	u.Getenv = func(k string) string { asked[k] = true; return "relative" }
	u.has("bin/git")
	u.calls("bin")
	u.wants("bin")
	delete(asked, "VIRTUAL_ENV") // of the shell, and of nothing that lasts
	for _, v := range Variables {
		if !asked[v] {
			t.Errorf("%s is never read", v)
		}
		delete(asked, v)
	}
	if len(asked) > 0 {
		t.Errorf("not in Variables: %v", asked)
	}
}

func TestSystem(t *testing.T) {
	u := newUser(t)
	var want []string
	for _, dir := range []string{"/home/linuxbrew/.linuxbrew/bin", "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin", "/snap/bin"} {
		if isDir(dir) {
			want = append(want, dir)
		}
	}
	if got := u.Folders(); !slices.Equal(got, want) || len(want) < 3 {
		t.Errorf("%v, want %v", got, want)
	}
	if u.Path() != strings.Join(want, ":") {
		t.Error(u.Path())
	}
	u.GOOS = "darwin"
	if got := u.system(); got[0] != "/opt/homebrew/bin" || got[1] != "/opt/homebrew/sbin" || !slices.Equal(got[2:], system) {
		t.Errorf("on macOS: %v", got)
	}
}

func TestCaller(t *testing.T) {
	const v20, v22 = ".nvm/versions/node/v20.0.0/bin", ".nvm/versions/node/v22.0.0/bin"
	tests := map[string]struct {
		has    []string
		caller []string
		keep   bool
		want   string
	}{
		"only folders with programs stay":          {has: []string{"a/claude", "b/emacs", "c/docker"}, caller: []string{"a", "b", "c"}, want: "a c"},
		"the first that has one":                   {has: []string{"a/git", "b/git"}, caller: []string{"b", "a"}, want: "b"},
		"in the caller's order":                    {has: []string{"a/claude", "b/codex", "c/gemini", "d/node", "e/uv", "f/pipx", "g/asdf"}, caller: []string{"g", "f", "e", "d", "c", "b", "a"}, want: "g f e d c b a"},
		"before version managers":                  {has: []string{"a/node", ".volta/bin/node"}, caller: []string{"a"}, want: "a .volta/bin"},
		"their place is fixed":                     {has: []string{"a/node", ".volta/bin/git", ".local/bin/claude"}, caller: []string{".volta/bin", "a", ".local/bin"}, want: "a .local/bin .volta/bin"},
		"nothing hides what the system had before": {has: []string{"a/claude", ".bun/bin/x"}, caller: []string{"/usr/bin", "a"}, want: ".bun/bin a"},
		"a definition's PATH stays":                {has: []string{"a/x", "b/emacs", "c/y"}, caller: []string{"a", "b", "/usr/bin", "c"}, keep: true, want: "a b c"},
		"but not what is gone":                     {has: []string{"a/x"}, caller: []string{"a", "gone"}, keep: true, want: "a"},
		"a version gives way to the current one":   {has: []string{v20 + "/node", v20 + "/claude", v22 + "/node"}, caller: []string{v20}, want: v22 + " " + v20},
		"at each start too":                        {has: []string{v20 + "/node", v22 + "/node"}, caller: []string{v20, "/usr/bin"}, keep: true, want: v22 + " " + v20},
		"of any manager":                           {has: []string{".local/share/mise/installs/node/22/bin/node", ".local/share/mise/shims/node"}, caller: []string{".local/share/mise/installs/node/22/bin"}, want: ".local/share/mise/shims .local/share/mise/installs/node/22/bin"},
		"unless there is no current one":           {has: []string{".local/share/mise/installs/node/22/bin/node", ".bun/bin/x"}, caller: []string{".local/share/mise/installs/node/22/bin"}, want: ".local/share/mise/installs/node/22/bin .bun/bin"},
		"case matters":                             {has: []string{"a/git", "A/node"}, caller: []string{"a", "A"}, want: "a A"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.has(test.has...)
			u.Keep = test.keep
			u.calls(test.caller...)
			u.wants(test.want)
		})
	}
}

// TestRunRepeatsInstall: what install makes of a shell's PATH, run makes of
// what install wrote.
func TestRunRepeatsInstall(t *testing.T) {
	u := newUser(t)
	u.has("bot/bin/bot", "a/node", "b/uv", "c/claude", ".volta/bin/git", ".local/bin/claude", ".nvm/versions/node/v20.0.0/bin/codex",
		".nvm/versions/node/v22.0.0/bin/node")
	u.Own = []string{u.path("bot/bin")}
	u.calls(".nvm/versions/node/v20.0.0/bin", ".volta/bin", "a", "/usr/bin", "b", "c")
	first := u.Path()
	u.wants("bot/bin", "a", ".local/bin", ".volta/bin", ".nvm/versions/node/v22.0.0/bin", ".nvm/versions/node/v20.0.0/bin", "b", "c")
	u.Caller, u.Keep = first, true
	if second := u.Path(); second != first {
		t.Errorf("install %s\nrun     %s", first, second)
	}
}

func TestOwnFoldersComeFirst(t *testing.T) {
	u := newUser(t)
	u.has("bot/bin/bot", "a/node", "venv/bin/bot", "p/node_modules/.bin/bot")
	u.env["VIRTUAL_ENV"] = u.path("venv")
	u.Own = []string{u.path("venv/bin"), u.path("bot/bin") + "/", u.path("bot/bin"), "", "bin", u.path("none"), u.path("p/node_modules/.bin")}
	u.calls("a", "bot/bin")
	u.wants("venv/bin", "bot/bin", "p/node_modules/.bin", "a")
}

// TestDropped: folders that are in PATH now, and must not be in it for good.
func TestDropped(t *testing.T) {
	u := newUser(t)
	u.has("good/git", "venv/bin/git", "p/node_modules/.bin/claude", "p/node_modules/.bin/deep/claude", "a:b/git", "new\nline/git", "bad\xff/git",
		".codex/tmp/path/codex", "state/fnm_multishells/1_2/bin/node", "rel/git", "good/file")
	t.Chdir(u.Home)
	u.env["VIRTUAL_ENV"] = u.path("venv") + "/"
	u.Keep = true
	u.calls("good", "venv/bin", "p/node_modules/.bin", "p/node_modules/.bin/deep", "new\nline", "bad\xff", ".codex/tmp/path",
		"state/fnm_multishells/1_2/bin", "none", "good/file", "good")
	u.Caller += ":rel::.:" + u.path("a:b") + ":" + u.path("good") + "/:"
	u.wants("good")
	u.Own = []string{u.path("a:b")}
	u.wants("good")
}

// TestTemporaryFolders: whoever makes them anew after a boot would decide what
// runs.
func TestTemporaryFolders(t *testing.T) {
	u := newUser(t)
	u.has("bin/claude")
	foreign := newUser(t)
	foreign.has("claude")
	u.Own = []string{"/tmp", foreign.Home}
	u.calls("/tmp", foreign.Home, "/var/tmp", "/dev/shm", "bin")
	u.Keep = true
	u.wants("bin") // a home may be anywhere
	for _, f := range u.Folders() {
		if f == "/tmp" || f == "/var/tmp" || f == "/dev/shm" || u.ephemeral(foreign.Home) && f == foreign.Home {
			t.Errorf("%s is in PATH", f)
		}
	}
	if atRoot := (Recipe{Home: "/"}); !atRoot.ephemeral("/tmp/x") || atRoot.ephemeral("/bin") {
		t.Error("a home at the root makes temporary folders permanent")
	}
	for dir, want := range map[string]bool{
		"/tmp": true, "/tmp/x": true, "/tmpx": false, "/run/user/1000/x": true, "/run/current-system/sw/bin": false, "/private/tmp/x": true,
		"/private/var/folders/ab/T": true, u.Home: false, u.Home + "x": true, u.path("x/.codex/tmp"): true, u.path(".codex/bin"): false,
	} {
		if got := u.ephemeral(dir); got != want {
			t.Errorf("%s: %v", dir, got)
		}
	}
}

// TestLinksStay: a link is what an upgrade changes, and what it points to is
// what an upgrade removes.
func TestLinksStay(t *testing.T) {
	u := newUser(t)
	u.has("Cellar/node/22/bin/node", "Cellar/tools/claude")
	for link, to := range map[string]string{"opt": "Cellar/node/22/bin", "bin": "real"} {
		if err := errors.Join(os.MkdirAll(u.path("real"), 0o755), os.Symlink(to, u.path(link))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../Cellar/tools/claude", u.path("real/claude")); err != nil {
		t.Fatal(err)
	}
	u.calls("opt", "bin")
	u.wants("opt", "bin")
}

func TestReasons(t *testing.T) {
	u := newUser(t)
	u.has("bot/bot", "a/node", "a/git", "b/uv", ".volta/bin/x")
	u.Own = []string{u.path("bot")}
	u.calls("a", "/usr/bin", "b")
	var got []string
	for _, f := range u.Explain() {
		if f.Path != "/usr/bin" && strings.HasPrefix(f.Path, "/") && !below(f.Path, u.Home) {
			continue
		}
		got = append(got, filepath.Base(f.Path)+": "+f.Why)
	}
	want := []string{"bot: its own", "a: node, git", "bin: volta", "bin: the system's", "b: uv"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// TestNoProgram: what has the name of a program is not always one.
func TestNoProgram(t *testing.T) {
	u := newUser(t)
	u.file("a/git", "", 0o644)
	u.has("b/git/x", "c/x")
	if err := errors.Join(syscall.Mkfifo(u.path("c/git"), 0o755), os.Symlink("gone", u.path("c/node"))); err != nil {
		t.Fatal(err)
	}
	u.calls("a", "b", "c")
	u.wants()
}

func TestDeterministic(t *testing.T) {
	u := newUser(t)
	u.has(".nvm/versions/node/v22.0.0/bin/node", ".nvm/versions/node/v022.0.0/bin/node", "a/git", "b/codex", ".volta/bin/node")
	u.calls("b", "a")
	first := u.Path()
	for range 20 {
		if got := u.Path(); got != first {
			t.Fatalf("%s\n%s", first, got)
		}
	}
}

// TestWithoutAHome: nothing is found in the folder that we happen to be in.
func TestWithoutAHome(t *testing.T) {
	u := newUser(t)
	u.has(".local/bin/claude", ".nvm/versions/node/v22.0.0/bin/node", "share/bin/x")
	t.Chdir(u.Home)
	home := u.Home
	u.Home = ""
	for _, f := range u.Folders() {
		if !filepath.IsAbs(f) || below(f, home) {
			t.Errorf("%s is in PATH", f)
		}
	}
}

// TestFolderWeAreIn: what looks like a version manager there is none.
func TestFolderWeAreIn(t *testing.T) {
	u := newUser(t)
	u.has(".nvm/versions/node/v1.0.0/bin/node", "work/versions/node/v2.0.0/bin/node", "work/aliases/default/bin/node", ".fnm/aliases/default/bin/node")
	t.Chdir(u.path("work"))
	u.wants(".fnm/aliases/default/bin", ".nvm/versions/node/v1.0.0/bin")
}

// TestShellFindsNode runs what a bot runs, before and after an upgrade, with
// PATH as a definition has it.
func TestShellFindsNode(t *testing.T) {
	u := newUser(t)
	const v20, v22 = ".nvm/versions/node/v20.9.0/bin/node", ".nvm/versions/node/v22.14.0/bin/node"
	u.has(v20)
	u.file(".nvm/alias/default", "node\n", 0o644)
	u.calls(filepath.Dir(v20), "/usr/bin", "/bin")
	written := u.Path()
	u.node(v20)

	u.has(v22)
	u.Caller, u.Keep = written, true
	u.node(v22)
	if err := os.RemoveAll(u.path(".nvm/versions/node/v20.9.0")); err != nil {
		t.Fatal(err)
	}
	u.node(v22)
}

// node fails if a shell finds another node.
func (u *user) node(want string) {
	u.Helper()
	cmd := exec.Command("/bin/sh", "-c", "node")
	cmd.Env = []string{"PATH=" + u.Path()}
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != want {
		u.Errorf("%q, %v; want %s", out, err, want)
	}
}
