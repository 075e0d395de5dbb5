//go:build linux

// Package upgrade has the tests of ductor-update that take minutes, or need its
// neighbours: programs that are killed, and a supervisor.
package upgrade

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ductor/internal/common/clitest"
	"ductor/test/pyindex"
)

func TestMain(m *testing.M) { clitest.Main(m) }

// updater is ductor-update for machines that are containers, where nothing would
// be upgraded: it looks for the signs of one under a root that is not there.
var updater = sync.OnceValues(func() (string, error) {
	dir, err := clitest.Folder()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-ldflags=-X main.root=/ductor-test-has-no-such-root", "-o", dir+"/", "./cmd/ductor-update")
	cmd.Dir = clitest.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %s", err, out)
	}
	return filepath.Join(dir, "ductor-update"), nil
})

// world is a bot in a real environment, which has pip from the system and so is
// small, and an index for it.
type world struct {
	t      *testing.T
	dir    string
	venv   string
	update string
	env    []string
	index  pyindex.Index
}

func newWorld(t *testing.T, releases ...pyindex.Release) *world {
	clitest.Need(t, "python3")
	w := &world{t: t, dir: t.TempDir()}
	w.venv = filepath.Join(w.dir, "venv")
	var err error
	if w.update, err = updater(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&w.index)
	t.Cleanup(server.Close)
	w.env = []string{"PATH=" + w.venv + "/bin:" + clitest.PlainBin(t) + ":/usr/bin:/bin", "HOME=" + w.dir, "DUCTOR_HOME=" + w.dir + "/home", "PIP_INDEX_URL=" + server.URL + "/simple/",
		"PIP_CONFIG_FILE=/dev/null", "PIP_NO_CACHE_DIR=1", "LANG=C.UTF-8", "TMPDIR=" + w.dir}
	if out, err := w.command("/usr/bin/python3", "-m", "venv", "--without-pip", "--system-site-packages", w.venv).CombinedOutput(); err != nil {
		clitest.Lacking(t, "venv", "apt-get install python3-venv python3-pip; "+string(out))
	}
	w.index.Publish(releases...)
	w.must(w.venv+"/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "ductor=="+releases[0].Version)
	return w
}

func (w *world) command(argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = w.env, w.dir
	return cmd
}

func (w *world) must(argv ...string) string {
	w.t.Helper()
	out, err := w.command(argv...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

// result is what ductor-update prints, as another program reads it.
type result struct{ Status, Old, New, Reason string }

func (w *world) ductor(args ...string) (r result, code int, words string) {
	w.t.Helper()
	cmd := w.command(append([]string{w.update}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			w.t.Fatalf("%v: %s", err, &out)
		}
	}
	return r, clitest.CodeOf(cmd.ProcessState), out.String() + errs.String()
}

// state is update.json.
func (w *world) state() (st map[string]json.RawMessage) {
	data, err := os.ReadFile(filepath.Join(w.dir, "home/run/ductor/update.json"))
	if err != nil && !os.IsNotExist(err) || err == nil && json.Unmarshal(data, &st) != nil {
		w.t.Fatalf("%v: %s", err, data)
	}
	return st
}

func (w *world) file(name string) string {
	data, _ := os.ReadFile(filepath.Join(w.dir, name))
	return strings.TrimSpace(string(data))
}
