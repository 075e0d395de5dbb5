package install

import (
	"path/filepath"
	"strings"

	"ductor/internal/common/atomicfile"
)

// environment is a prefix with its folders of packages, in the order of
// sys.path.
type environment struct {
	python  string
	prefix  string
	base    string // prefix of the installation that has the standard library
	version string // 3.11.2 or 3.11 or ""
	venv    bool
	uv      bool // made by uv
	sites   []site
}

type site struct {
	dir  string
	user bool
}

// environments returns what an interpreter sees: its own environment, and the
// base's if a venv was made so.
func (f *finder) environments(python string) []environment {
	for _, prefix := range []string{filepath.Dir(filepath.Dir(python)), filepath.Dir(python)} {
		// Python itself looks in these two folders.
		data, err := atomicfile.Read(filepath.Join(prefix, "pyvenv.cfg"), maxSettings)
		if err != nil {
			continue
		}
		cfg := parseCfg(data)
		v := f.venv(python, prefix, cfg)
		if cfg["include-system-site-packages"] == "true" {
			return []environment{v, f.plain(f.basePython(cfg, python))}
		}
		return []environment{v}
	}
	return []environment{f.plain(python)}
}

// parseCfg reads pyvenv.cfg as Python's site does: keys in lower case, values
// without the spaces around them, no sections. Values of true are in lower case.
func parseCfg(data []byte) map[string]string {
	cfg := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(line, "="); ok {
			cfg[strings.ToLower(strings.TrimSpace(k))] = strings.TrimSpace(v)
		}
	}
	if v, ok := cfg["include-system-site-packages"]; ok {
		cfg["include-system-site-packages"] = strings.ToLower(v)
	}
	return cfg
}

func (f *finder) venv(python, prefix string, cfg map[string]string) environment {
	e := environment{python: python, prefix: prefix, venv: true, uv: cfg["uv"] != ""}
	e.version = plainVersion(cfg["version"])
	if e.version == "" {
		e.version = plainVersion(cfg["version_info"]) // virtualenv's, and uv's
	}
	if home := cfg["home"]; filepath.IsAbs(home) {
		e.base = f.prefixOf(home)
	}
	if f.windows() {
		e.sites = []site{{dir: filepath.Join(prefix, "Lib", "site-packages")}}
		return e
	}
	var own, others []site
	for _, lib := range []string{"lib", "lib64"} {
		for _, name := range listNames(filepath.Join(prefix, lib)) {
			s := site{dir: filepath.Join(prefix, lib, name, "site-packages")}
			switch {
			case !isDir(s.dir):
			case minor(e.version) != "" && versionIn(name) == minor(e.version):
				own = append(own, s)
			default:
				others = append(others, s)
			}
		}
	}
	if len(own) == 0 { // a file that is torn or older than the folders
		own = others
		if e.version == "" && len(own) > 0 {
			e.version = versionIn(filepath.Base(filepath.Dir(own[0].dir)))
		}
	}
	e.sites = own
	return e
}

// prefixOf is the prefix of the folder that holds an interpreter.
func (f *finder) prefixOf(dir string) string {
	if name := filepath.Base(dir); name == "bin" || name == "Scripts" {
		return filepath.Dir(dir)
	}
	return dir // Windows, and conda there
}

func (f *finder) basePython(cfg map[string]string, python string) string {
	if p := cfg["executable"]; filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(cfg["home"], filepath.Base(python))
}

// plain is an interpreter outside of any venv.
func (f *finder) plain(python string) environment {
	real := python
	if r, err := filepath.EvalSymlinks(python); err == nil {
		real = r
	}
	e := environment{python: python, prefix: f.prefixOf(filepath.Dir(python)), base: f.prefixOf(filepath.Dir(real))}
	e.version = versionIn(filepath.Base(real))
	if e.version == "" {
		e.version = f.onlyVersion(e.base)
	}
	lib := "python" + minor(e.version)
	if full := headerVersion(filepath.Join(e.base, "include", lib, "patchlevel.h")); full != "" {
		e.version = full
	}
	e.sites = append(f.userSites(lib), f.systemSites(e, lib)...)
	return e
}

// onlyVersion is for an interpreter whose name has none: the folder of its
// library, or on Windows its DLL.
func (f *finder) onlyVersion(prefix string) (v string) {
	dir, marker := filepath.Join(prefix, "lib"), "os.py"
	if f.windows() {
		for _, name := range listNames(prefix) {
			if m := dll().FindStringSubmatch(name); m != nil {
				v = "3." + m[1]
			}
		}
		return v
	}
	for _, name := range listNames(dir) {
		if n := versionIn(name); n != "" && isFile(filepath.Join(dir, name, marker)) {
			v = n
		}
	}
	return v
}

func (f *finder) userSites(lib string) (sites []site) {
	add := func(parts ...string) { sites = append(sites, site{dir: filepath.Join(parts...), user: true}) }
	home, v := f.home(), strings.TrimPrefix(lib, "python")
	switch base := f.Getenv("PYTHONUSERBASE"); {
	case f.windows():
		if base == "" {
			base = filepath.Join(f.Getenv("APPDATA"), "Python")
		}
		add(base, "Python"+strings.ReplaceAll(v, ".", ""), "site-packages")
	case filepath.IsAbs(base):
		add(base, "lib", lib, "site-packages")
	case home != "":
		add(home, ".local", "lib", lib, "site-packages")
		if f.GOOS == "darwin" { // what is built as a framework
			add(home, "Library", "Python", v, "lib", "python", "site-packages")
		}
	}
	return sites
}

// systemSites are those of upstream, of Debian (dist-packages; what an
// administrator's pip installs is below local) and of Fedora (lib64).
func (f *finder) systemSites(e environment, lib string) (sites []site) {
	seen := map[string]bool{}
	add := func(parts ...string) {
		if dir := filepath.Join(parts...); !seen[dir] {
			seen[dir] = true
			sites = append(sites, site{dir: dir})
		}
	}
	for _, p := range []string{e.prefix, e.base} {
		if f.windows() {
			add(p, "Lib", "site-packages")
			continue
		}
		for _, l := range []string{"local/lib", "local/lib64", "lib", "lib64"} {
			add(p, l, lib, "site-packages")
			add(p, l, lib, "dist-packages")
			add(p, l, "python3", "dist-packages")
		}
	}
	return sites
}

// stdlib is the folder that PEP 668 has EXTERNALLY-MANAGED in.
func (f *finder) stdlib(e environment) string {
	if f.windows() {
		return filepath.Join(e.base, "Lib")
	}
	return filepath.Join(e.base, "lib", "python"+minor(e.version))
}

var (
	dll      = pattern(`(?i)\Apython3([0-9]{1,2})\.dll\z`)
	inName   = pattern(`\A(?:python|pypy)w?(3\.[0-9]{1,3})t?(?:\.exe)?\z`)
	leading  = pattern(`\A[0-9]{1,3}(?:\.[0-9]{1,3}){1,2}(?:(?:a|b|rc)[0-9]{1,3})?\+?`)
	inHeader = pattern(`(?m)^#define\s+PY_VERSION\s+"([^"\n]{1,64})"`)
)

// versionIn is 3.11 in python3.11.
func versionIn(name string) string {
	if m := inName().FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return ""
}

// plainVersion is 3.11.2 of 3.11.2.final.0, and "" of what is no version.
func plainVersion(s string) string { return strings.TrimSuffix(leading().FindString(s), "+") }

// minor is 3.11 of 3.11.2.
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return ""
	}
	return parts[0] + "." + strings.TrimRightFunc(parts[1], func(r rune) bool { return r < '0' || r > '9' })
}

func headerVersion(path string) string {
	data, err := atomicfile.Read(path, maxSettings)
	if err != nil {
		return ""
	}
	if m := inHeader().FindSubmatch(data); m != nil {
		return plainVersion(string(m[1]))
	}
	return ""
}
