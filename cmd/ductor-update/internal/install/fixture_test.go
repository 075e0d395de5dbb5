package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

// machine is a tree of files in place of a whole system.
type machine struct {
	t    testing.TB
	root string
	env  map[string]string
	goos string
}

func newMachine(t testing.TB) *machine {
	root := filepath.Join(t.TempDir(), "größe 1")
	m := &machine{t: t, root: root, goos: "linux"}
	m.env = map[string]string{"HOME": m.path("/home/u"), "PATH": m.path("/home/u/.local/bin") + string(os.PathListSeparator) + m.path("/usr/bin")}
	return m
}

func (m *machine) path(p string) string { return filepath.Join(m.root, p) }

// file writes a file; ROOT in its content is the root's path.
func (m *machine) file(path, content string) string {
	m.t.Helper()
	full := m.path(path)
	perm := os.FileMode(0o644)
	if dir := filepath.Base(filepath.Dir(full)); dir == "bin" || dir == "Scripts" {
		perm = 0o755
	}
	content = strings.ReplaceAll(content, "ROOT", m.root)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), perm); err != nil {
		m.t.Fatal(err)
	}
	return full
}

func (m *machine) link(path, to string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(path)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Symlink(to, m.path(path)); err != nil {
		m.t.Fatal(err)
	}
}

// python is an interpreter with a standard library.
func (m *machine) python(prefix, version string) {
	m.file(prefix+"/bin/python"+version, "ELF")
	m.link(prefix+"/bin/python3", "python"+version)
	m.file(prefix+"/lib/python"+version+"/os.py", "")
	m.file(prefix+"/lib/python"+version+"/site-packages/pip/__init__.py", "")
}

const metadata = "Metadata-Version: 2.1\nName: ductor\nVersion: %s\n\nVersion: 9\n"

func (m *machine) dist(site, version string) string {
	d := site + "/ductor-" + version + ".dist-info"
	m.file(d+"/METADATA", strings.ReplaceAll(metadata, "%s", version))
	m.file(d+"/INSTALLER", "pip\n")
	return d
}

// venv is an environment with the program and its link in ~/.local/bin.
func (m *machine) venv(prefix, version string) (distInfo string) {
	m.file(prefix+"/pyvenv.cfg", "home = ROOT/usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n")
	m.file(prefix+"/bin/python", "ELF")
	m.file(prefix+"/bin/ductor", "#!/bin/sh\n'''exec' \""+m.path(prefix)+"/bin/python\" \"$0\" \"$@\"\n' '''\n")
	m.link("/home/u/.local/bin/ductor", m.path(prefix+"/bin/ductor"))
	return m.dist(prefix+"/lib/python3.11/site-packages", version)
}

func (m *machine) query() Query {
	return Query{Package: "ductor", Root: m.root, GOOS: m.goos, Getenv: func(k string) string { return m.env[k] }}
}

func (m *machine) find() Install {
	m.t.Helper()
	return find(m.t, m.query())
}

func find(t testing.TB, q Query) Install {
	t.Helper()
	type answer struct {
		in  Install
		err error
	}
	done := make(chan answer, 1)
	go func() {
		in, err := Find(q)
		done <- answer{in, err}
	}()
	select {
	case a := <-done:
		if a.err != nil {
			t.Fatal(a.err)
		}
		consistent(t, a.in)
		return a.in
	case <-time.After(clitest.Patience):
		t.Fatal("Find hangs")
		return Install{}
	}
}

// consistent is what holds for every answer.
func consistent(t testing.TB, in Install) {
	t.Helper()
	if in.Upgradeable != (in.Class != ClassDev) || in.Mode == "" || !isVersion(in.Version) {
		t.Errorf("%+v", in)
	}
	if !in.Upgradeable && (in.Reason == "" || in.Fix == "") {
		t.Errorf("no reason, or nothing to type: %+v", in)
	}
	if _, err := in.Upgrade(); in.Upgradeable == (err != nil) && in.Installer == "" && in.Mode != Pipx && in.Mode != UvTool {
		t.Errorf("%v for %+v", err, in)
	}
	if Version(in) != in.Version {
		t.Errorf("Version says %q, not %q", Version(in), in.Version)
	}
}

func (m *machine) want(mode Mode, upgradeable bool, words ...string) Install {
	m.t.Helper()
	in := m.find()
	if in.Mode != mode || in.Upgradeable != upgradeable {
		m.t.Errorf("mode %s, upgradeable %v; want %s, %v\n%+v", in.Mode, in.Upgradeable, mode, upgradeable, in)
	}
	for _, w := range words {
		if !strings.Contains(in.Reason+"\n"+in.Fix, w) {
			m.t.Errorf("%q is neither in %q nor in %q", w, in.Reason, in.Fix)
		}
	}
	return in
}
