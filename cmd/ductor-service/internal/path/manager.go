package path

import (
	"cmp"
	"path/filepath"
	"slices"
)

// manager is a program that installs others into the user's home, and the
// folders in which the current version of all is found.
type manager struct {
	name string
	root string // versions lie below it; "" if there are none
	dirs []string
}

// managers are looked for where their variable says, or else where they are by
// default. Their folders follow what is installed, or are chosen anew at each
// start.
func (r Recipe) managers() []manager {
	data := r.folder("XDG_DATA_HOME", ".local", "share")
	volta, asdf, pyenv := r.folder("VOLTA_HOME", ".volta"), r.folder("ASDF_DATA_DIR", ".asdf"), r.folder("PYENV_ROOT", ".pyenv")
	mise := cmp.Or(r.variable("MISE_DATA_DIR"), filepath.Join(data, "mise"))
	fnm := r.fnm(data)
	return []manager{
		// uv's reference, "Executable directory"; the installers of claude and pipx use the last one too.
		{"uv, pipx", "", []string{r.variable("UV_TOOL_BIN_DIR"), r.variable("PIPX_BIN_DIR"), r.variable("XDG_BIN_HOME"),
			filepath.Join(data, "..", "bin"), filepath.Join(r.Home, ".local", "bin")}},
		// `claude migrate-installer` put it there, and led an alias of the shell to it.
		{"claude", "", []string{filepath.Join(r.Home, ".claude", "local")}},
		{"volta", volta, []string{filepath.Join(volta, "bin")}},
		{"asdf", asdf, []string{filepath.Join(asdf, "shims"), filepath.Join(asdf, "bin")}},
		{"mise", mise, []string{filepath.Join(mise, "shims")}},
		// A link that `fnm default` sets; what a shell has is a link of that shell.
		{"fnm", fnm, []string{filepath.Join(fnm, "aliases", "default", "bin")}},
		{"pyenv", pyenv, []string{filepath.Join(pyenv, "shims"), filepath.Join(pyenv, "bin")}},
		{"bun", "", []string{filepath.Join(r.folder("BUN_INSTALL", ".bun"), "bin")}},
		{"cargo", "", []string{filepath.Join(r.folder("CARGO_HOME", ".cargo"), "bin")}},
		{"npm", "", []string{filepath.Join(r.Home, ".npm-global", "bin")}}, // npm's manual, "Resolving EACCES permissions errors"
		{"deno", "", []string{filepath.Join(r.folder("DENO_INSTALL", ".deno"), "bin")}},
		r.nvm(),
	}
}

// fnm is its first folder that has a default version: where it is told to have
// it, where it is now, and where older ones had it, on macOS in a third place.
func (r Recipe) fnm(data string) string {
	roots := []string{r.variable("FNM_DIR"), filepath.Join(data, "fnm"), filepath.Join(r.Home, ".fnm")}
	if r.GOOS == "darwin" {
		roots = append(roots, filepath.Join(r.Home, "Library", "Application Support", "fnm"))
	}
	return firstWith(roots, "aliases", "default", "bin")
}

// nvm is its first folder that has versions: in ~/.config since its installer
// honours XDG_CONFIG_HOME, in ~/.nvm without that.
func (r Recipe) nvm() manager {
	roots := []string{r.variable("NVM_DIR"), filepath.Join(r.folder("XDG_CONFIG_HOME", ".config"), "nvm"), filepath.Join(r.Home, ".nvm")}
	root := firstWith(roots, "versions", "node")
	return manager{"nvm", root, []string{nvmDefault(root)}}
}

// variable is an absolute path from the environment; a relative one is as good
// as none (XDG Base Directory Specification).
func (r Recipe) variable(name string) string {
	if dir := r.Getenv(name); filepath.IsAbs(dir) {
		return filepath.Clean(dir)
	}
	return ""
}

// folder is what a variable says, or a folder in the home.
func (r Recipe) folder(name string, inHome ...string) string {
	return cmp.Or(r.variable(name), filepath.Join(append([]string{r.Home}, inHome...)...))
}

// firstWith is the first root that has a folder in it, or "".
func firstWith(roots []string, folder ...string) string {
	i := slices.IndexFunc(roots, func(root string) bool {
		return root != "" && isDir(filepath.Join(append([]string{root}, folder...)...))
	})
	if i < 0 {
		return ""
	}
	return roots[i]
}
