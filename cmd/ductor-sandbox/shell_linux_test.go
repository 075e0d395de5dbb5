package main

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ductor/cmd/ductor-sandbox/internal/box"
	"ductor/internal/common/clitest"
)

// The tests here are of the second way: in a container in which our own program
// cannot run, the image's shell does what it would do.

// debian is made by test/systemd/image.sh.
const debian = "ductor-test-systemd:bookworm-2"

// twinConfig says that an image is of another architecture. Its programs run all
// the same, since they are not.
func twinConfig(of string) (map[string]any, error) {
	out, err := exec.Command("docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", of).Output()
	if err != nil {
		return nil, err
	}
	var layers []string
	if err := json.Unmarshal(out, &layers); err != nil {
		return nil, err
	}
	arch := "arm64"
	if runtime.GOARCH == arch {
		arch = "amd64"
	}
	return map[string]any{"architecture": arch, "os": "linux", "config": map[string]any{"Labels": map[string]string{"dev.ductor.test": "1"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": layers}}, nil
}

// twin makes the image name with the layers of another. They are not in what is
// loaded, because the daemon has them; docker import ignores its --platform. Two
// that do this at once make one image: nothing in it is of today.
func twin(name, of string) error {
	config, err := twinConfig(of)
	if err != nil {
		return err
	}
	files := make([]string, len(config["rootfs"].(map[string]any)["diff_ids"].([]string)))
	for i := range files {
		files[i] = "layer.tar"
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, v := range map[string]any{"config.json": config, "manifest.json": []any{map[string]any{"Config": "config.json", "RepoTags": []string{name}, "Layers": files}}} {
		data, err := json.Marshal(v)
		if err == nil {
			err = w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data))})
		}
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	load := exec.Command("docker", "load")
	load.Stdin = &archive
	if out, err := load.CombinedOutput(); err != nil {
		return fmt.Errorf("docker load: %w\n%s", err, out)
	}
	return nil
}

// foreignDebian has a name that follows from what is in it. It is left for the
// next run: its layers are debian's, so that it costs nothing.
var foreignDebian = sync.OnceValues(func() (string, error) {
	id, err := exec.Command("docker", "image", "inspect", "--format", "{{.Id}}", debian).Output()
	if err != nil {
		return "", err
	}
	name := "ductor-test-shell:" + strings.TrimPrefix(string(id), "sha256:")[:12]
	return name, twin(name, debian)
})

// byShell is both, in a container that has a shell, and not our program.
func byShell(t *testing.T, f func(t *testing.T, w *world)) {
	clitest.Need(t, "docker")
	if err := exec.Command("docker", "image", "inspect", debian).Run(); err != nil {
		clitest.Lacking(t, "systemd", "make test-deps, with a Docker daemon running")
	}
	image, err := foreignDebian()
	if err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, w *world) {
		w.image = image
		w.config(`{"telegram_token":"SECRET","docker":{"image_name":"` + w.image + `","container_name":"` + w.container + `","auto_build":false}}`)
		w.up()
		if got := docker(t, "inspect", "--format", "{{.Path}} {{.Args}} {{.HostConfig.Mounts}}", w.container); !strings.HasPrefix(got, "sleep [infinity] ") || strings.Contains(got, box.HelperPath) {
			t.Fatalf("our program is in the container: %s", got)
		}
		f(t, w)
		if left := w.living(); len(left) > 0 {
			t.Errorf("left %q", left)
		}
	})
}

// sh runs a script; words are its $1 and so on.
func (w *world) sh(code int, script string, words ...string) (stdout string) {
	w.t.Helper()
	stdout, _ = w.do(code, append([]string{"exec", "--", "sh", "-c", script, "sh"}, words...)...)
	return stdout
}

// living are the processes of the container but for its first two.
func (w *world) living() (all []string) {
	w.t.Helper()
	lines := strings.Split(docker(w.t, "top", w.container, "-eo", "pid,args"), "\n")
	for _, line := range lines[1:] {
		if !strings.HasSuffix(line, "sleep infinity") {
			all = append(all, line)
		}
	}
	return all
}

// TestShellDay is TestSandbox's: every code is the command's own, and so is
// either output.
func TestShellDay(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		if v := w.up(); v.Changed != "reused" || v.Drift.Drifted || !v.Ready {
			t.Errorf("%+v", v)
		}
		for _, want := range []int{0, 3, 42, 125, 126, 127, 137, 143, 255} {
			if code, o, errs := w.status("--", "sh", "-c", "exit "+strconv.Itoa(want)); code != want || o.Code != want || o.Reason != "exit" || o.RanOn != "sandbox" || errs != "" {
				t.Errorf("%d: %d %+v %s", want, code, o, errs)
			}
		}
		for sig, want := range map[string]int{"TERM": 143, "KILL": 137, "SEGV": 139} {
			if code, o, _ := w.status("--", "sh", "-c", "kill -s "+sig+" $$"); code != want || o.Reason != "exit" {
				t.Errorf("%s: %d %+v", sig, code, o)
			}
		}
		if out, errs := w.do(0, "exec", "--", "sh", "-c", "echo out; echo err >&2"); out != "out\n" || errs != "err\n" {
			t.Errorf("%q %q", out, errs)
		}
		if out, _ := w.do(0, "status"); !strings.Contains(out, "running") {
			t.Error(out)
		}
		if out, _ := w.do(0, "doctor"); !strings.Contains(out, "runs commands") {
			t.Error(out)
		}
		docker(t, "stop", "-t", "0", w.container)
		w.do(1, "status")
		w.sh(0, "exit 0") // that starts it
		w.do(0, "down")
		w.do(1, "status")
		w.sh(0, "exit 0") // that makes it
	})
}

// TestShellWords: no shell of ours reads them.
func TestShellWords(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		words := []string{"", "a b", " ", "'", "\"", "'\"'", "$HOME", "${x}", "$(id)", "`id`", "\\", "\\n", "a\nb", "\n", "*", "~", "&& false", "; exit 1", "#", "!", "é\u00a0日本", "\x01\x7f\t",
			"--", "-", "-x", "--help", "-e", "--timeout=1ns", "DUCTOR_EXEC_ID=x", "", strings.Repeat("x", maxWord-1)}
		for range 10 {
			words = append(words, strings.Repeat("é", 50<<10)) // a megabyte in all
		}
		want := strings.Join(words, "\x00") + "\x00"
		if out, _ := w.do(0, append([]string{"exec", "--", "printf", `%s\0`}, words...)...); out != want {
			t.Errorf("%.300q", out)
		}
		if out := w.sh(0, `printf '%s\0' "$@"`, words...); out != want {
			t.Errorf("%.300q", out)
		}
		// The first word may be as odd.
		for _, name := range []string{"a b", "-x", "it's", "$HOME", "\"", "é\n", "*"} {
			path := w.workspace(name)
			if err := os.WriteFile(path, []byte("#!/bin/sh\nprintf '%s' \"$0|$*\"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			if out, _ := w.do(0, "exec", "--", path, "-c", "d e"); out != path+"|-c d e" {
				t.Errorf("%q: %q", name, out)
			}
			if out, _ := w.do(0, "exec", "-e", "PATH="+w.workspace("")+":/bin", "--", name, "-c", "d e"); !strings.HasSuffix(out, "/"+name+"|-c d e") {
				t.Errorf("%q: %q", name, out)
			}
		}
	})
}

// TestShellEnvironment: what is secret is seen by the command, and by nobody who
// asks Docker.
func TestShellEnvironment(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		secret := rand.Text()
		w.env = append(w.env, "TOKEN="+secret+"\n'\"$HOME é ", "NOBODY=x")
		began := time.Now()
		out, _ := w.do(0, "exec", "-e", "TOKEN", "-e", "A=b c=d", "-e", "EMPTY=", "-e", "NOT_SET", "-e", "LANG=C.UTF-8", "--", "sh", "-c", `printf '%s|' "$TOKEN" "$A" "${EMPTY-unset}" "${NOT_SET-unset}" "${NOBODY-unset}" "$HOME" "$LANG"`)
		if want := secret + "\n'\"$HOME é |b c=d||unset|unset|/home/node|C.UTF-8|"; out != want {
			t.Errorf("%q, not %q", out, want)
		}
		if out, _ := w.do(0, "exec", "-e", "HOME=/tmp", "--", "sh", "-c", "cd && pwd"); out != "/tmp\n" {
			t.Errorf("HOME: %q", out)
		}
		told := docker(t, "events", "--since", strconv.FormatInt(began.Unix(), 10), "--until", strconv.FormatInt(time.Now().Unix()+1, 10), "--filter", "container="+w.container) +
			docker(t, "inspect", w.container)
		if !strings.Contains(told, "exec_create") || strings.Contains(told, secret) {
			t.Errorf("Docker tells: %s", told)
		}
	})
}

// TestShellStreams: 10 MiB go in and come back as they were.
func TestShellStreams(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		data := make([]byte, 10<<20)
		_, _ = rand.Read(data)
		if out, errs := w.feed(0, bytes.NewReader(data), "exec", "--", "cat"); out != string(data) || errs != "" {
			t.Errorf("%d bytes came back, or others: %s", len(out), errs)
		}
		if out, errs := w.feed(0, bytes.NewReader(data), "exec", "--", "sh", "-c", "head -c 1000000; head -c 2000000 >&2; cat >/dev/null"); out != string(data[:len(out)]) || len(out) < 1000000 || len(errs) != 2000000 {
			t.Errorf("%d and %d bytes", len(out), len(errs))
		}
		if out, _ := w.feed(0, bytes.NewReader(data), "exec", "--", "head", "-c", "5"); out != string(data[:5]) {
			t.Errorf("of a command that does not read on: %q", out)
		}
		// It ends, though its input does not.
		r, open, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer open.Close()
		defer r.Close()
		if out, _ := w.feed(0, r, "exec", "--timeout", clitest.Patience.String(), "--", "echo", "x"); out != "x\n" {
			t.Errorf("%q", out)
		}
		// As after a shell's fork: no signal is ignored, and so this ends quietly.
		if out, errs := w.do(0, "exec", "--", "sh", "-c", "yes | head -n 1; grep SigIgn /proc/self/status"); out != "y\nSigIgn:\t0000000000000000\n" || errs != "" {
			t.Errorf("%q %q", out, errs)
		}
	})
}

// TestShellNotStarted: Docker says so, and it is not the command's own code.
func TestShellNotStarted(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		if err := os.WriteFile(w.workspace("plain file"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("loop", w.workspace("loop")); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			code int
			argv []string
			text string
		}{
			{127, []string{"--", "no-such-program"}, "no-such-program"},
			{127, []string{"--", "/no/such/program"}, "/no/such/program"},
			{127, []string{"-t", "--", "no-such-program"}, "no-such-program"},
			{127, []string{"-e", "PATH=/no/such", "--", "true"}, "true"},
			{126, []string{"--", "/ductor"}, "/ductor"},
			{126, []string{"--", w.workspace("plain file")}, "plain file"},
			{126, []string{"--", w.workspace("loop")}, "loop"},
			{126, []string{"--", w.workspace("plain file/x")}, "not a directory"},
			{126, []string{"-w", "/etc/passwd", "--", "true"}, "/etc/passwd"},
		} {
			if code, o, errs := w.status(tt.argv...); code != tt.code || o.Code != tt.code || o.Reason != "not_started" || !strings.Contains(errs, tt.text) {
				t.Errorf("%q: %d %+v %s", tt.argv, code, o, errs)
			}
		}
		code, o, errs := w.status("-w", "/no/such/dir", "--", "touch", w.workspace("ran"))
		if code == 0 || o.Reason != "not_started" || !strings.Contains(errs, "/no/such/dir") || exists(w.workspace("ran")) {
			t.Errorf("no such folder: %d %+v %s", code, o, errs)
		}
	})
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

// TestShellDirectories: here is inside, too, and its files are the caller's own.
func TestShellDirectories(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		sub := w.workspace("sub 'dir'")
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		w.give(sub)
		for _, tt := range []struct{ dir, flag, want string }{
			{sub, "", sub}, {w.workspace(""), "", filepath.Clean(w.workspace(""))}, {"/", "", filepath.Clean(w.workspace(""))},
			{"/", sub, sub}, {w.workspace(""), filepath.Base(sub), sub}, {"/", "/tmp", "/tmp"}, {"/", "/ductor/workspace", "/ductor/workspace"},
		} {
			argv := []string{"exec", "--", "pwd", "-P"}
			if tt.flag != "" {
				argv = slices.Insert(argv, 1, "-w", tt.flag)
			}
			cmd := w.command(argv...)
			cmd.Dir = tt.dir
			if out, err := cmd.Output(); err != nil || string(out) != tt.want+"\n" {
				t.Errorf("in %q with %q: %q, not %q: %v", tt.dir, tt.flag, out, tt.want, err)
			}
		}
		w.sh(0, "umask; echo text >a; mkdir b; (umask 077; echo text >b/c)")
		for name, mode := range map[string]os.FileMode{"a": 0o644, "b": 0o755 | os.ModeDir, "b/c": 0o600} {
			info, err := os.Stat(w.workspace(name))
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t); info.Mode() != mode || owner.Uid != uint32(w.uid) || owner.Gid != uint32(w.uid) {
				t.Errorf("%s: %s of %d:%d", name, info.Mode(), owner.Uid, owner.Gid)
			}
		}
	})
}

// TestShellPerson: git, node and others want to know who they are.
func TestShellPerson(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		name := "node"
		if w.uid == 0 {
			name = "root"
		}
		id := strconv.Itoa(w.uid)
		for script, want := range map[string]string{
			"whoami": name, "id -un": name, "id -gn": name, "id -u": id, "id -g": id, "id -G": id,
			"getent passwd $(id -u)": fmt.Sprintf("%s:x:%s:%s:%s:/home/node:/bin/sh", name, id, id, name), "getent group $(id -g)": name + ":x:" + id + ":",
			"cd && pwd": "/home/node", "echo ~" + name: "/home/node", "hostname": "sandbox",
			`python3 -c 'import os, pwd; print(pwd.getpwuid(os.getuid()).pw_name, os.path.expanduser("~"))'`: name + " /home/node",
			"grep -E 'CapBnd|CapEff|NoNewPrivs' /proc/self/status":                                           "CapBnd:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1",
		} {
			if out := w.sh(0, script+" | sort"); strings.TrimSpace(out) != want {
				t.Errorf("%s: %q, not %q", script, out, want)
			}
		}
		// HOME outlives the container.
		w.sh(0, "echo '[user]' >~/.gitconfig && mkdir -p ~/.cache/x")
		w.up("--recreate")
		if out := w.sh(0, "cat ~/.gitconfig"); out != "[user]\n" {
			t.Errorf("%q", out)
		}
	})
}

// TestShellMounts: what may be written, and what may not even be read.
func TestShellMounts(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		for _, path := range []string{"/ductor/workspace/a", w.workspace("b"), "/tmp/c", "/home/node/d"} {
			w.sh(0, `echo text >"$1"`, path)
		}
		for _, path := range []string{"/ductor/x", "/ductor/config/x", "/ductor/config/config.json", "/ductor/run/x", "/ductor/sandbox/x", "/etc/passwd", "/etc/group"} {
			w.sh(2, `echo bad >"$1"`, path)
		}
		if out := w.sh(0, "ls -A /ductor/config /ductor/run /ductor/sandbox | grep -v : | grep . || true"); out != "" {
			t.Errorf("hidden folders hold %q", out)
		}
		if out := w.sh(0, "grep -rsl SECRET /ductor /home/node \"$1\" || true", filepath.Dir(w.home)); out != "" {
			t.Errorf("the token can be read in %s", out)
		}
		for path, code := range map[string]int{"/x": 2, "/usr/bin/x": 2, "/tmp/x": 0, "/home/node/x": 0, w.workspace("x"): 0} {
			w.do(code, "exec", "--read-only", "--", "sh", "-c", `echo text >"$1"`, "sh", path)
		}
	})
}

// tree is a shell with a child, and with a grandchild in a session of its own
// that does not listen, and has a child, too.
func (w *world) tree(args ...string) *running {
	w.t.Helper()
	alone := len(w.living())
	r := w.start(append(args, "--", "sh", "-c", `sleep 1001 & setsid sh -c 'trap "" TERM INT HUP; while :; do sleep 1002; done' & wait`)...)
	wait(w.t, "the tree", func() bool { return len(w.living()) == alone+4 })
	return r
}

// TestShellAbort: whoever asks, the whole tree ends, and no other.
func TestShellAbort(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		neighbour := w.start("--tag", "chat=1", "--", "sleep", "1000")
		wait(t, "the neighbour", func() bool { return len(w.living()) == 1 })
		alone := w.living()
		hup := make(chan os.Signal, 1) // under nohup it would be ignored, also by the program
		signal.Notify(hup, syscall.SIGHUP)
		defer signal.Stop(hup)
		for name, tt := range map[string]struct {
			code int
			end  func(r *running)
		}{
			"term": {143, func(r *running) { _ = r.cmd.Process.Signal(syscall.SIGTERM) }},
			"int":  {130, func(r *running) { _ = r.cmd.Process.Signal(os.Interrupt) }},
			"hup":  {129, func(r *running) { _ = r.cmd.Process.Signal(syscall.SIGHUP) }},
			"tag":  {143, func(*running) { w.do(0, "kill", "--tag", "name=tag", "--grace", "1s") }},
			"id": {143, func(*running) {
				var v runView
				out, _ := w.do(0, "ps", "--json")
				for line := range strings.Lines(out) {
					if err := json.Unmarshal([]byte(line), &v); err == nil && v.Tags["name"] == "id" {
						w.do(0, "kill", "--grace", "1s", v.ID)
					}
				}
			}},
		} {
			r := w.tree("--grace", "300ms", "--tag", "name="+name)
			tt.end(r)
			if code := r.code(); code != tt.code || !slices.Equal(w.living(), alone) {
				t.Errorf("%s: %d, left %q\n%s", name, code, w.living(), r.out)
			}
		}
		code, o, errs := w.status("--timeout", "1s", "--grace", "300ms", "--", "sh", "-c", "sleep 1003 & setsid sleep 1004 & wait")
		if code != 124 || o.Reason != "timeout" || o.Killed != 3 || !strings.Contains(errs, "1s, and was ended") || !slices.Equal(w.living(), alone) {
			t.Errorf("timeout: %d %+v %s, left %q", code, o, errs, w.living())
		}
		code, o, _ = w.status("--timeout", "1s", "--grace", clitest.Patience.String(), "--", "sh", "-c", `trap 'echo bye >bye; exit 9' TERM; while :; do sleep 0.1; done`)
		if code != 124 || o.Reason != "timeout" || w.read("bye") != "bye\n" {
			t.Errorf("one that takes its time: %d %+v %q", code, o, w.read("bye"))
		}
		w.do(75, "down")
		if out, _ := w.do(0, "ps"); strings.Count(out, "\n") != 1 || !strings.Contains(out, "chat=1") {
			t.Errorf("ps: %s", out)
		}
		if code := neighbour.stop(); code != 143 {
			t.Errorf("the neighbour: %d %s", code, neighbour.out)
		}
	})
}

// TestShellCallerKilled: the next call ends what it has left, and spares who has
// a caller.
func TestShellCallerKilled(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		neighbour := w.start("--tag", "chat=1", "--", "sleep", "1000")
		wait(t, "the neighbour", func() bool { return len(w.living()) == 1 })
		alone := w.living()
		r := w.tree()
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		if len(w.living()) != 5 {
			t.Error("the tree of a killed caller has ended by itself: that tests nothing")
		}
		w.sh(3, "exit 3")
		if left := w.living(); !slices.Equal(left, alone) {
			t.Errorf("left %q", left)
		}
		if out, _ := w.do(0, "ps"); strings.Count(out, "\n") != 1 || !strings.Contains(out, "chat=1") {
			t.Errorf("ps: %s", out)
		}
		w.do(0, "kill", "--all")
		if code := neighbour.code(); code != 143 {
			t.Errorf("the neighbour: %d %s", code, neighbour.out)
		}
	})
}

// TestShellLeftBehind: who holds the output open does not hold up the end, says
// it something or not, and is ended with it.
func TestShellLeftBehind(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		for _, script := range []string{
			"sleep 1001 & echo text; exit 7",
			`(trap "" TERM HUP; setsid sleep 1001) & echo text; exit 7`,
			"(while :; do echo text; sleep 0.1; done) & exit 7",
			"sleep 1001 >/dev/null 2>&1 & echo text; exit 7", // does not hold it
		} {
			cmd := w.command("exec", "--timeout", clitest.Patience.String(), "--", "sh", "-c", script)
			out, _ := cmd.Output()
			if code := clitest.CodeOf(cmd.ProcessState); code != 7 || !bytes.HasPrefix(out, []byte("text\n")) || len(w.living()) > 0 {
				t.Errorf("%s: %d %.99q, left %q", script, code, out, w.living())
			}
		}
	})
}

// TestShellEnds: for want of memory, and with the container.
func TestShellEnds(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		code, o, errs := w.status("--memory", "64m", "--", "tail", "/dev/zero")
		if code != 137 || o.Reason != "oom" || o.Signal != "SIGKILL" || !strings.Contains(errs, "memory") {
			t.Errorf("memory: %d %+v %s", code, o, errs)
		}
		r := w.start("--", "sh", "-c", "echo text; sleep 1000; :")
		wait(t, "it to run", func() bool { return len(w.living()) == 2 })
		docker(t, "rm", "-f", w.container)
		if code := r.code(); code != 71 || !strings.Contains(r.out.String(), "unknown") {
			t.Errorf("lost: %d %s", code, r.out)
		}
		w.sh(3, "exit 3")
	})
}

// TestShellTerminal: it has the size of the one outside, also after a change,
// and Ctrl-C and Ctrl-D mean the same.
func TestShellTerminal(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		person, program := terminal(t, 33, 111)
		cmd := w.command("exec", "--", "sh", "-c", `until [ "$(stty size)" = "33 111" ]; do sleep 0.05; done
			echo "$TERM"; cat; trap 'stty size' WINCH; echo now; while :; do sleep 0.05; done`)
		cmd.Env = append(cmd.Env, "TERM=xterm-mine")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		var seen screen
		go seen.read(person)
		say := func(text string) {
			if _, err := person.WriteString(text); err != nil {
				t.Fatal(err)
			}
		}
		wait(t, "the size", func() bool { return seen.has("xterm-mine") }) // Docker tells it after the start, before API 1.42
		say("typed\r")
		wait(t, "the echo, and the answer", func() bool { return seen.has("typed\r\ntyped\r\n") })
		say("\x04")
		wait(t, "the end of the input", func() bool { return seen.has("now") })
		size(t, person, 44, 122)
		wait(t, "the new size", func() bool { return seen.has("44 122") })
		say("\x03")
		_ = cmd.Wait()
		if code := clitest.CodeOf(cmd.ProcessState); code != 130 {
			t.Errorf("Ctrl-C: exit code %d", code)
		}
		if out, _ := w.feed(5, strings.NewReader("line\n"), "exec", "-t", "--", "sh", "-c", "tty; cat; exit 5"); !strings.Contains(out, "/dev/pts/") || !strings.Contains(out, "line\r\n") {
			t.Errorf("%q", out)
		}
		w.do(1, "exec", "--", "tty", "-s")
		code, o, _ := w.status("-t", "--timeout", "1s", "--grace", "300ms", "--", "sh", "-c", "sleep 1001 & setsid sleep 1002 & wait")
		if code != 124 || o.Killed != 3 {
			t.Errorf("%d %+v", code, o)
		}
	})
}

// TestShellNone: an image without a shell, in which our program cannot run either,
// is of no use, and that is said.
func TestShellNone(t *testing.T) {
	w := newWorld(t)
	bare := "ductor-test-shell:" + strings.ToLower(rand.Text())
	if err := twin(bare, w.image); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("docker", "rm", "-f", w.container).Run()
		docker(t, "rmi", bare)
	})
	code, o, errs := w.status("--image", bare, "--", "fakecli", "exit", "0")
	// Docker's init may live until the first look, and then it is the probe that fails.
	why, known := map[string]string{"start_failed": "exec sleep failed", "probe_failed": w.container}[o.Reason]
	if code != 69 || o.RanOn != "none" || !known || !strings.Contains(errs, why) {
		t.Errorf("%d %+v %s", code, o, errs)
	}
	w.exec(0, "exit", "0") // one that it can run in
}

// TestShellRefusalNotOnStdout: standard output holds what was asked for, or nothing.
func TestShellRefusalNotOnStdout(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		if out, errs := w.do(127, "exec", "--", "no-such-program"); out != "" || !strings.Contains(errs, "no-such-program") {
			t.Errorf("%q %q", out, errs)
		}
		for _, text := range []string{"O", "OCI runtime exec failed: ", "OCI runtime exec failed: x\n", "Ox"} { // the command's own
			if out, _ := w.do(0, "exec", "--", "printf", "%s", text); out != text {
				t.Errorf("%q, not %q", out, text)
			}
		}
	})
}

// TestShellNoFolderIs126: as with our own program, and whatever a name says.
func TestShellNoFolderIs126(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		path := w.workspace("no such file or directory")
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, argv := range [][]string{{"-w", "/no/such/dir", "--", "true"}, {"--", path}} {
			if code, o, errs := w.status(argv...); code != 126 || o.Reason != "not_started" {
				t.Errorf("%q: %d %+v %s", argv, code, o, errs)
			}
		}
	})
}

// TestShellWithoutMark: a child that has dropped its environment is ended, too, or it is said that it was not.
func TestShellWithoutMark(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		code, o, errs := w.status("--timeout", "1s", "--grace", "0s", "--", "sh", "-c", "env -i /bin/sleep 1001; :")
		if left := w.living(); code != 124 || len(left) > 0 && !strings.Contains(errs, "unknown") {
			t.Errorf("%d %+v %s, left %q", code, o, errs, left)
		}
	})
}

// TestShellFull: what has used up its processes can still be ended.
func TestShellFull(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		r := w.start("--pids", "40", "--grace", "0s", "--", "bash", "-c", "for i in {1..60}; do sleep 1001 & done; wait")
		wait(t, "it to be full", func() bool { return len(w.living()) >= 37 })
		time.Sleep(100 * time.Millisecond)
		if code := r.stop(); code != 143 || len(w.living()) > 0 {
			t.Errorf("%d, %d are left\n%s", code, len(w.living()), r.out)
		}
		w.do(0, "exec", "--pids", "40", "--", "true")
	})
}

// TestShellBuiltElsewhere: what is built may be of another architecture than this machine.
func TestShellBuiltElsewhere(t *testing.T) {
	byShell(t, func(t *testing.T, w *world) {
		file := w.home + "/Dockerfile"
		if err := os.WriteFile(file, []byte("FROM "+w.image+"\nLABEL dev.ductor.test=1\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		w.do(0, "down")
		w.config(`{"docker":{"image_name":"` + w.container + `:built","container_name":"` + w.container + `","auto_build":true}}`)
		t.Cleanup(func() { docker(t, "rm", "-f", w.container); docker(t, "rmi", w.container+":built") })
		first := w.up("--dockerfile", file).Container.ID
		if v := w.up("--dockerfile", file); v.Container.ID != first {
			t.Errorf("%+v", v.Drift)
		}
	})
}
