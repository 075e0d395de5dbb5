//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// world is a bot in a virtual environment, and an index that knows it. The
// environment is one for who reads files, which is all that is done here.
type world struct {
	t        *testing.T
	dir      string
	versions atomic.Value // []string
	asked    atomic.Int64 // questions that got a page
	down     atomic.Bool
	server   *httptest.Server
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir()}
	w.versions.Store([]string{"1.0", "1.1"})
	w.server = httptest.NewServer(w)
	t.Cleanup(w.server.Close)
	w.write("venv/pyvenv.cfg", "home = /usr/bin\nversion = 3.11.2\n")
	w.write("venv/bin/python", "#!/bin/sh\nexit 1\n")
	w.write("venv/bin/ductor", "#!"+w.dir+"/venv/bin/python\nimport ductor_bot\n")
	w.write("venv/lib/python3.11/site-packages/pip/__init__.py", "")
	w.install("1.0")
	for k, v := range map[string]string{"PATH": w.dir + "/venv/bin:/usr/bin:/bin", "HOME": w.dir, "DUCTOR_HOME": w.dir + "/home", "XDG_CONFIG_HOME": w.dir,
		"PIP_INDEX_URL": w.server.URL + "/simple/", "DUCTOR_UPDATE_GITHUB": w.server.URL, "PIP_CONFIG_FILE": os.DevNull} {
		t.Setenv(k, v)
	}
	root = w.dir
	t.Cleanup(func() { root = "" })
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) install(version string) {
	w.t.Helper()
	old, _ := filepath.Glob(filepath.Join(w.dir, "venv/lib/python3.11/site-packages/*.dist-info"))
	for _, dir := range old {
		os.RemoveAll(dir)
	}
	w.write("venv/lib/python3.11/site-packages/ductor-"+version+".dist-info/METADATA",
		"Metadata-Version: 2.1\nName: ductor\nVersion: "+version+"\nProject-URL: Source, https://github.com/someone/ductor\n\nA bot.\n")
}

// ServeHTTP is the index, and GitHub.
func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	versions := w.versions.Load().([]string)
	etag := fmt.Sprintf(`"%s"`, strings.Join(versions, "-"))
	out.Header().Set("Content-Type", "application/json")
	switch {
	case w.down.Load():
		http.Error(out, "down", http.StatusInternalServerError)
	case r.URL.Path == "/pypi/ductor/json":
		fmt.Fprint(out, `{"info":{"version":"`+versions[len(versions)-1]+`","summary":"a bot\u001b[31m in red"}}`)
	case strings.HasPrefix(r.URL.Path, "/repos/someone/ductor/releases/tags/"):
		if tag := filepath.Base(r.URL.Path); tag == "v1.1" {
			fmt.Fprint(out, `{"tag_name":"v1.1","name":"One","body":"- better","html_url":"https://example.org/1.1"}`)
			return
		}
		http.NotFound(out, r)
	case r.URL.Path == "/repos/someone/ductor/releases":
		fmt.Fprint(out, `[{"tag_name":"v1.1"},{"tag_name":"v1.0"}]`)
	case r.URL.Path != "/simple/ductor/":
		http.NotFound(out, r)
	case r.Header.Get("If-None-Match") == etag:
		out.WriteHeader(http.StatusNotModified)
	default:
		w.asked.Add(1)
		out.Header().Set("ETag", etag)
		out.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		var files []string
		for _, v := range versions {
			files = append(files, fmt.Sprintf(`{"filename":"ductor-%s-py3-none-any.whl","url":"/files/ductor-%s-py3-none-any.whl","hashes":{}}`, v, v))
		}
		fmt.Fprintf(out, `{"meta":{"api-version":"1.0"},"name":"ductor","files":[%s]}`, strings.Join(files, ","))
	}
}

// run runs a verb, and wants its exit code.
func (w *world) run(code int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	var out, errs bytes.Buffer
	if got := run(args, nil, &out, &errs); got != code {
		w.t.Fatalf("%q: exit code %d, not %d\n%s%s", args, got, code, &out, &errs)
	}
	return out.String(), errs.String()
}

func (w *world) check(code int, args ...string) (v checkView) {
	w.t.Helper()
	out, _ := w.run(code, append([]string{"check", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return v
}

// TestCheck asks the index that pip is configured for, and the second time only
// whether anything has changed.
func TestCheck(t *testing.T) {
	w := newWorld(t)
	out, _ := w.run(0, "mode")
	if !strings.HasPrefix(out, "ductor: venv\n") {
		t.Errorf("%s", out)
	}
	v := w.check(0, "--exit-code")
	if v.Current != "1.0" || v.Latest != "1.1" || !v.Available || v.Cached || v.Mode != "venv" || strings.ContainsRune(v.Summary, 0x1b) || !strings.HasPrefix(v.Summary, "a bot") {
		t.Errorf("%+v", v)
	}
	again := w.check(0)
	if w.asked.Load() != 1 || !again.Cached || again.Latest != "1.1" || again.Summary != v.Summary {
		t.Errorf("%d pages; %+v", w.asked.Load(), again)
	}
	w.versions.Store([]string{"1.0", "1.1", "1.2rc1"})
	if v := w.check(0); v.Latest != "1.1" || v.Cached {
		t.Errorf("%+v", v)
	}
	if v := w.check(0, "--pre"); v.Latest != "1.2rc1" {
		t.Errorf("%+v", v)
	}
	w.install("1.1")
	if v := w.check(1, "--exit-code"); v.Available || v.Current != "1.1" {
		t.Errorf("%+v", v)
	}
	before, err := os.ReadFile(filepath.Join(w.dir, "home/run/ductor/update.json"))
	if err != nil {
		t.Fatal(err)
	}
	w.down.Store(true)
	w.run(69, "check")
	if after, _ := os.ReadFile(filepath.Join(w.dir, "home/run/ductor/update.json")); !bytes.Equal(before, after) {
		t.Errorf("a failure changed the state:\n%s\n%s", before, after)
	}
}

func TestCheckAtGitHub(t *testing.T) {
	w := newWorld(t)
	if v := w.check(0, "--source", "github:someone/ductor"); v.Latest != "1.1" || !v.Available {
		t.Errorf("%+v", v)
	}
	if out, _ := w.run(0, "changelog"); out != "v1.1\n\n- better\n" {
		t.Errorf("%q", out)
	}
	if out, _ := w.run(0, "changelog", "--json", "--source", "github:someone/ductor", "1.1"); !strings.HasPrefix(out, `{"schema":1,"version":"1.1","tag":"v1.1","title":"One","body":"- better"`) {
		t.Errorf("%s", out)
	}
	w.run(1, "changelog", "9.9")
	w.run(65, "changelog", "../../x")
}

// TestWatchTellsOnce: also across restarts, and a command that fails is told
// again.
func TestWatchTellsOnce(t *testing.T) {
	w := newWorld(t)
	out, _ := w.run(0, "watch", "--once")
	if !strings.HasPrefix(out, `{"schema":1,"current":"1.0","latest":"1.1","update_available":true,"summary":"a bot`) || strings.Count(out, "\n") != 1 {
		t.Errorf("%s", out)
	}
	if out, _ := w.run(0, "watch", "--once"); out != "" {
		t.Errorf("told twice: %s", out)
	}
	w.versions.Store([]string{"1.0", "1.1", "1.2"})
	w.write("tell", "#!/bin/sh\necho \"$DUCTOR_UPDATE_PACKAGE $DUCTOR_UPDATE_CURRENT $DUCTOR_UPDATE_LATEST\"\ncat\nexit $(cat \"$HOME/code\")\n")
	w.write("code", "3\n")
	for _, want := range []int{71, 0} {
		out, _ := w.run(want, "watch", "--once", "--", w.dir+"/tell")
		if !strings.HasPrefix(out, "ductor 1.0 1.2\n{\"schema\":1,\"current\":\"1.0\",\"latest\":\"1.2\"") {
			t.Errorf("%s", out)
		}
		w.write("code", "0\n")
	}
	if out, _ := w.run(0, "watch", "--once", "--", w.dir+"/tell"); out != "" {
		t.Errorf("told twice: %s", out)
	}
}

// TestWatchBacksOff: failures are counted, and the next question waits.
func TestWatchBacksOff(t *testing.T) {
	w := newWorld(t)
	w.down.Store(true)
	w.run(69, "watch", "--once")
	w.run(69, "watch", "--once")
	data, err := os.ReadFile(filepath.Join(w.dir, "home/run/ductor/update.json"))
	if err != nil || !strings.Contains(string(data), `"failures":2`) || !strings.Contains(string(data), `"next_check_at"`) {
		t.Errorf("%s, %v", data, err)
	}
	w.down.Store(false)
	if out, _ := w.run(0, "watch", "--once"); !strings.Contains(out, `"latest":"1.1"`) {
		t.Errorf("%s", out)
	}
}

// TestWatchStays asks again when it is due, and ends by a signal.
func TestWatchStays(t *testing.T) {
	newWorld(t)
	news, out := io.Pipe()
	ended := make(chan int, 1)
	go func() { ended <- run([]string{"watch", "--initial", "0s"}, nil, out, os.Stderr) }()
	line, err := bufio.NewReader(news).ReadString('\n')
	if err != nil || !strings.Contains(line, `"latest":"1.1"`) {
		t.Fatalf("%q, %v", line, err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil { // it listens by now
		t.Fatal(err)
	}
	if code := <-ended; code != 0 {
		t.Errorf("a signal: exit code %d", code)
	}
}
