package install

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
)

// finder collects facts; classify.go decides what they mean.
type finder struct {
	Query
	in       Install
	resolved string // the program with links followed
	why      string // why no interpreter was found
	env      environment
	dist     dist
	found    bool // dist is there
}

func (f *finder) windows() bool { return f.GOOS == "windows" }

// system is a path of the machine, which tests have elsewhere.
func (f *finder) system(path string) string { return filepath.Join(f.Root, path) }

// logical is the contrary of system.
func (f *finder) logical(path string) string {
	if rest, ok := strings.CutPrefix(path, f.Root); ok && f.Root != "" {
		return rest
	}
	return path
}

// locate finds program, interpreter, environment and dist-info, as far as they
// are there.
func (f *finder) locate() error {
	f.in.Program = f.which(f.Program)
	if f.in.Program != "" {
		f.resolved = f.in.Program
		if r, err := filepath.EvalSymlinks(f.in.Program); err == nil {
			f.resolved = r
		}
	}
	if f.Python != "" {
		python := f.which(f.Python)
		if python == "" {
			return exitcode.Errorf(exitcode.Unavailable, "there is no interpreter %q", f.Python).
				WithHint("give the path of a Python: --python /path/to/venv/bin/python")
		}
		f.look(f.unshim(python))
		f.ownProgram()
		return nil
	}
	if f.in.Program != "" {
		if python := f.interpreter(); python != "" {
			f.look(python)
		}
		return nil
	}
	f.guess()
	return nil
}

// ownProgram drops a program on PATH that is another environment's than the
// one that was asked for.
func (f *finder) ownProgram() {
	if inside(f.in.Prefix, f.resolved) {
		return
	}
	f.in.Program = filepath.Join(f.in.Prefix, f.bin(), f.exe(f.Program))
	if f.resolved = f.in.Program; !f.executable(f.in.Program) {
		f.in.Program, f.resolved = "", ""
	}
}

func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && path != "" && filepath.IsLocal(rel)
}

// guess is for packages without a script: the active environment and the
// first Python on PATH, if they have the package.
func (f *finder) guess() {
	var pythons []string
	if venv := f.Getenv("VIRTUAL_ENV"); filepath.IsAbs(venv) {
		pythons = append(pythons, filepath.Join(venv, f.bin(), f.exe("python")))
	}
	for _, name := range []string{"python3", "python"} {
		if p := f.which(name); p != "" {
			pythons = append(pythons, p)
		}
	}
	for _, p := range pythons {
		if f.look(f.unshim(p)); f.found {
			return
		}
	}
	f.env, f.in.Python, f.in.Prefix, f.in.PythonVersion, f.in.SitePackages = environment{}, "", "", "", ""
}

// look takes the first environment of the interpreter that has the package: a
// venv may see its base's packages too.
func (f *finder) look(python string) {
	envs := f.environments(python)
	f.env = envs[0]
	for _, e := range envs {
		for _, s := range e.sites {
			if d, ok := findDist(s.dir, f.Package); ok && !f.found {
				f.env, f.dist, f.found = e, d, true
				f.in.SitePackages, f.in.User = s.dir, s.user
			}
		}
	}
	f.in.Python, f.in.Prefix, f.in.PythonVersion = f.env.python, f.env.prefix, f.env.version
	if f.in.SitePackages == "" && len(f.env.sites) > 0 {
		f.in.SitePackages = f.env.sites[0].dir
	}
	if f.found {
		f.in.Version, f.in.DistInfo, f.in.Warnings = f.dist.version, f.dist.path, f.dist.warnings
	}
}

func (f *finder) bin() string {
	if f.windows() {
		return "Scripts"
	}
	return "bin"
}

func (f *finder) exe(name string) string {
	if f.windows() && !strings.HasSuffix(strings.ToLower(name), ".exe") {
		return name + ".exe"
	}
	return name
}

// which finds a program as a shell does, and where installers put programs: a
// service and a timer have a bare PATH. A name with a slash is a path.
func (f *finder) which(name string) string {
	if filepath.Base(name) != name {
		if abs, err := filepath.Abs(name); err == nil && f.executable(abs) {
			return abs
		}
		return ""
	}
	dirs := filepath.SplitList(f.Getenv("PATH"))
	if home := f.home(); home != "" {
		dirs = append(dirs, filepath.Join(home, ".local", "bin"), filepath.Join(home, ".cargo", "bin"))
	}
	if !f.windows() {
		dirs = append(dirs, f.system("/usr/local/bin"), f.system("/opt/homebrew/bin"))
	}
	for _, dir := range dirs {
		if path := filepath.Join(dir, f.exe(name)); filepath.IsAbs(dir) && f.executable(path) {
			return path
		}
	}
	return ""
}

func (f *finder) home() string {
	for _, key := range []string{"HOME", "USERPROFILE"} {
		if dir := f.Getenv(key); filepath.IsAbs(dir) {
			return dir
		}
	}
	return ""
}

func (f *finder) executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && (f.windows() || info.Mode()&0o111 != 0)
}

// Sizes in bytes of what is read; the real files are far smaller.
const (
	maxLauncher = 4 << 20
	maxScript   = 8 << 10
	maxSettings = 1 << 20
)

// interpreter is the Python that the program is run by, or "" and why.
func (f *finder) interpreter() string {
	if python := f.named(f.resolved); python != "" {
		return python
	}
	if to := f.unshim(f.resolved); to != f.resolved {
		f.resolved = to
		if python := f.named(to); python != "" {
			return python
		}
	}
	// What cannot be read may still lie in an environment's own folder.
	dir := filepath.Dir(f.resolved)
	python := filepath.Join(dir, f.exe("python"))
	if isFile(filepath.Join(filepath.Dir(dir), "pyvenv.cfg")) && f.executable(python) {
		return python
	}
	return ""
}

// named is the interpreter that a launcher names.
func (f *finder) named(program string) string {
	head, err := readHead(program, maxScript)
	if err != nil {
		f.why = "it cannot be read: " + reason(err)
		return ""
	}
	var l launcher
	var ok bool
	if strings.HasPrefix(string(head), "MZ") {
		data, _ := atomicfile.Read(program, maxLauncher)
		l, ok = parseExe(data)
	} else {
		l, ok = parseScript(head)
	}
	if !ok {
		f.why = "it is not a Python script"
		return ""
	}
	return f.follow(l, program)
}

func (f *finder) follow(l launcher, program string) string {
	path := l.python
	switch {
	case l.beside:
		path = filepath.Join(filepath.Dir(program), l.python)
	case l.search:
		if path = f.which(l.python); path != "" {
			path = f.unshim(path)
		}
	}
	if path == "" || !filepath.IsAbs(path) || !f.executable(path) {
		f.why = "its interpreter " + quote(l.python) + " is not there"
		return ""
	}
	return filepath.Clean(path)
}

// unshim is what a pyenv shim leads to: the first version in the root's own
// version file that has the program. Anything else is returned as it is.
func (f *finder) unshim(program string) string {
	dir := filepath.Dir(program)
	if filepath.Base(dir) != "shims" {
		return program
	}
	root := filepath.Dir(dir)
	wanted := strings.Split(f.Getenv("PYENV_VERSION"), ":")
	data, _ := atomicfile.Read(filepath.Join(root, "version"), maxScript)
	for _, v := range append(wanted, strings.Fields(string(data))...) {
		path := filepath.Join(root, "versions", v, "bin", filepath.Base(program))
		if v != "" && filepath.Base(v) == v && v != ".." && f.executable(path) {
			return path
		}
	}
	return program
}

// readHead returns up to n bytes of a regular file of any size.
func readHead(path string, n int) ([]byte, error) {
	file, err := atomicfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	buf := make([]byte, n)
	got := 0
	for got < n {
		m, err := file.Read(buf[got:])
		if got += m; err != nil || m == 0 {
			break
		}
	}
	return buf[:got], nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// reason is an error without the path, which the message has already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	if errors.Is(err, atomicfile.ErrNoFile) {
		return atomicfile.ErrNoFile.Error()
	}
	return err.Error()
}

var separators = pattern(`[-_.]+`)

// normal is the form of PEP 503 in which two names of a package are equal.
func normal(name string) string {
	return strings.ToLower(separators().ReplaceAllString(name, "-"))
}

func listNames(dir string) []string {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	found, _ := d.Readdirnames(-1)
	slices.Sort(found)
	return found
}
