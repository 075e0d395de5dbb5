package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ductor/cmd/ductor-sandbox/internal/marked"
	"ductor/internal/common/clitest"
)

// ownDaemon is a daemon of the test's own, which may be killed. It has a network
// namespace of its own, so that it does not touch the network of this machine,
// and a containerd of its own: one that dockerd starts dies with it, and is then
// not found again.
type ownDaemon struct {
	t          *testing.T
	dir        string
	flags      []string
	containerd *exec.Cmd
	dockerd    *exec.Cmd
}

const containerdConfig = `version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = %q
[ttrpc]
address = %q
`

func newDaemon(t *testing.T, flags ...string) *ownDaemon {
	t.Helper()
	for _, name := range []string{"dockerd", "containerd", "unshare"} {
		if _, err := exec.LookPath(name); err != nil {
			clitest.Lacking(t, name, "apt-get install docker.io util-linux")
		}
	}
	clitest.Need(t, "namespaces")
	// Not t.TempDir: its path is long, and a socket's must be short.
	dir, err := os.MkdirTemp("", "ductor-test-")
	if err != nil {
		t.Fatal(err)
	}
	e := &ownDaemon{t: t, dir: dir, flags: flags}
	t.Cleanup(e.clean)
	e.put("containerd.toml", fmt.Sprintf(containerdConfig, e.path("ctd"), e.path("ctd-run"), e.path("ctd.sock"), e.path("ctd.sock.ttrpc")))
	e.put("daemon.json", "{}") // that of this machine is none of its business
	e.containerd = e.spawn("containerd", "--config", e.path("containerd.toml"))
	e.await("containerd", e.containerd, func() bool { _, err := os.Stat(e.path("ctd.sock")); return err == nil })
	e.start()
	return e
}

func (e *ownDaemon) path(name string) string { return filepath.Join(e.dir, name) }
func (e *ownDaemon) host() string            { return "unix://" + e.path("docker.sock") }

func (e *ownDaemon) put(name, text string) {
	e.t.Helper()
	if err := os.WriteFile(e.path(name), []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
}

// spawn starts a daemon, whose words are in NAME.log.
func (e *ownDaemon) spawn(name string, args ...string) *exec.Cmd {
	e.t.Helper()
	log, err := os.OpenFile(e.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	// Not with a signal that is meant for the tests.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	return cmd
}

func (e *ownDaemon) await(name string, cmd *exec.Cmd, ok func() bool) {
	e.t.Helper()
	for deadline := time.Now().Add(clitest.Patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) || !clitest.Running(cmd.Process.Pid) {
			log, _ := os.ReadFile(e.path(filepath.Base(cmd.Args[0]) + ".log"))
			e.t.Fatalf("%s does not answer\n%s", name, log[max(0, len(log)-3000):])
		}
	}
}

// start starts dockerd, and returns when it answers.
func (e *ownDaemon) start() {
	e.t.Helper()
	e.dockerd = e.spawn("unshare", append([]string{"-n", "dockerd", "--config-file", e.path("daemon.json"), "--containerd", e.path("ctd.sock"),
		"--data-root", e.path("root"), "--exec-root", e.path("exec"), "--pidfile", e.path("pid"), "-H", e.host(),
		"--bridge", "none", "--iptables=false", "--ip-masq=false", "--storage-driver", "vfs"}, e.flags...)...)
	e.await("dockerd", e.dockerd, func() bool { return e.command("version").Run() == nil })
}

// stop ends dockerd by a signal.
func (e *ownDaemon) stop(sig syscall.Signal) {
	_ = e.dockerd.Process.Signal(sig)
	_ = e.dockerd.Wait()
}

func (e *ownDaemon) command(args ...string) *exec.Cmd {
	return exec.Command("docker", append([]string{"-H", e.host()}, args...)...)
}

// clean leaves nothing: no container, no daemon, no shim, no mount, no file.
func (e *ownDaemon) clean() {
	if e.dockerd != nil {
		if e.dockerd.ProcessState != nil {
			e.start()
		}
		if ids, err := e.command("ps", "-aq").Output(); err == nil && len(bytes.Fields(ids)) > 0 {
			_ = e.command(append([]string{"rm", "-f"}, strings.Fields(string(ids))...)...).Run()
		}
		e.stop(syscall.SIGTERM)
	}
	if e.containerd != nil {
		_ = e.containerd.Process.Signal(syscall.SIGTERM)
		_ = e.containerd.Wait()
	}
	for _, pid := range processes("cmdline", e.path("ctd.sock")) {
		e.t.Errorf("process %d was left", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for _, line := range strings.Split(string(mounts), "\n") {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], e.dir+"/") {
			_ = syscall.Unmount(f[1], syscall.MNT_DETACH)
		}
	}
	if err := os.RemoveAll(e.dir); err != nil {
		e.t.Error(err)
	}
}

// processes are those that have a word among their arguments (cmdline), or in
// their environment (environ).
func processes(file, word string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/" + file)
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err == nil && bytes.Contains(append([]byte{0}, data...), []byte("\x00"+word+"\x00")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// elsewhere is a world at a daemon of its own.
func elsewhere(t *testing.T, e *ownDaemon) *world {
	t.Helper()
	w := newWorld(t)
	image, err := exec.Command("docker", "save", w.image).Output()
	if err != nil {
		t.Fatal(err)
	}
	load := e.command("load")
	load.Stdin = bytes.NewReader(image)
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.env = append(w.env, "DOCKER_HOST="+e.host())
	w.config(`{"docker":{"image_name":"` + w.image + `","container_name":"` + w.container + `","auto_build":false,"network":"none"}}`)
	return w
}

// trap makes whoever runs the fake CLI on this machine leave a file on-host.
func (w *world) trap() {
	w.t.Helper()
	dir := w.t.TempDir()
	script := "#!/bin/sh\necho \"$*\" >'" + w.workspace("on-host") + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "fakecli"), []byte(script), 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.env = append(w.env, "PATH="+dir+":"+os.Getenv("PATH"))
}

// unattended is a run whose outcome is wanted later.
type unattended struct {
	*running
	status *os.File
	id     string
}

func (w *world) unattended(args ...string) *unattended {
	w.t.Helper()
	status, err := os.Create(filepath.Join(w.t.TempDir(), "status"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { status.Close() })
	r := &running{t: w.t, cmd: w.command(append([]string{"exec", "--status-fd", "3"}, args...)...), out: &bytes.Buffer{}}
	r.cmd.Stdout, r.cmd.Stderr, r.cmd.ExtraFiles = r.out, r.out, []*os.File{status}
	if err := r.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
	var run runView
	wait(w.t, "the run", func() bool {
		out, _ := w.do(0, "ps", "--json")
		return json.Unmarshal([]byte(out), &run) == nil
	})
	return &unattended{r, status, run.ID}
}

func (u *unattended) end() (code int, o outcome) {
	u.t.Helper()
	code = u.code()
	line, err := os.ReadFile(u.status.Name())
	if err != nil || json.Unmarshal(line, &o) != nil {
		u.t.Fatalf("%v: %q\n%s", err, line, u.out)
	}
	return code, o
}

// left are its processes, in whatever container; none of them can hide from the
// root of this machine.
func (u *unattended) left() []int { return processes("environ", marked.Env+"="+u.id) }

// TestDaemonRestarts: what becomes of a command whose daemon ends is unknown. It
// is said so, it is run nowhere else, and nothing of it is left when the next
// command runs.
func TestDaemonRestarts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sig   syscall.Signal
		flags []string
		lives bool // the command, while there is no daemon
	}{
		{"killed", syscall.SIGKILL, nil, true},
		{"ended", syscall.SIGTERM, nil, false},
		{"killed with live-restore", syscall.SIGKILL, []string{"--live-restore"}, true},
		{"ended with live-restore", syscall.SIGTERM, []string{"--live-restore"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newDaemon(t, tt.flags...)
			w := elsewhere(t, e)
			w.trap()
			before := w.up().Container.ID
			r := w.unattended("--on-unavailable", "host", "--", "fakecli", "tree", w.workspace("tree"))
			wait(t, "the tree", func() bool { return w.read("tree") != "" })
			if n := len(r.left()); n < 3 {
				t.Fatalf("%d processes can be seen from here: that tests nothing", n)
			}
			e.stop(tt.sig)
			code, o := r.end()
			if code != 71 || o.Reason != "lost" || o.RanOn != "sandbox" || o.Code != 71 || !strings.Contains(r.out.String(), "unknown") {
				t.Errorf("%d %+v\n%s", code, o, r.out)
			}
			if lives := len(r.left()) > 0; lives != tt.lives {
				t.Errorf("without a daemon the command lives: %v", lives)
			}
			if code, o, errs := w.status("--", "fakecli", "exit", "0"); code != 69 || o.Reason != "daemon_unreachable" || o.RanOn != "none" {
				t.Errorf("without a daemon: %d %+v\n%s", code, o, errs)
			}
			e.start()
			if tt.flags != nil && len(r.left()) < 3 {
				t.Error("the command has ended by itself: that tests nothing")
			}
			w.exec(0, "exit", "0")
			if left := r.left(); len(left) > 0 {
				t.Errorf("of the old run %d are left", left)
			}
			if id := w.up().Container.ID; id != before {
				t.Error("it is another container")
			}
			if got := w.read("on-host"); got != "" {
				t.Errorf("on the host %q was run", got)
			}
			w.do(0, "down")
		})
	}
}
