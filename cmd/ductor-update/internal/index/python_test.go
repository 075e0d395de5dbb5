package index

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"math/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ductor/cmd/ductor-update/internal/version"
	"ductor/internal/common/clitest"
)

// project of the generated index: files with what an index says of them.
type madeFile struct {
	name, requires string
	yanked         bool
}

// madeProjects are such that pip can install something of each: pip answers
// for all of them at once, or not at all.
func madeProjects(r *rand.Rand, minor int) map[string][]madeFile {
	pick := func(words ...string) string { return words[r.Intn(len(words))] }
	finals := []string{"0.2", "1.0", "1.1", "1.1.post1", "1.10", "2.0", "2.0.1", "10.0", "1!0.1"}
	pres := []string{"0.2.dev1", "1.1rc1", "2.0a1", "2.0b2", "3.0a1", "3.0rc1", "11.0.dev2", "1!0.1a1"}
	projects := map[string][]madeFile{}
	for p := range 24 {
		name := fmt.Sprintf("made-bot%d", p)
		versions, base := append(finals[:len(finals):len(finals)], pres...), "0.1"
		if p%6 == 5 { // pre-releases only
			versions, base = pres, "0.1a1"
		}
		files := []madeFile{{name: wheelName(name, base, "py3-none-any")}}
		for _, v := range versions {
			if r.Intn(2) == 0 {
				continue
			}
			tags := pick("py3-none-any", "py3-none-any", "py3-none-any", "py2-none-any", "py2.py3-none-any", "py38-none-any", "py399-none-any", "py3-none-win32",
				fmt.Sprintf("cp3%d-none-any", minor), fmt.Sprintf("cp3%d-none-any", minor+1))
			f := madeFile{name: wheelName(name, v, tags), yanked: r.Intn(4) == 0}
			f.requires = pick("", "", ">=3.8", "<3", ">=3.99", fmt.Sprintf("!=3.%d.*", minor), fmt.Sprintf("==3.%d.*", minor), "~=3.5", ">=3,<4", "python three")
			files = append(files, f)
		}
		r.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		projects[name] = files
	}
	return projects
}

func wheelName(project, v, tags string) string {
	return strings.ReplaceAll(project, "-", "_") + "-" + v + "-" + tags + ".whl"
}

// wheel is one that pip can read the metadata of.
func wheel(name string) []byte {
	parts := strings.Split(name, "-")
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	info := parts[0] + "-" + parts[1] + ".dist-info/"
	for file, text := range map[string]string{
		"METADATA": "Metadata-Version: 2.1\nName: " + parts[0] + "\nVersion: " + parts[1] + "\n",
		"WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: " + strings.TrimSuffix(strings.Join(parts[2:], "-"), ".whl") + "\n",
		"RECORD":   "",
	} {
		w, err := z.Create(info + file)
		if err != nil {
			panic(err)
		}
		fmt.Fprint(w, text)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// serveMade serves every second project as JSON, the others as HTML.
func serveMade(t *testing.T, projects map[string][]madeFile) *host {
	h := newHost(t)
	for n, name := range slices.Sorted(maps.Keys(projects)) {
		files := projects[name]
		type file struct {
			URL      string         `json:"url"`
			Filename string         `json:"filename"`
			Requires string         `json:"requires-python,omitempty"`
			Yanked   bool           `json:"yanked"`
			Hashes   map[string]any `json:"hashes"`
		}
		var list []file
		page := "<!DOCTYPE html>\n"
		for _, f := range files {
			list = append(list, file{"/f/" + f.name, f.name, f.requires, f.yanked, map[string]any{}})
			attributes := ""
			if f.requires != "" {
				attributes += ` data-requires-python="` + html.EscapeString(f.requires) + `"`
			}
			if f.yanked {
				attributes += ` data-yanked=""`
			}
			page += fmt.Sprintf("<a href=\"/f/%s\"%s>%[1]s</a><br>\n", f.name, attributes)
			data := wheel(f.name)
			h.set("/f/"+f.name, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) })
		}
		if n%2 == 0 {
			h.put("/simple/"+name+"/", htmlType, page)
			continue
		}
		body, err := json.Marshal(map[string]any{"meta": map[string]string{"api-version": "1.0"}, "name": name, "files": list})
		if err != nil {
			t.Fatal(err)
		}
		h.put("/simple/"+name+"/", jsonType, string(body))
	}
	return h
}

// python returns the version of the Python on PATH, which must have pip.
func pythonWithPip(t *testing.T) string {
	t.Helper()
	clitest.Need(t, "python3")
	if exec.Command("python3", "-m", "pip", "--version").Run() != nil {
		clitest.Lacking(t, "pip", "apt-get install python3-pip")
	}
	out, err := exec.Command("python3", "-c", "import platform; print(platform.python_version())").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// pipEnv is ours without what configures pip.
func pipEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PIP_") && !strings.HasPrefix(kv, "XDG_") && !strings.HasPrefix(strings.ToUpper(kv), "HTTP_PROXY") {
			env = append(env, kv)
		}
	}
	return append(env, "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_CONFIG_FILE="+os.DevNull, "PIP_NO_CACHE_DIR=1")
}

// TestRealPipWouldInstallTheSame lets the pip of this machine resolve the same
// projects from the same index.
func TestRealPipWouldInstallTheSame(t *testing.T) {
	interpreter := pythonWithPip(t)
	v, err := version.Parse(interpreter)
	if err != nil {
		t.Fatal(err)
	}
	w, err := Query{Python: v.String()}.wish(Config{})
	if err != nil {
		t.Fatal(err)
	}
	projects := madeProjects(rand.New(rand.NewSource(691)), w.system.minor)
	h := serveMade(t, projects)
	args := []string{"-m", "pip", "install", "--dry-run", "--no-deps", "--quiet", "--target", t.TempDir(), "--report", "-", "--index-url", h.URL + "/simple/"}
	for name := range projects {
		args = append(args, name)
	}
	cmd := exec.Command("python3", args...)
	cmd.Env = pipEnv()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var report struct {
		Install []struct {
			Metadata struct{ Name, Version string }
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Install) != len(projects) {
		t.Fatalf("pip reports %d of %d projects", len(report.Install), len(projects))
	}
	c, seen := newClient(t), map[string]bool{}
	for _, i := range report.Install {
		name, want := normalName(i.Metadata.Name), i.Metadata.Version
		a, err := c.Ask(t.Context(), h.config(), Query{Package: name, Python: interpreter})
		if err != nil || a.Latest != want {
			t.Errorf("%s: we say %q, %v; pip says %q of %+v", name, a.Latest, err, want, projects[name])
		}
		seen[want] = true
	}
	if len(seen) < 5 {
		t.Errorf("only %d different versions: the projects prove little", len(seen))
	}
}

// TestRealPipReadsTheSameSettings asks pip for the index and compares, for
// each place where a setting can be.
func TestRealPipReadsTheSameSettings(t *testing.T) {
	pythonWithPip(t)
	const show = `
import sys, json, os
from pip._internal.commands import create_command
out = []
for case in json.load(sys.stdin):
    for k in [k for k in os.environ if k.startswith(("PIP_", "XDG_CONFIG"))]:
        del os.environ[k]
    os.environ.update(case["env"])
    o, _ = create_command("install").parse_args(case["args"])
    out.append({"urls": [o.index_url, *o.extra_index_urls], "pre": bool(o.pre)})
print(json.dumps(out))`
	type ask struct {
		Env  map[string]string `json:"env"`
		Args []string          `json:"args"`
	}
	var asks []ask
	var got []Config
	for _, c := range []struct {
		files, env map[string]string
		args       []string
	}{
		{},
		{files: map[string]string{"pip/pip.conf": conf("global"), "home/.pip/pip.conf": conf("legacy")}},
		{files: map[string]string{"home/.config/pip/pip.conf": conf("user"), "home/.pip/pip.conf": conf("legacy")}},
		{files: map[string]string{"xdg/pip/pip.conf": conf("xdg"), "home/.config/pip/pip.conf": conf("user")}, env: map[string]string{"XDG_CONFIG_HOME": "~/xdg"}},
		{files: map[string]string{"home/.config/pip/pip.conf": conf("user"), "own": "[install]\npre=yes\n"}, env: map[string]string{"PIP_CONFIG_FILE": "~/own"}},
		{files: map[string]string{"home/.config/pip/pip.conf": conf("user")}, env: map[string]string{"PIP_CONFIG_FILE": "~/missing"}},
		{files: map[string]string{"home/.config/pip/pip.conf": conf("user")}, env: map[string]string{"PIP_CONFIG_FILE": os.DevNull}},
		{files: map[string]string{"home/.config/pip/pip.conf": conf("user")}, env: map[string]string{"PIP_INDEX_URL": "", "PIP_PRE": "true"}},
		{files: map[string]string{"home/.config/pip/pip.conf": "[global]\nextra-index-url = http://a/\n\thttp://b/\npre = 0\n[install]\nIndex_URL : http://c:80/x=y\n"}},
		{files: map[string]string{"a/pip/pip.conf": conf("a"), "b/pip/pip.conf": conf("b")}, env: map[string]string{"XDG_CONFIG_DIRS": "~/a:~/b", "PIP_EXTRA_INDEX_URL": "http://x/ http://y/"}},
		{files: map[string]string{"home/.config/pip/pip.conf": conf("user")}, args: []string{"-i", "http://args/", "--extra-index-url=http://b/", "--pre"}},
		{files: map[string]string{"home/.config/pip/pip.conf": "[DEFAULT]\nindex-url = http://default/\n[install]\nx = y\n"}},
	} {
		root := tree(t, c.files)
		env := map[string]string{"HOME": filepath.Join(root, "home"), "XDG_CONFIG_DIRS": root}
		for k, v := range c.env {
			env[k] = strings.ReplaceAll(v, "~", root)
		}
		config, err := Discover(Settings{GOOS: "linux", Home: env["HOME"], Args: c.args, Getenv: func(k string) string { return env[k] }})
		if err != nil {
			t.Fatal(err)
		}
		asks, got = append(asks, ask{env, append([]string{}, c.args...)}), append(got, config)
	}
	var want []struct {
		URLs []string
		Pre  bool
	}
	python(t, show, asks, &want)
	for i, w := range want {
		if urls := urlsOf(got[i]).urls; same(urls) != same(w.URLs) || got[i].Pre != w.Pre {
			t.Errorf("%+v: we read %q, %v; pip %q, %v", asks[i], urls, got[i].Pre, w.URLs, w.Pre)
		}
	}
}

// python runs a program that reads JSON and writes JSON.
func python(t *testing.T, program string, in, out any) {
	t.Helper()
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", program)
	cmd.Stdin = bytes.NewReader(data)
	if data, err = cmd.Output(); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
}

// same compares lists; pip's default has no slash at its end.
func same(urls []string) string {
	return strings.ReplaceAll(strings.Join(urls, " "), strings.TrimSuffix(Default, "/")+"/", strings.TrimSuffix(Default, "/"))
}

// TestConfigParserReadsTheSame compares made-up files.
func TestConfigParserReadsTheSame(t *testing.T) {
	clitest.Need(t, "python3")
	const parse = `
import sys, json, configparser
out = []
for text in json.load(sys.stdin):
    p = configparser.RawConfigParser()
    try:
        p.read_string(text)
        out.append({s: dict(p.items(s)) for s in p.sections()})
    except configparser.Error:
        out.append(None)
print(json.dumps(out))`
	r := rand.New(rand.NewSource(440))
	pieces := []string{"[global]", "[install]", "[DEFAULT]", "[a]b] x", "[]", "index-url", "Index_URL", "x", " = ", "=", ":", "https://h:1/a=b", "; c", "# c", "\n", "\n", "\n", "\n ", "\n\t", "\r\n", " ", "  ", "é"}
	var texts []string
	for range 3000 {
		text := ""
		if r.Intn(4) > 0 {
			text = "[global]\n"
		}
		for range r.Intn(14) {
			text += pieces[r.Intn(len(pieces))]
		}
		texts = append(texts, text)
	}
	var want []map[string]map[string]string
	python(t, parse, texts, &want)
	good := 0
	for i, text := range texts {
		got, err := parsePipConf([]byte(text))
		if want[i] != nil {
			good++
		}
		if (err == nil) != (want[i] != nil) || err == nil && fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want[i]) {
			t.Errorf("%q: %q, %v; Python says %q", text, got, err, want[i])
		}
	}
	if good < 500 {
		t.Errorf("only %d files were legal", good)
	}
}
