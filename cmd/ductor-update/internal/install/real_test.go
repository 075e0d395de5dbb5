package install

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
)

// wheel writes ductor-VERSION by hand, as the specification of wheels has it.
func wheel(t *testing.T, dir, version string) string {
	t.Helper()
	info := "ductor-" + version + ".dist-info/"
	files := [][2]string{
		{"ductor_bot/__init__.py", ""},
		{"ductor_bot/__main__.py", "def main(): print('" + version + "')\n"},
		{info + "METADATA", "Metadata-Version: 2.1\nName: ductor\nVersion: " + version + "\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "entry_points.txt", "[console_scripts]\nductor=ductor_bot.__main__:main\n"},
	}
	record := ""
	for _, f := range files {
		sum := sha256.Sum256([]byte(f[1]))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", f[0], base64.RawURLEncoding.EncodeToString(sum[:]), len(f[1]))
	}
	files = append(files, [2]string{info + "RECORD", record + info + "RECORD,,\n"})
	path := filepath.Join(dir, "ductor-"+version+"-py3-none-any.whl")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(out)
	for _, f := range files {
		w, err := z.Create(f[0])
		if err == nil {
			_, err = w.Write([]byte(f[1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// world is a home with real tools; nothing in it reaches a network.
type world struct {
	t     *testing.T
	home  string
	index string // a folder of wheels
	env   []string
}

func newWorld(t *testing.T) *world {
	t.Parallel()
	clitest.Need(t, "python3")
	w := &world{t: t, home: filepath.Join(t.TempDir(), "größe 1")}
	w.index = filepath.Join(w.home, "wheels")
	if err := os.MkdirAll(w.index, 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = []string{"HOME=" + w.home, "PATH=" + w.home + "/.local/bin:/usr/local/bin:/usr/bin:/bin", "PIP_NO_INDEX=1",
		"PIP_FIND_LINKS=file://" + strings.ReplaceAll(w.index, " ", "%20"), "PIP_CONFIG_FILE=/dev/null", "LANG=C.UTF-8"}
	return w
}

func (w *world) getenv(key string) (value string) {
	for _, kv := range w.env {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			value = v
		}
	}
	return value
}

func (w *world) try(argv ...string) (string, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = w.env, w.home
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w *world) run(argv ...string) {
	w.t.Helper()
	if out, err := w.try(argv...); err != nil {
		w.t.Fatalf("%q: %v\n%s", argv, err, out)
	}
}

// do runs a Command, as the upgrade will.
func (w *world) do(c Command, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	w.env = append(w.env, c.Env...)
	w.run(c.Argv...)
}

// venv is a real one, with pip.
func (w *world) venv(name string) (prefix string) {
	w.t.Helper()
	prefix = filepath.Join(w.home, name)
	if out, err := w.try("/usr/bin/python3", "-m", "venv", prefix); err != nil {
		clitest.Lacking(w.t, "venv", "apt-get install python3-venv; "+firstLine(out))
	}
	return prefix
}

func firstLine(s string) string { line, _, _ := strings.Cut(s, "\n"); return line }

func (w *world) find(q Query) Install {
	w.t.Helper()
	q.Package, q.Getenv, q.Root = "ductor", w.getenv, filepath.Join(w.home, "root") // the test may run in a container
	return find(w.t, q)
}

func (w *world) expect(in Install, mode Mode, version string) {
	w.t.Helper()
	if in.Mode != mode || in.Version != version {
		w.t.Errorf("%s %s, not %s %s\n%+v", in.Mode, in.Version, mode, version, in)
	}
}

func TestRealVenv(t *testing.T) {
	w := newWorld(t)
	prefix := w.venv("my venv")
	pip := []string{prefix + "/bin/python", "-m", "pip", "install", "-q"}
	wheel(t, w.index, "1.0")
	w.run(append(pip, "ductor")...)
	bin := filepath.Join(w.home, ".local/bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../my venv/bin/ductor", filepath.Join(bin, "ductor")); err != nil {
		t.Fatal(err)
	}
	in := w.find(Query{})
	w.expect(in, Venv, "1.0")
	want, _ := w.try(in.Python, "-c", "import sys, platform; print(sys.prefix, platform.python_version())")
	if got := in.Prefix + " " + in.PythonVersion + "\n"; got != want {
		t.Errorf("%q; Python says %q", got, want)
	}

	file := wheel(t, w.index, "1.1")
	w.do(in.Upgrade())
	if v := Version(in); v != "1.1" {
		t.Errorf("after an upgrade: %q", v)
	}
	w.do(in.Exact("1.0"))
	if v := Version(in); v != "1.0" {
		t.Errorf("after going back: %q", v)
	}
	w.run(append(pip, "file://"+strings.ReplaceAll(file, " ", "%20"))...)
	w.expect(w.find(Query{}), Local, "1.1")
}

// backend builds a wheel of a source tree without setuptools, which not every
// venv has.
const backend = `
import zipfile
def build_wheel(out, config_settings=None, metadata_directory=None):
    name, info = "ductor-3.0-py3-none-any.whl", "ductor-3.0.dist-info/"
    with zipfile.ZipFile(out + "/" + name, "w") as z:
        z.writestr("ductor_bot.py", "def main(): pass")
        z.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: ductor\nVersion: 3.0\n")
        z.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(info + "entry_points.txt", "[console_scripts]\nductor=ductor_bot:main\n")
        z.writestr(info + "RECORD", "")
    return name
build_editable = build_wheel
`

// TestRealSourceTree installs a folder, as it is and editable.
func TestRealSourceTree(t *testing.T) {
	w := newWorld(t)
	prefix := w.venv("v")
	src := filepath.Join(w.home, "src")
	if err := os.MkdirAll(src, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"backend.py": backend,
		"pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	q := Query{Python: prefix + "/bin/python"}
	w.run(q.Python, "-m", "pip", "install", "-q", src)
	w.expect(w.find(q), Local, "3.0")
	w.run(q.Python, "-m", "pip", "install", "-q", "--force-reinstall", "--editable", src)
	w.expect(w.find(q), Dev, "3.0")
}

func TestRealPipx(t *testing.T) {
	w := newWorld(t)
	if _, err := exec.LookPath("pipx"); err != nil {
		clitest.Lacking(t, "pipx", "apt-get install pipx")
	}
	w.env = append(w.env, "PIPX_HOME="+w.home+"/other place", "PIPX_BIN_DIR="+w.home+"/.local/bin")
	wheel(t, w.index, "1.0")
	if out, err := w.try("pipx", "install", "--pip-args=--no-index", "ductor"); err != nil {
		if strings.Contains(out, "ensurepip") {
			clitest.Lacking(t, "venv", "apt-get install python3-venv")
		}
		t.Fatalf("%v\n%s", err, out)
	}
	bare := w.env
	for i, kv := range bare { // U8: a service does not have these
		if strings.HasPrefix(kv, "PIPX_") {
			bare[i] = "IGNORED=1"
		}
	}
	in := w.find(Query{})
	w.expect(in, Pipx, "1.0")
	if in.Tool != "ductor" || in.Installer == "" || !in.Sources.NoIndex {
		t.Errorf("%+v", in)
	}
	wheel(t, w.index, "1.1")
	w.do(in.Upgrade())
	if v := Version(in); v != "1.1" {
		t.Errorf("after an upgrade: %q", v)
	}
	w.do(in.Exact("1.0"))
	w.expect(w.find(Query{}), Pipx, "1.0")
	w.do(in.Upgrade()) // no pin was left behind
	w.expect(w.find(Query{}), Pipx, "1.1")
}

// TestRealDistro: pipx itself is a package of Debian.
func TestRealDistro(t *testing.T) {
	if out, err := exec.Command("dpkg", "-S", "/usr/bin/pipx").CombinedOutput(); err != nil {
		clitest.Lacking(t, "pipx", "apt-get install pipx, on Debian; "+firstLine(string(out)))
	}
	in := find(t, Query{Package: "pipx", Program: "/usr/bin/pipx", Root: t.TempDir(), Getenv: func(string) string { return "" }})
	if in.Mode != Distro || in.Version == "0.0.0" || in.Python != "/usr/bin/python3" {
		t.Errorf("%+v", in)
	}
}
