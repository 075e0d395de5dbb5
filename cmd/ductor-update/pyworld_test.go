//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ductor/internal/common/clitest"
	"ductor/test/pyindex"
)

// pyWorld is a bot in a real environment, and an index for it.
type pyWorld struct {
	t      *testing.T
	dir    string
	venv   string
	server *httptest.Server

	index pyindex.Index
	in    *os.File // standard input of what is tried
}

// newPyWorld has a venv, but nothing in it. What a test sets in the environment
// is this process's, so these tests take turns.
func newPyWorld(t *testing.T) *pyWorld {
	clitest.Need(t, "python3")
	w := &pyWorld{t: t, dir: filepath.Join(t.TempDir(), "größe 1")}
	w.venv = filepath.Join(w.dir, "venv")
	w.server = httptest.NewServer(&w.index)
	t.Cleanup(w.server.Close)
	if err := os.MkdirAll(filepath.Join(w.dir, "home"), 0o700); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"PATH": w.venv + "/bin:/usr/bin:/bin", "HOME": w.dir, "DUCTOR_HOME": w.dir + "/home", "XDG_CONFIG_HOME": w.dir,
		"PIP_INDEX_URL": w.server.URL + "/simple/", "PIP_CONFIG_FILE": os.DevNull, "PIP_NO_CACHE_DIR": "1", "PIP_FIND_LINKS": "", "LANG": "C.UTF-8"} {
		t.Setenv(k, v)
	}
	root = filepath.Join(w.dir, "root")
	t.Cleanup(func() { root = "" })
	return w
}

// venvOnce is made once and copied: to make one takes seconds.
var venvOnce = sync.OnceValues(func() (string, error) {
	dir, err := clitest.Folder()
	if err != nil {
		return "", err
	}
	out, err := exec.Command("/usr/bin/python3", "-m", "venv", filepath.Join(dir, "venv")).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%v: %s", err, firstLine(string(out)))
	}
	return dir, err
})

// serve puts another server in place of the index.
func (w *pyWorld) serve(answer http.HandlerFunc) {
	server := httptest.NewServer(answer)
	w.t.Cleanup(server.Close)
	w.t.Setenv("PIP_INDEX_URL", server.URL+"/simple/")
}

func newVenvWorld(t *testing.T, releases ...pyindex.Release) *pyWorld {
	w := newPyWorld(t)
	dir, err := venvOnce()
	if err != nil {
		clitest.Lacking(t, "venv", "apt-get install python3-venv; "+err.Error())
	}
	w.command("cp", "-a", filepath.Join(dir, "venv"), w.venv)
	w.index.Publish(releases...)
	w.command(w.venv+"/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "ductor=="+releases[0].Version)
	return w
}

func (w *pyWorld) command(argv ...string) string {
	w.t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

// try runs a verb.
func (w *pyWorld) try(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, w.in, &out, &errs)
	return code, out.String(), errs.String()
}

// do runs a verb, and wants its exit code and the status of its result.
func (w *pyWorld) do(code int, status string, args ...string) (r result) {
	w.t.Helper()
	got, out, errs := w.try(args...)
	if out != "" {
		if err := json.Unmarshal([]byte(out), &r); err != nil || !strings.HasPrefix(out, `{"schema":1,"status":`) {
			w.t.Fatalf("%v: %s", err, out)
		}
	}
	if got != code || r.Status != status {
		w.t.Fatalf("%q: exit code %d, not %d; status %q, not %q\n%s%s", args, got, code, r.Status, status, out, errs)
	}
	return r
}

// says asks the bot itself.
func (w *pyWorld) says(version string) {
	w.t.Helper()
	if out := w.command(w.venv+"/bin/ductor", "--version"); out != "ductor "+version+"\n" {
		w.t.Errorf("the bot says %q, not %s", out, version)
	}
}

// clean wants nothing left in the environment, and no journal; and then what the
// state holds.
func (w *pyWorld) clean(holds ...string) {
	w.t.Helper()
	if left, _ := filepath.Glob(filepath.Join(w.venv, copyPrefix+"*")); len(left) > 0 && !slices.Contains(holds, "probation") {
		w.t.Errorf("left: %q", left)
	}
	var st map[string]json.RawMessage
	data, err := os.ReadFile(filepath.Join(w.dir, "home/run/ductor/update.json"))
	if err != nil || json.Unmarshal(data, &st) != nil {
		w.t.Fatalf("%v: %s", err, data)
	}
	for _, key := range []string{"journal", "probation", "previous", "blocked"} {
		if _, has := st[key]; has != slices.Contains(holds, key) {
			w.t.Errorf("%s in the state: %v\n%s", key, has, data)
		}
	}
}

func (w *pyWorld) file(name string) string {
	data, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		return ""
	}
	return string(data)
}
