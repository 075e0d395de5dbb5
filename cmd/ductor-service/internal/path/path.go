// Package path makes the PATH of a service anew at each start, from what is
// installed then: one that was copied dies with the first upgrade of node.
package path

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Recipe is what PATH is made from.
type Recipe struct {
	Home   string              // the user's home folder
	Getenv func(string) string // of Variables, and of VIRTUAL_ENV
	GOOS   string
	Own    []string // folders that come first: of the bot's command, of ductor-service
	Caller string   // the PATH that we were called with
	// Keep says that Caller is no shell's PATH but what stands in a definition:
	// all of it stays that is still there. Without it only folders stay that have
	// a program in them that bots need.
	Keep bool
}

// Variables are the ones that move the folders of version managers. They are
// set by a shell, so a service has them only if its definition says them.
var Variables = []string{
	"ASDF_DATA_DIR", "BUN_INSTALL", "CARGO_HOME", "DENO_INSTALL", "FNM_DIR", "MISE_DATA_DIR", "NVM_DIR", "PIPX_BIN_DIR",
	"PYENV_ROOT", "UV_TOOL_BIN_DIR", "VOLTA_HOME", "XDG_BIN_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
}

// Folder is one of PATH, and why it is there, in a few words.
type Folder struct{ Path, Why string }

// programs are those whose folders are worth to be kept from a shell's PATH:
// the AI CLIs, what they start all the time, what upgrades a bot. The shims of
// asdf need asdf itself (since its version 0.16).
var programs = []string{"claude", "codex", "gemini", "node", "git", "uv", "pipx", "docker", "asdf"}

// system are the folders that any program may expect, in an order that lets
// what was installed later come first.
var system = []string{"/home/linuxbrew/.linuxbrew/bin", "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin", "/snap/bin"}

// homebrew is its place on Apple silicon; on Intel it is /usr/local.
var homebrew = []string{"/opt/homebrew/bin", "/opt/homebrew/sbin"}

// Path is the value for PATH.
func (r Recipe) Path() string { return strings.Join(r.Folders(), r.separator()) }

// Folders are existing absolute folders in the order of PATH, each once. On
// Windows those of the caller are not looked at.
func (r Recipe) Folders() []string {
	var paths []string
	for _, f := range r.Explain() {
		paths = append(paths, f.Path)
	}
	return paths
}

// Explain is Folders with reasons. Our own come first; then what the caller has
// before the folders of the system; version managers; the system; what the
// caller has besides. Version managers come before the system even if the
// caller has them behind it: who installs one wants its node, and one that is
// out of use can be told so (nvm alias default system).
func (r Recipe) Explain() []Folder {
	if r.GOOS == "windows" {
		return r.windows()
	}
	managers := r.managers()
	front, last := r.called(managers)
	l := list{recipe: r}
	for _, dir := range r.Own {
		// A package in /usr/bin is no reason to look there before /usr/local/bin.
		if dir = filepath.Clean(dir); !slices.Contains(system, dir) {
			l.add(dir, "its own")
		}
	}
	l.folders(front)
	for _, m := range managers {
		for _, dir := range m.dirs {
			l.add(dir, m.name)
		}
	}
	for _, dir := range r.system() {
		l.add(dir, "the system's")
	}
	l.folders(last)
	return l.done
}

func (r Recipe) system() []string {
	if r.GOOS == "darwin" {
		return append(slices.Clone(homebrew), system...)
	}
	return system
}

// called are the folders that only the caller's PATH knows: those before the
// folders of the system, and those that come last. Among the latter are the
// versions that a version manager has a current one for: what was installed for
// one version only is still found, and hides nothing. Paths are kept as they
// are written, because what a link points to is replaced by upgrades.
func (r Recipe) called(managers []manager) (front, last []Folder) {
	found, behind := map[string]bool{}, false
	for _, dir := range strings.Split(r.Caller, r.separator()) {
		dir = filepath.Clean(dir)
		if !r.usable(dir) || r.passing(dir) {
			continue
		}
		behind = behind || dir == "/usr/bin" || dir == "/bin"
		f := Folder{dir, r.reason(dir, found)}
		switch {
		case f.Why == "" || r.known(managers, dir):
		case behind || r.replaced(managers, dir):
			last = append(last, f)
		default:
			front = append(front, f)
		}
	}
	return front, last
}

// reason says why a folder of the caller stays: a program that no folder before
// has. "" means that it does not stay.
func (r Recipe) reason(dir string, found map[string]bool) string {
	var has []string
	for _, p := range programs {
		if !found[p] && executable(filepath.Join(dir, p)) {
			found[p] = true
			has = append(has, p)
		}
	}
	if len(has) == 0 && r.Keep {
		return "from PATH"
	}
	return strings.Join(has, ", ")
}

// known reports whether the recipe has a place for a folder without a caller.
func (r Recipe) known(managers []manager, dir string) bool {
	return slices.Contains(r.system(), dir) ||
		slices.ContainsFunc(managers, func(m manager) bool { return slices.Contains(m.dirs, dir) })
}

// replaced reports whether a folder is of one version, and its manager has a
// folder that follows upgrades.
func (r Recipe) replaced(managers []manager, dir string) bool {
	return slices.ContainsFunc(managers, func(m manager) bool {
		return m.root != "" && below(dir, m.root) && slices.ContainsFunc(m.dirs, r.usable)
	})
}

// windows leaves PATH as it is: it comes from the registry at each start, and
// what is missing may be on a drive that is about to come.
func (r Recipe) windows() []Folder {
	l := list{recipe: r}
	for _, dir := range r.Own {
		// A package in /usr/bin is no reason to look there before /usr/local/bin.
		if dir = filepath.Clean(dir); !slices.Contains(system, dir) {
			l.add(dir, "its own")
		}
	}
	for _, dir := range strings.Split(r.Caller, r.separator()) {
		if dir != "" {
			l.put(Folder{dir, "from PATH"})
		}
	}
	appData := r.Getenv("APPDATA")
	for _, f := range []Folder{
		{filepath.Join(appData, "npm"), "npm"},
		{filepath.Join(r.Getenv("LOCALAPPDATA"), "Volta", "bin"), "volta"},
		{filepath.Join(r.Home, ".local", "bin"), "uv, pipx"},
		{filepath.Join(r.Home, ".bun", "bin"), "bun"},
		{filepath.Join(cmp.Or(r.Getenv("FNM_DIR"), filepath.Join(appData, "fnm")), "aliases", "default"), "fnm"},
		{filepath.Clean(r.Getenv("NVM_SYMLINK")), "nvm"},
	} {
		l.add(f.Path, f.Why)
	}
	return l.done
}

func (r Recipe) separator() string {
	if r.GOOS == "windows" {
		return ";"
	}
	return ":"
}

// list collects folders, each once.
type list struct {
	recipe Recipe
	done   []Folder
}

// add adds a folder that can be used.
func (l *list) add(dir, why string) {
	if l.recipe.usable(dir) {
		l.put(Folder{dir, why})
	}
}

func (l *list) folders(all []Folder) {
	for _, f := range all {
		l.put(f)
	}
}

func (l *list) put(f Folder) {
	same := func(o Folder) bool {
		return o.Path == f.Path || l.recipe.GOOS == "windows" && strings.EqualFold(o.Path, f.Path)
	}
	if !slices.ContainsFunc(l.done, same) {
		l.done = append(l.done, f)
	}
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
