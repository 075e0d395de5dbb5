//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ductor/cmd/ductor-sandbox/internal/image/fakeimage"
	"ductor/internal/common/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

// program is a static one, since it also runs in the container.
var program = sync.OnceValues(func() (string, error) {
	dir, err := clitest.Folder()
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/ductor-sandbox")
	cmd.Dir, cmd.Env = clitest.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %s", err, out)
	}
	return filepath.Join(dir, "ductor-sandbox"), nil
})

// world is a home with a container of its own.
type world struct {
	t         *testing.T
	program   string
	home      string
	container string
	image     string
	env       []string
	as        []string // in front of every command
	uid       int
}

// both runs a test as root, and as a user who may ask the daemon and nothing else.
func both(t *testing.T, f func(t *testing.T, w *world)) {
	t.Run("root", func(t *testing.T) { f(t, newWorld(t)) })
	t.Run("user", func(t *testing.T) {
		clitest.Need(t, "setpriv")
		w := newWorld(t)
		socket, err := os.Stat("/var/run/docker.sock")
		if err != nil {
			t.Skip("the daemon is elsewhere")
		}
		const user = 61235
		w.as = []string{"setpriv", fmt.Sprint("--reuid=", user), fmt.Sprint("--regid=", user), fmt.Sprint("--groups=", socket.Sys().(*syscall.Stat_t).Gid)}
		w.uid = user
		top := filepath.Dir(w.home)
		for dir := top; dir != "/" && dir != "/tmp"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		w.give(top)
		f(t, w)
	})
}

// give makes what lies there the user's.
func (w *world) give(path string) {
	w.t.Helper()
	if out, err := exec.Command("chown", "-R", fmt.Sprint(w.uid, ":", w.uid), path).CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clitest.Need(t, "docker")
	p, err := program()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, program: p, home: filepath.Join(t.TempDir(), "home"), image: fakeimage.Build(t)}
	w.container = "ductor-test-" + strings.ToLower(rand.Text())
	w.env = append(os.Environ(), "DUCTOR_HOME="+w.home, "HOME="+filepath.Dir(w.home), "CLAUDE_CONFIG_DIR=", "CODEX_HOME=")
	w.config(`{"docker":{"image_name":"` + w.image + `","container_name":"` + w.container + `","auto_build":false}}`)
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", w.container).Run() })
	return w
}

func (w *world) config(text string) {
	w.t.Helper()
	dir := filepath.Join(w.home, "config")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) command(args ...string) *exec.Cmd {
	argv := append(append(slices.Clone(w.as), w.program), args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = w.env, filepath.Dir(w.home)
	return cmd
}

// do runs a verb, and wants its exit code.
func (w *world) do(code int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	return w.feed(code, nil, args...)
}

func (w *world) feed(code int, in io.Reader, args ...string) (stdout, stderr string) {
	w.t.Helper()
	cmd := w.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	if got := clitest.CodeOf(cmd.ProcessState); got != code {
		w.t.Fatalf("%q: exit code %d, not %d\n%.2000s\n%.2000s", args, got, code, &out, &errs)
	}
	return out.String(), errs.String()
}

// exec runs the fake CLI.
func (w *world) exec(code int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	return w.do(code, append([]string{"exec", "--", "fakecli"}, args...)...)
}

// status runs it with --status-fd, and returns that line.
func (w *world) status(args ...string) (code int, o outcome, stderr string) {
	w.t.Helper()
	r, wr, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	cmd := w.command(append([]string{"exec", "--status-fd", "3"}, args...)...)
	var errs bytes.Buffer
	cmd.ExtraFiles, cmd.Stderr = []*os.File{wr}, &errs
	err = cmd.Run()
	wr.Close()
	if cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	line, err := io.ReadAll(r)
	if err != nil || json.Unmarshal(line, &o) != nil {
		w.t.Fatalf("%v: %q\n%s", err, line, &errs)
	}
	return clitest.CodeOf(cmd.ProcessState), o, errs.String()
}

func (w *world) up(args ...string) (v view) {
	w.t.Helper()
	out, _ := w.do(0, append([]string{"up", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return v
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(clitest.Patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (w *world) workspace(name string) string { return filepath.Join(w.home, "workspace", name) }

func (w *world) read(name string) string {
	data, _ := os.ReadFile(w.workspace(name))
	return string(data)
}
