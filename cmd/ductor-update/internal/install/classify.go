package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ductor/internal/common/atomicfile"
)

// describe goes through the modes; the first that applies wins. The order is
// the point: an editable install in a pipx environment is a source tree, and a
// container is a container however its image was made.
func (f *finder) describe() {
	for _, try := range []func() bool{
		f.container, f.store, f.missing, f.source, f.conda, f.pipx, f.uvTool, f.ephemeral, f.distro, f.virtual, f.managed,
	} {
		if try() {
			return
		}
	}
	f.plainPip()
}

// refuse is the end of a mode that cannot be upgraded.
func (f *finder) refuse(m Mode, fix, format string, args ...any) bool {
	f.in.Mode, f.in.Upgradeable, f.in.Fix, f.in.Reason = m, false, fix, fmt.Sprintf(format, args...)
	return true
}

func (f *finder) container() bool {
	why := ""
	for _, sign := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Lstat(f.system(sign)); err == nil {
			why = sign + " is there"
		}
	}
	if f.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		why = "KUBERNETES_SERVICE_HOST is set"
	}
	return why != "" && f.refuse(Docker, "docker pull IMAGE, and start the container anew",
		"it runs in a container (%s), and an upgrade would be lost with it", why)
}

// store is for packages whose scripts are not Python: Nix wraps them in shell.
func (f *finder) store() bool {
	for _, path := range []string{f.resolved, f.in.SitePackages} {
		parts := strings.Split(filepath.ToSlash(f.logical(path)), "/")
		cellar := slices.Index(parts, "Cellar")
		switch {
		case len(parts) < 3:
		case parts[1] == "nix" && parts[2] == "store":
			return f.refuse(Distro, "nix profile upgrade "+f.Package, "Nix installed it")
		case parts[1] == "gnu" && parts[2] == "store":
			return f.refuse(Distro, "guix upgrade "+f.Package, "Guix installed it")
		case parts[1] == "snap":
			return f.refuse(Distro, "snap refresh "+f.Package, "it is a snap")
		case cellar > 0 && cellar+1 < len(parts) && normal(formula(parts[cellar+1])) == normal(f.Package):
			return f.refuse(Distro, "brew upgrade "+f.Package, "Homebrew installed it")
		}
	}
	return false
}

// formula is the name without the @1.2 of a versioned one.
func formula(s string) string { name, _, _ := strings.Cut(s, "@"); return name }

func (f *finder) missing() bool {
	switch {
	case f.found:
		return false
	case f.in.Program == "" && f.in.Python == "":
		return f.refuse(None, "pipx install "+f.Package, "no program %q is on PATH", f.Program)
	case f.in.Python == "":
		return f.refuse(None, "ductor-update mode --python /path/to/venv/bin/python",
			"which Python runs %q is unknown: %s", f.in.Program, f.why)
	case f.Python != "":
		return f.refuse(None, f.in.Python+" -m pip install "+f.Package,
			"%q is not installed for %q", f.Package, f.in.Python)
	}
	return f.refuse(Dev, "git pull", "%q runs, but %q was never installed for %q: it is a source tree",
		f.in.Program, f.Package, f.in.Python)
}

// source is for what did not come from an index: an upgrade from there would
// replace somebody's own code.
func (f *finder) source() bool {
	f.in.Source = f.dist.direct.url
	switch {
	case f.dist.linked, f.dist.direct.kind == editable:
		return f.refuse(Dev, "git pull", "it is installed as a source tree (editable)")
	case f.dist.egg && !f.debian():
		return f.refuse(Dev, f.in.Python+" -m pip install --force-reinstall "+f.Package+" (if it came from an index)",
			"setup.py installed it, which leaves no record of where it came from")
	case f.dist.direct.kind == fromFile && f.in.Source == "":
		return f.refuse(Local, "install it again, from where it came",
			"it did not come from an index: it has a direct_url.json, which cannot be understood")
	case f.dist.direct.kind == fromFile:
		return f.refuse(Local, "install it again, from where it came", "it was installed from %q, not from an index", f.in.Source)
	case f.dist.direct.kind != fromVCS || f.has("pipx_metadata.json") || f.has("uv-receipt.toml"):
		return false
	}
	return f.refuse(VCS, f.in.Python+" -m pip install --upgrade "+quote("git+"+strings.TrimPrefix(f.in.Source, "git+")),
		"it was installed from version control (%q), not from an index", f.in.Source)
}

func (f *finder) has(name string) bool {
	_, err := os.Lstat(filepath.Join(f.in.Prefix, name))
	return f.in.Prefix != "" && err == nil
}

// read is a file of the prefix. What is there and cannot be read counts as
// empty, with a warning: the mode is known by its being there.
func (f *finder) read(name string, parse func([]byte) error) bool {
	path := filepath.Join(f.in.Prefix, name)
	data, err := atomicfile.Read(path, maxSettings)
	if f.in.Prefix == "" || errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil {
		err = parse(data)
	}
	if err != nil {
		f.in.Warnings = append(f.in.Warnings, fmt.Sprintf("%q cannot be understood: %q", path, reason(err)))
	}
	return true
}

var condaRecord = pattern(`\A(.+)-[^-]+-[^-]+\.json\z`)

func (f *finder) conda() bool {
	for _, name := range listNames(filepath.Join(f.in.Prefix, "conda-meta")) {
		if m := condaRecord().FindStringSubmatch(name); m != nil && normal(m[1]) == normal(f.Package) {
			return f.refuse(Conda, "conda update --prefix "+quote(f.in.Prefix)+" "+f.Package, "conda installed it")
		}
	}
	return f.dist.installer == "conda" && f.refuse(Conda, "conda update "+f.Package, "conda installed it")
}

func (f *finder) pipx() bool {
	var data pipxData
	if !f.env.venv || !f.read("pipx_metadata.json", func(b []byte) (err error) { data, err = parsePipx(b); return err }) {
		return false
	}
	venvs := filepath.Dir(f.in.Prefix)
	if filepath.Base(venvs) != "venvs" { // the cache of pipx run
		return f.refuse(Uvx, "pipx install "+f.Package, "it runs from an environment that pipx made for one run")
	}
	own, injected := data.Main, false
	if own.Package != "" && normal(own.Package) != normal(f.Package) {
		if own, injected = data.injected(f.Package); !injected {
			return f.refuse(Pipx, "pipx upgrade "+filepath.Base(f.in.Prefix),
				"%q is a dependency of %q, which pipx installed", f.Package, data.Main.Package)
		}
	}
	for name := range data.Injected {
		f.in.Injected = append(f.in.Injected, name)
	}
	slices.Sort(f.in.Injected)
	_, f.in.Specifier = parseRequirement(own.Spec)
	f.in.Suffix, f.in.Sources, f.in.inject = data.Main.Suffix, parseArgs(own.Args), injected
	f.pipxCommand(filepath.Dir(venvs))
	f.setPinned(data.Main.Pinned || own.Pinned)
	return true
}

// pipxCommand: a service does not have PIPX_HOME, and pipx would then look
// elsewhere and know nothing of the package.
func (f *finder) pipxCommand(home string) {
	f.in.Mode, f.in.Upgradeable, f.in.Tool = Pipx, true, filepath.Base(f.in.Prefix)
	f.in.Installer = f.which("pipx")
	f.in.Global = filepath.Clean(f.logical(home)) == filepath.FromSlash("/opt/pipx")
	f.in.env = []string{"PIPX_HOME=" + home}
	if dir := f.exposed(); dir != "" {
		f.in.env = append(f.in.env, "PIPX_BIN_DIR="+dir)
	}
	if f.in.hasPip = f.canPip(); !f.in.hasPip {
		f.in.uv = f.which("uv")
	}
}

// exposed is the folder outside of the environment in which the installer
// put the program, a link or on Windows a copy.
func (f *finder) exposed() string {
	dir := filepath.Dir(f.in.Program)
	if f.in.Program == "" || dir == filepath.Join(f.in.Prefix, f.bin()) {
		return ""
	}
	if f.Program != f.Package && filepath.Base(f.Program) != f.Program {
		return "" // a path that somebody typed says nothing
	}
	return dir
}

func (f *finder) setPinned(byInstaller bool) {
	switch {
	case byInstaller:
		f.in.Pinned = true
		f.in.Reason, f.in.Fix = "it is pinned: the installer leaves it as it is", "pipx unpin "+f.in.Tool
	case pins(f.in.Specifier):
		f.in.Pinned = true
		f.in.Reason = fmt.Sprintf("it was installed as %q, and an upgrade stays in that", f.Package+f.in.Specifier)
		f.in.Fix = "pipx install --force " + f.Package
		if f.in.Mode == UvTool {
			f.in.Fix = "uv tool install --force " + f.Package
		}
	}
}

func (f *finder) uvTool() bool {
	var r receipt
	if !f.env.venv || !f.read("uv-receipt.toml", func(b []byte) (err error) { r, err = parseReceipt(b); return err }) {
		return false
	}
	f.in.Mode, f.in.Upgradeable, f.in.Tool = UvTool, true, filepath.Base(f.in.Prefix)
	f.in.Installer, f.in.Specifier, f.in.Sources = f.which("uv"), r.specifier(f.Package), r.sources
	f.in.env = []string{"UV_TOOL_DIR=" + filepath.Dir(f.in.Prefix)}
	if r.binDir == "" {
		r.binDir = f.exposed()
	}
	if r.binDir != "" {
		f.in.env = append(f.in.env, "UV_TOOL_BIN_DIR="+r.binDir)
	}
	f.in.hasPip = f.canPip()
	f.setPinned(false)
	return true
}

var bucket = pattern(`\A(?:archive|environments|builds)-v[0-9]+\z`)

// ephemeral is uv's cache: what is changed in it is changed for others, too.
func (f *finder) ephemeral() bool {
	paths := []string{f.in.Prefix}
	if real, err := filepath.EvalSymlinks(f.in.Prefix); err == nil {
		paths = append(paths, real)
	}
	for _, p := range paths {
		if f.env.venv && slices.ContainsFunc(strings.Split(filepath.ToSlash(p), "/"), bucket().MatchString) {
			return f.refuse(Uvx, "uv tool install "+f.Package, "it runs from the cache of uv (uvx)")
		}
	}
	return false
}

// distro: Debian's own packages are in dist-packages; below local is what pip
// put there. Others sign INSTALLER.
func (f *finder) distro() bool {
	debian := f.debian()
	signed := slices.Contains([]string{"rpm", "dpkg", "debian", "apk", "pacman", "portage", "xbps"}, f.dist.installer)
	if !debian && !signed {
		return false
	}
	fix := "apt-get install --only-upgrade PACKAGE (dpkg -S " + quote(f.in.DistInfo) + " names it)"
	if !debian {
		fix = "upgrade it with the package manager of this system"
	}
	return f.refuse(Distro, fix, "the distribution's package manager installed it")
}

func (f *finder) debian() bool {
	site := filepath.ToSlash(f.logical(f.in.SitePackages))
	return strings.HasSuffix(site, "/dist-packages") && !strings.Contains(site, "/local/")
}

func (f *finder) virtual() bool {
	if !f.env.venv {
		return false
	}
	f.in.Mode, f.in.Upgradeable, f.in.hasPip = Venv, true, f.canPip()
	if f.in.hasPip {
		return true
	}
	if f.in.Installer = f.which("uv"); f.in.Installer != "" {
		f.in.Mode = UvPip
		return true
	}
	if f.env.uv {
		return f.refuse(UvPip, "install uv: it made this environment, which has no pip", "uv is not on PATH")
	}
	return f.refuse(Venv, f.in.Python+" -m ensurepip", "its environment has no pip, and uv is not on PATH")
}

// canPip reports whether the environment can import pip; pipx lends its own by
// a .pth file.
func (f *finder) canPip() bool {
	for _, e := range f.environments(f.in.Python) {
		for _, s := range e.sites {
			if isFile(filepath.Join(s.dir, "pip", "__init__.py")) || isFile(filepath.Join(s.dir, "pipx_shared.pth")) {
				return true
			}
		}
	}
	return false
}

// managed is PEP 668. There is a way around it, which breaks systems: never.
func (f *finder) managed() bool {
	return isFile(filepath.Join(f.stdlib(f.env), "EXTERNALLY-MANAGED")) && f.refuse(Managed, "pipx install "+f.Package,
		"the Python %q is managed by the system, and pip may not change it", f.in.Python)
}

func (f *finder) plainPip() {
	f.in.Mode, f.in.Upgradeable, f.in.hasPip = PlainPip, true, f.canPip()
	if f.in.hasPip {
		return
	}
	f.refuse(PlainPip, f.in.Python+" -m ensurepip", "the Python %q has no pip", f.in.Python)
}
