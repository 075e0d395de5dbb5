package install

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ductor/internal/common/exitcode"
)

func TestVenv(t *testing.T) {
	m := newMachine(t)
	m.venv("/srv/my bot/.venv", "0.4.4")
	m.want(Venv, false, "no pip", "ensurepip")
	m.file("/srv/my bot/.venv/lib/python3.11/site-packages/pip/__init__.py", "")
	in := m.want(Venv, true)
	if in.Version != "0.4.4" || in.PythonVersion != "3.11.2" || in.Class != ClassPip || in.Prefix != m.path("/srv/my bot/.venv") {
		t.Errorf("%+v", in)
	}
	if in.Program != m.path("/home/u/.local/bin/ductor") || in.Python != m.path("/srv/my bot/.venv/bin/python") {
		t.Errorf("%+v", in)
	}
	argv(t, in, in.Python, "-m", "pip", "install", "--upgrade", "--no-cache-dir", "--disable-pip-version-check", "--no-input", "ductor")
	if c, err := in.Exact("0.4.3"); err != nil || c.Argv[len(c.Argv)-1] != "ductor==0.4.3" || slices.Contains(c.Argv, "--upgrade") {
		t.Errorf("%v, %v", c, err)
	}
	for _, bad := range []string{"", "1 --pre", "-1", "1\n", "1;x"} {
		if _, err := in.Exact(bad); exitcode.Of(err) != exitcode.Usage {
			t.Errorf("version %q: %v", bad, err)
		}
	}
}

func argv(t *testing.T, in Install, want ...string) Command {
	t.Helper()
	c, err := in.Upgrade()
	if err != nil || !slices.Equal(c.Argv, want) {
		t.Errorf("%q, %v; want %q", c.Argv, err, want)
	}
	return c
}

// TestVersionIsTheTruth: what an installer says is not asked.
func TestVersionIsTheTruth(t *testing.T) {
	m := newMachine(t)
	old := m.venv("/v", "0.4.4")
	in := m.find()
	if err := os.RemoveAll(m.path(old)); err != nil {
		t.Fatal(err)
	}
	if v := Version(in); v != "0.0.0" {
		t.Errorf("nothing is there: %q", v)
	}
	m.dist("/v/lib/python3.11/site-packages", "0.5.0rc1")
	if v := Version(in); v != "0.5.0rc1" {
		t.Error(v)
	}
}

func TestPipx(t *testing.T) {
	const meta = `{"main_package":{"package":"ductor","package_or_url":"ductor","pip_args":["--index-url","http://u:p@h/simple","--pre"],"suffix":"","pinned":false},
		"injected_packages":{"b":{"package":"b"},"a":{"package":"a"}},"pipx_metadata_version":"0.5"}`
	m := newMachine(t)
	m.venv("/data/pipx/venvs/ductor", "0.4.4")
	m.file("/data/pipx/venvs/ductor/pipx_metadata.json", meta)
	in := m.want(Pipx, true)
	if _, err := in.Upgrade(); exitcode.Of(err) != exitcode.Unavailable {
		t.Errorf("without pipx: %v", err)
	}
	pipx := m.file("/usr/bin/pipx", "x")
	in = m.want(Pipx, true)
	if in.Class != ClassPipx || in.Tool != "ductor" || in.Global || in.Pinned || strings.Join(in.Injected, " ") != "a b" {
		t.Errorf("%+v", in)
	}
	if s := in.Sources; s.Index != "http://u:p@h/simple" || !s.Pre {
		t.Errorf("%+v", s)
	}
	if text, _ := json.Marshal(in); strings.Contains(string(text), "u:p@") {
		t.Errorf("a password is printed: %s", text)
	}
	c := argv(t, in, pipx, "upgrade", "--force", "ductor")
	if want := []string{"PIPX_HOME=" + m.path("/data/pipx"), "PIPX_BIN_DIR=" + m.path("/home/u/.local/bin")}; !slices.Equal(c.Env, want) {
		t.Errorf("%q, not %q", c.Env, want)
	}
	if _, err := in.Exact("0.4.3"); exitcode.Of(err) != exitcode.Unavailable {
		t.Errorf("neither pip nor uv: %v", err)
	}
	uv := m.file("/usr/bin/uv", "x")
	if c, err := m.find().Exact("0.4.3"); err != nil || c.Argv[0] != uv {
		t.Errorf("%v, %v", c, err)
	}
	m.file("/data/pipx/venvs/ductor/lib/python3.11/site-packages/pipx_shared.pth", "x")
	if c, err := m.find().Exact("0.4.3"); err != nil || c.Argv[0] != in.Python {
		t.Errorf("%v, %v", c, err)
	}
}

func TestPipxKinds(t *testing.T) {
	for name, c := range map[string]struct {
		prefix, meta string
		mode         Mode
		upgradeable  bool
		check        func(Install) bool
	}{
		"pinned": {"/p/venvs/ductor", `{"main_package":{"package":"ductor","package_or_url":"ductor","pinned":true}}`, Pipx, true,
			func(in Install) bool { return in.Pinned && in.Fix == "pipx unpin ductor" }},
		"exact": {"/p/venvs/ductor", `{"main_package":{"package":"ductor","package_or_url":"ductor[voice]==0.4.4"}}`, Pipx, true,
			func(in Install) bool { return in.Pinned && in.Specifier == "==0.4.4" }},
		"range": {"/p/venvs/ductor", `{"main_package":{"package":"ductor","package_or_url":"ductor>=0.4,<0.5"}}`, Pipx, true,
			func(in Install) bool { return !in.Pinned && in.Specifier == ">=0.4,<0.5" }},
		"suffix": {"/p/venvs/ductor-dev", `{"main_package":{"package":"ductor","suffix":"-dev"}}`, Pipx, true,
			func(in Install) bool { return in.Tool == "ductor-dev" && in.Suffix == "-dev" }},
		"global": {"/opt/pipx/venvs/ductor", `{"main_package":{"package":"ductor"}}`, Pipx, true,
			func(in Install) bool { return in.Global }},
		"injected": {"/p/venvs/ipython", `{"main_package":{"package":"ipython"},"injected_packages":{"Ductor":{"package":"Ductor","package_or_url":"Ductor<2"}}}`, Pipx, true,
			func(in Install) bool { return in.inject && in.Tool == "ipython" && in.Specifier == "<2" }},
		"dependency": {"/p/venvs/other", `{"main_package":{"package":"other"}}`, Pipx, false,
			func(in Install) bool { return in.Fix == "pipx upgrade other" }},
		"run":   {"/home/u/.cache/pipx/0123abc", `{"main_package":{"package":"ductor"}}`, Uvx, false, nil},
		"torn":  {"/p/venvs/ductor", `{"main_package":{"pack`, Pipx, true, func(in Install) bool { return len(in.Warnings) == 1 }},
		"types": {"/p/venvs/ductor", `{"main_package":[1]}`, Pipx, true, func(in Install) bool { return len(in.Warnings) == 1 }},
		"huge":  {"/p/venvs/ductor", `{"x":"` + strings.Repeat("x", maxSettings) + `"}`, Pipx, true, func(in Install) bool { return len(in.Warnings) == 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.venv(c.prefix, "0.4.4")
			m.file(c.prefix+"/pipx_metadata.json", c.meta)
			m.file("/usr/bin/pipx", "x")
			if in := m.want(c.mode, c.upgradeable); c.check != nil && !c.check(in) {
				t.Errorf("%+v", in)
			}
		})
	}
}

// TestPipxInAPathIsNoPipx: U7.
func TestPipxInAPathIsNoPipx(t *testing.T) {
	m := newMachine(t)
	m.venv("/home/u/pipx/venvs/mine", "1.0")
	m.file("/home/u/pipx/venvs/mine/lib/python3.11/site-packages/pip/__init__.py", "")
	m.want(Venv, true)
}

// TestEditableInPipxIsDev: U9.
func TestEditableInPipxIsDev(t *testing.T) {
	m := newMachine(t)
	d := m.venv("/p/venvs/ductor", "1.0")
	m.file("/p/venvs/ductor/pipx_metadata.json", `{"main_package":{"package":"ductor"}}`)
	m.file(d+"/direct_url.json", `{"dir_info":{"editable":true},"url":"file:///src"}`)
	if in := m.want(Dev, false, "git pull"); in.Class != ClassDev || in.Source != "file:///src" {
		t.Errorf("%+v", in)
	}
}

func TestDirect(t *testing.T) {
	for name, c := range map[string]struct {
		json string
		mode Mode
		ok   bool
	}{
		"folder":   {`{"dir_info":{},"url":"file:///src"}`, Local, false},
		"wheel":    {`{"archive_info":{"hash":"sha256=1"},"url":"file:///x.whl"}`, Local, false},
		"remote":   {`{"archive_info":{},"url":"https://u:secret@h/x.whl"}`, Local, false},
		"vcs":      {`{"vcs_info":{"vcs":"git","commit_id":"1"},"url":"https://h/r.git"}`, VCS, false},
		"torn":     {`{"dir_info":{`, Local, false},
		"empty":    {``, Local, false},
		"list":     {`[]`, Local, false},
		"types":    {`{"dir_info":{"editable":"yes"}}`, Local, false},
		"escape":   {"{\"archive_info\":{},\"url\":\"file:///\\u001b[31m\"}", Local, false},
		"editable": {`{"dir_info":{"editable":true}}`, Dev, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.file(m.venv("/v", "1.0")+"/direct_url.json", c.json)
			m.file("/v/lib/python3.11/site-packages/pip/__init__.py", "")
			in := m.want(c.mode, c.ok)
			if strings.Contains(in.Source+in.Reason+in.Fix, "secret") || strings.Contains(in.Reason+in.Fix, "\x1b") {
				t.Errorf("%+v", in)
			}
		})
	}
}

// TestVCSMayBeUpgradedByItsOwnTool, which knows the repository.
func TestVCSMayBeUpgradedByItsOwnTool(t *testing.T) {
	m := newMachine(t)
	m.file(m.venv("/p/venvs/ductor", "1.0")+"/direct_url.json", `{"vcs_info":{"vcs":"git"},"url":"https://h/r.git"}`)
	m.file("/p/venvs/ductor/pipx_metadata.json", `{"main_package":{"package":"ductor","package_or_url":"git+https://h/r.git"}}`)
	if in := m.want(Pipx, true); in.Source != "https://h/r.git" || in.Pinned {
		t.Errorf("%+v", in)
	}
}

func TestUvTool(t *testing.T) {
	m := newMachine(t)
	m.venv("/data/uv/tools/ductor", "0.4.4")
	m.file("/data/uv/tools/ductor/pyvenv.cfg", "home = ROOT/usr/bin\nuv = 0.8.1\nversion_info = 3.12.4\nprompt = ductor\n")
	m.file("/data/uv/tools/ductor/uv-receipt.toml", `[tool]
requirements = [{ name = "ductor", specifier = "==0.4.4", extras = ["voice"] }, { name = "x", editable = "/src" }]
entrypoints = [
    { name = "ductor", install-path = "`+filepath.ToSlash(m.path("/my bin/ductor"))+`", from = "ductor" },
]

[tool.options]
index = [{ url = "https://u:p@a/simple", default = true }, { url = "https://b/simple" }]
prerelease = "allow"
exclude-newer = "2024-03-25T00:00:00Z"
`)
	uv := m.file("/home/u/.local/bin/uv", "x")
	in := m.want(UvTool, true, "uv tool install --force ductor")
	if !in.Pinned || in.Specifier != "==0.4.4" || in.PythonVersion != "3.12.4" || in.Class != ClassPip {
		t.Errorf("%+v", in)
	}
	if s := in.Sources; s.Index != "https://u:p@a/simple" || !slices.Equal(s.Extra, []string{"https://b/simple"}) || !s.Pre {
		t.Errorf("%+v", s)
	}
	c := argv(t, in, uv, "tool", "upgrade", "ductor")
	if want := []string{"UV_TOOL_DIR=" + m.path("/data/uv/tools"), "UV_TOOL_BIN_DIR=" + m.path("/my bin")}; !slices.Equal(c.Env, want) {
		t.Errorf("%q, not %q", c.Env, want)
	}
	if c, err := in.Exact("0.4.3"); err != nil || !slices.Equal(c.Argv, []string{uv, "pip", "install", "--python", in.Python, "--refresh-package", "ductor", "ductor==0.4.3"}) {
		t.Errorf("%q, %v", c.Argv, err)
	}
	// The receipts of before uv 0.4.
	m.file("/data/uv/tools/ductor/uv-receipt.toml", "[tool]\nrequirements = [\"ductor>=0.4\"]\n")
	if in := m.want(UvTool, true); in.Specifier != ">=0.4" || in.Pinned {
		t.Errorf("%+v", in)
	}
	for _, bad := range []string{"", "[tool", "tool = 1", "\xff", "[tool]\nrequirements = 7\n"} {
		m.file("/data/uv/tools/ductor/uv-receipt.toml", bad)
		if in := m.want(UvTool, true); bad != "" && len(in.Warnings) == 0 {
			t.Errorf("%q: %+v", bad, in)
		}
	}
}

func TestUvx(t *testing.T) {
	for _, prefix := range []string{"/home/u/.cache/uv/archive-v0/Xy_z", "/cache/environments-v2/ductor-1", "/cache/builds-v0/x"} {
		m := newMachine(t)
		m.venv(prefix, "1.0")
		m.want(Uvx, false, "uv tool install ductor")
	}
}

func TestUvPip(t *testing.T) {
	m := newMachine(t)
	m.venv("/v", "1.0")
	m.file("/v/pyvenv.cfg", "home = ROOT/usr/bin\nuv = 0.8.1\nversion_info = 3.11.9\n")
	m.want(UvPip, false, "install uv")
	uv := m.file("/home/u/.cargo/bin/uv", "x")
	in := m.want(UvPip, true)
	argv(t, in, uv, "pip", "install", "--python", in.Python, "--upgrade", "--refresh-package", "ductor", "ductor")
}

func TestConda(t *testing.T) {
	m := newMachine(t)
	m.python("/opt/conda", "3.11")
	m.dist("/opt/conda/lib/python3.11/site-packages", "1.0")
	m.file("/opt/conda/bin/ductor", "#!"+m.path("/opt/conda/bin/python3")+"\n")
	m.env["PATH"] = m.path("/opt/conda/bin")
	// A space in the shebang's path: the kernel could not run that either.
	m.want(None, false, "--python")
	m.file("/opt/conda/bin/ductor", "#!/usr/bin/env python3\n")
	m.file("/opt/conda/conda-meta/ductor-extras-1.0-py_0.json", "{}")
	m.want(PlainPip, true)
	m.file("/opt/conda/conda-meta/Ductor-1.0-py_0.json", "{}")
	m.want(Conda, false, "conda update")
}

func TestDistros(t *testing.T) {
	for name, c := range map[string]struct{ program, fix string }{
		"nix":  {"/nix/store/abc-ductor-1.0/bin/ductor", "nix profile upgrade"},
		"guix": {"/gnu/store/abc-ductor-1.0/bin/ductor", "guix upgrade"},
		"brew": {"/opt/homebrew/Cellar/ductor/0.5/libexec/bin/ductor", "brew upgrade"},
		"old":  {"/usr/local/Cellar/ductor@0.4/0.4/bin/ductor", "brew upgrade"},
		"snap": {"/snap/ductor/x1/bin/ductor", "snap refresh"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.file(c.program, "#!/bin/bash\nexec x\n")
			m.link("/home/u/.local/bin/ductor", m.path(c.program))
			m.want(Distro, false, c.fix)
		})
	}
}

func TestDebian(t *testing.T) {
	m := newMachine(t)
	m.python("/usr", "3.11")
	m.file("/usr/bin/ductor", "#!/usr/bin/env python3\n")
	m.file("/usr/lib/python3.11/EXTERNALLY-MANAGED", "")
	m.file("/usr/lib/python3/dist-packages/ductor-0.4.egg-info", "Name: ductor\nVersion: 0.4\n")
	if in := m.want(Distro, false, "apt-get"); in.Version != "0.4" || in.PythonVersion != "3.11" {
		t.Errorf("%+v", in)
	}
	// What an administrator's pip put below local goes before it.
	m.dist("/usr/local/lib/python3.11/dist-packages", "0.5")
	if in := m.want(Managed, false, "pipx install ductor"); in.Version != "0.5" || strings.Contains(in.Fix, "break-system") {
		t.Errorf("%+v", in)
	}
	if err := os.Remove(m.path("/usr/lib/python3.11/EXTERNALLY-MANAGED")); err != nil {
		t.Fatal(err)
	}
	m.want(PlainPip, true)
	// And --user before both.
	m.dist("/home/u/.local/lib/python3.11/site-packages", "0.6")
	if in := m.want(PlainPip, true); in.Version != "0.6" || !in.User {
		t.Errorf("%+v", in)
	} else if c, _ := in.Upgrade(); !slices.Contains(c.Argv, "--user") {
		t.Errorf("%q", c.Argv)
	}
	m.file("/usr/include/python3.11/patchlevel.h", "#define PY_VERSION \"3.11.7+\"\n")
	if in := m.find(); in.PythonVersion != "3.11.7" {
		t.Error(in.PythonVersion)
	}
}

func TestSignedByAPackageManager(t *testing.T) {
	m := newMachine(t)
	m.python("/usr", "3.12")
	m.file("/usr/bin/ductor", "#!/usr/bin/env python3\n")
	m.file(m.dist("/usr/lib/python3.12/site-packages", "1.0")+"/INSTALLER", "rpm\n")
	m.want(Distro, false, "package manager")
}

func TestContainer(t *testing.T) {
	for name, f := range map[string]func(*machine){
		"docker":     func(m *machine) { m.file("/.dockerenv", "") },
		"podman":     func(m *machine) { m.file("/run/.containerenv", "") },
		"kubernetes": func(m *machine) { m.env["KUBERNETES_SERVICE_HOST"] = "10.0.0.1" },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.venv("/v", "1.0")
			f(m)
			if in := m.want(Docker, false, "container"); in.Version != "1.0" {
				t.Errorf("%+v", in)
			}
		})
	}
}

func TestNothingThere(t *testing.T) {
	m := newMachine(t)
	m.want(None, false, "PATH", "pipx install ductor")
	m.link("/home/u/.local/bin/ductor", "nowhere") // a shell goes on, too
	m.want(None, false, "PATH")
	m.file("/usr/bin/ductor", "\x7fELF")
	m.want(None, false, "not a Python script", "--python")
	m.file("/usr/bin/ductor", "#!/gone/python3\n")
	m.want(None, false, `/gone/python3`)
}

func TestSourceTree(t *testing.T) {
	m := newMachine(t)
	d := m.venv("/v", "1.0")
	if err := os.RemoveAll(m.path(d)); err != nil {
		t.Fatal(err)
	}
	if in := m.want(Dev, false, "git pull"); in.Version != "0.0.0" {
		t.Errorf("%+v", in)
	}
	m.file("/v/lib/python3.11/site-packages/ductor.egg-link", "ROOT/src\n.")
	m.want(Dev, false, "git pull")
	m.file("/src/ductor.egg-info/PKG-INFO", "Name: ductor\nVersion: 3.0.dev1\n")
	if in := m.want(Dev, false, "git pull"); in.Version != "3.0.dev1" {
		t.Errorf("%+v", in)
	}
}

// TestSetupPyLeavesNoRecord: an old pip installs a folder so, too.
func TestSetupPyLeavesNoRecord(t *testing.T) {
	m := newMachine(t)
	if err := os.RemoveAll(m.path(m.venv("/v", "1.0"))); err != nil {
		t.Fatal(err)
	}
	m.file("/v/lib/python3.11/site-packages/ductor-3.0-py3.11.egg-info/PKG-INFO", "Name: ductor\nVersion: 3.0\n")
	if in := m.want(Dev, false, "--force-reinstall"); in.Version != "3.0" {
		t.Errorf("%+v", in)
	}
}

func TestExplicitPython(t *testing.T) {
	m := newMachine(t)
	m.venv("/one", "1.0")
	m.file("/two/pyvenv.cfg", "home = /usr/bin\nversion = 3.12.1\n")
	m.file("/two/bin/python", "ELF")
	m.file("/two/lib/python3.12/site-packages/pip/__init__.py", "")
	q := m.query()
	q.Python = m.path("/two/bin/python")
	if in := find(t, q); in.Mode != None || in.Program != "" || !strings.Contains(in.Reason, "not installed for") {
		t.Errorf("%+v", in)
	}
	m.dist("/two/lib/python3.12/site-packages", "2.0")
	if in := find(t, q); in.Mode != Venv || in.Version != "2.0" || in.Program != "" || in.PythonVersion != "3.12.1" {
		t.Errorf("%+v", in)
	}
	q.Python = m.path("/three/bin/python")
	if _, err := Find(q); exitcode.Of(err) != exitcode.Unavailable {
		t.Error(err)
	}
}

func TestPackageWithoutAScript(t *testing.T) {
	m := newMachine(t)
	m.venv("/v", "1.0")
	m.file("/v/lib/python3.11/site-packages/pip/__init__.py", "")
	if err := os.Remove(m.path("/home/u/.local/bin/ductor")); err != nil {
		t.Fatal(err)
	}
	m.want(None, false)
	m.env["VIRTUAL_ENV"] = m.path("/v")
	m.want(Venv, true)
}

// TestVenvThatSeesItsBase: what is decided is decided for the environment that
// has the package.
func TestVenvThatSeesItsBase(t *testing.T) {
	m := newMachine(t)
	m.python("/usr", "3.11")
	m.venv("/v", "1.0")
	m.file("/v/pyvenv.cfg", "home = ROOT/usr/bin\ninclude-system-site-packages = True\nversion = 3.11.2\nexecutable = ROOT/usr/bin/python3.11\n")
	if in := m.want(Venv, true); in.Version != "1.0" { // pip is the base's
		t.Errorf("%+v", in)
	}
	if err := os.RemoveAll(m.path("/v/lib/python3.11/site-packages/ductor-1.0.dist-info")); err != nil {
		t.Fatal(err)
	}
	m.dist("/usr/lib/python3.11/site-packages", "0.9")
	if in := m.want(PlainPip, true); in.Version != "0.9" || in.Python != m.path("/usr/bin/python3.11") {
		t.Errorf("%+v", in)
	}
}

func TestNamesAreNormalised(t *testing.T) {
	m := newMachine(t)
	m.venv("/v", "1.0")
	site := "/v/lib/python3.11/site-packages"
	m.file(site+"/my_Bot.x-2.0.dist-info/METADATA", "Name: My-Bot_x\nVersion: 2.0\n")
	m.file(site+"/ductor_extras-9.0.dist-info/METADATA", "Name: ductor-extras\nVersion: 9.0\n")
	m.file(site+"/ductor-extras-8.0.dist-info/METADATA", "Name: ductor-extras\nVersion: 8.0\n")
	m.file(site+"/ductor-more-7.0.dist-info/METADATA", "")
	m.file(site+"/~uctor-6.0.dist-info/METADATA", "Name: ductor\nVersion: 6.0\n")
	if in := m.find(); in.Version != "1.0" {
		t.Errorf("%+v", in)
	}
	q := m.query()
	q.Package, q.Program = "my.bot-X", "ductor"
	if in := find(t, q); in.Version != "2.0" {
		t.Errorf("%+v", in)
	}
	for _, bad := range []string{"", "-r", "a b", "a/b", "../x", "a\n", "x-", strings.Repeat("x", 129), "ä"} {
		if _, err := Find(Query{Package: bad}); exitcode.Of(err) != exitcode.Usage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestTornMetadata: a killed installer leaves such, and the way out is to
// install again, which an old version allows.
func TestTornMetadata(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "cut": "Name: ductor\nVersion: 1.", "escape": "Name: ductor\nVersion: 1\x1b[31m\n",
		"other": "\x00\xff\xfe", "body": "Name: ductor\n\nVersion: 1.0\n", "long": "Version: 1" + strings.Repeat("0", 200) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.file(m.venv("/v", "1.0")+"/METADATA", content)
			m.file("/v/lib/python3.11/site-packages/pip/__init__.py", "")
			if in := m.want(Venv, true); in.Version != "0.0.0" || len(in.Warnings) != 1 {
				t.Errorf("%+v", in)
			}
		})
	}
}

func TestHugeReadme(t *testing.T) {
	m := newMachine(t)
	m.file(m.venv("/v", "1.0")+"/METADATA", "Name: ductor\nVersion: 1.0\n\n"+strings.Repeat("x", 20<<20))
	if in := m.find(); in.Version != "1.0" {
		t.Errorf("%+v", in)
	}
}

// TestOfTwoTheNewest: an installer was killed between two steps.
func TestOfTwoTheNewest(t *testing.T) {
	m := newMachine(t)
	old := m.venv("/v", "1.0")
	recent := m.dist("/v/lib/python3.11/site-packages", "0.9")
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(m.path(old), past, past); err != nil {
		t.Fatal(err)
	}
	if in := m.find(); in.Version != "0.9" || in.DistInfo != m.path(recent) {
		t.Errorf("%+v", in)
	}
}

func TestLinkLoopsAndFolders(t *testing.T) {
	m := newMachine(t)
	m.venv("/v", "1.0")
	site := "/v/lib/python3.11/site-packages"
	m.link("/v/pipx_metadata.json", "pipx_metadata.json")
	m.link(site+"/ductor-3.dist-info", "ductor-3.dist-info")
	m.file(site+"/ductor-4.dist-info/METADATA/x", "")
	m.find()
}

func TestWindows(t *testing.T) {
	m := newMachine(t)
	m.goos = "windows"
	m.env["APPDATA"] = m.path("/users/u/roaming")
	python := m.file("/p/venvs/ductor/Scripts/python.exe", "MZ")
	m.file("/p/venvs/ductor/pyvenv.cfg", "home = C:\\Python312\r\nversion = 3.12.1\r\n")
	m.file("/p/venvs/ductor/pipx_metadata.json", `{"main_package":{"package":"ductor"}}`)
	m.dist("/p/venvs/ductor/Lib/site-packages", "1.0")
	// pipx copies the launcher, since links are not for everybody there.
	m.file("/home/u/.local/bin/ductor.exe", "MZ"+strings.Repeat("\x00", 100000)+"#!"+python+"\r\nPK\x03\x04zip")
	m.file("/home/u/.local/bin/pipx.exe", "MZ")
	if in := m.want(Pipx, true); in.Python != python || in.Version != "1.0" || in.PythonVersion != "3.12.1" {
		t.Errorf("%+v", in)
	}
	m = newMachine(t)
	m.goos = "windows"
	m.env["APPDATA"] = m.path("/users/u/roaming")
	python = m.file("/py/python.exe", "MZ")
	m.file("/py/python3.dll", "")
	m.file("/py/python312.dll", "")
	m.file("/py/Lib/site-packages/pip/__init__.py", "")
	m.file("/py/Scripts/ductor.exe", "MZ#!\""+python+"\"\nPK\x03\x04")
	m.env["PATH"] = m.path("/py/Scripts")
	m.dist("/py/Lib/site-packages", "1.0")
	if in := m.want(PlainPip, true); in.PythonVersion != "3.12" || in.Prefix != m.path("/py") {
		t.Errorf("%+v", in)
	}
	m.dist("/users/u/roaming/Python/Python312/site-packages", "1.1")
	if in := m.want(PlainPip, true); in.Version != "1.1" || !in.User {
		t.Errorf("%+v", in)
	}
	m.file("/py/Lib/EXTERNALLY-MANAGED", "")
	m.want(Managed, false)
}

func TestPyenvShim(t *testing.T) {
	m := newMachine(t)
	m.python("/home/u/.pyenv/versions/3.11.7", "3.11")
	m.dist("/home/u/.pyenv/versions/3.11.7/lib/python3.11/site-packages", "1.0")
	m.file("/home/u/.pyenv/versions/3.11.7/bin/ductor", "#!/usr/bin/env -S python3 -E\n")
	m.file("/home/u/.pyenv/shims/ductor", "#!/usr/bin/env bash\nexec pyenv exec ductor\n")
	m.file("/home/u/.pyenv/shims/python3", "#!/usr/bin/env bash\n")
	for _, s := range []string{"ductor", "python3"} {
		if err := os.Chmod(m.path("/home/u/.pyenv/shims/"+s), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.file("/home/u/.pyenv/version", "../x 3.9.1\n3.11.7\n")
	m.env["PATH"] = m.path("/home/u/.pyenv/shims")
	if in := m.want(PlainPip, true); in.Prefix != m.path("/home/u/.pyenv/versions/3.11.7") {
		t.Errorf("%+v", in)
	}
}

// BenchmarkFind: the goal is 10 ms for the whole program.
func BenchmarkFind(b *testing.B) {
	m := newMachine(b)
	m.venv("/p/venvs/ductor", "1.0")
	m.file("/p/venvs/ductor/pipx_metadata.json", `{"main_package":{"package":"ductor"}}`)
	q := m.query()
	for b.Loop() {
		if _, err := Find(q); err != nil {
			b.Fatal(err)
		}
	}
}
