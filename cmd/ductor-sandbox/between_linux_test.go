package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ductor/internal/common/clitest"
	"ductor/internal/common/home"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"

	"ductor/cmd/ductor-sandbox/internal/record"
)

// TestDownWhileCommandsBegin: each command runs to its own end, in whichever
// container, and none is lost with one that is just being removed.
func TestDownWhileCommandsBegin(t *testing.T) {
	w := newWorld(t)
	w.up()
	var over atomic.Bool
	var all sync.WaitGroup
	all.Go(func() {
		for !over.Load() {
			cmd := w.command("exec", "--", "fakecli", "exit", "7")
			out, _ := cmd.CombinedOutput()
			if code := clitest.CodeOf(cmd.ProcessState); code != 7 {
				t.Errorf("%d: %s", code, out)
			}
		}
	})
	removed := 0
	for try := 0; removed < 6 && try < 2000 && !t.Failed(); try++ {
		before, _ := exec.Command("docker", "inspect", "--format", "{{.Id}}", w.container).Output()
		cmd := w.command("down")
		out, _ := cmd.CombinedOutput()
		switch code := clitest.CodeOf(cmd.ProcessState); {
		case code == 0 && len(before) > 1:
			removed++
		case code != 0 && code != 75:
			t.Errorf("down: %d: %s", code, out)
		}
	}
	over.Store(true)
	all.Wait()
	if removed < 6 {
		t.Errorf("%d containers were removed", removed)
	}
}

// TestNobodyBeginsInWhatIsRemoved waits for who removes a container, and does not
// run in that one.
func TestNobodyBeginsInWhatIsRemoved(t *testing.T) {
	w := newWorld(t)
	id := w.up().Container.ID
	removal := home.Home(w.home).Run(home.DefaultName).RemovalGuard()
	lock, err := lockfile.Try(removal)
	if err != nil {
		t.Fatal(err)
	}
	run := w.start("--", "fakecli", "tick")
	docker(t, "rm", "-f", id)
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	wait(t, "it to run", func() bool { return len(w.inside()) > 0 })
	if code := run.stop(); code != 143 {
		t.Errorf("%d: %s", code, run.out)
	}
	if v := w.up(); v.Container.ID == id {
		t.Error("it is the container that was removed")
	}
}

// TestRunsOfAnotherDaemon are not this one's business: that it does not know a
// container says nothing of one elsewhere.
func TestRunsOfAnotherDaemon(t *testing.T) {
	w := newWorld(t)
	w.up()
	runs := record.Dir(home.Home(w.home).Run(home.DefaultName).Runs())
	dead := process.Identity{PID: 1 << 22, Start: "1"}
	far := record.Run{ID: strings.Repeat("A", 26), Owner: dead, Container: strings.Repeat("ab", 32), Engine: "tcp://nas:2375"}
	near := record.Run{ID: strings.Repeat("B", 26), Owner: dead, Container: strings.Repeat("cd", 32), Engine: "unix:///var/run/docker.sock"}
	for _, r := range []record.Run{far, near} {
		if err := runs.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	w.exec(0, "exit", "0")
	left, err := runs.List()
	if err != nil || len(left) != 1 || left[0].ID != far.ID {
		t.Errorf("%+v, %v", left, err)
	}
}

// TestKernelWithoutLimits: a Raspberry Pi's, as it comes, limits no memory. Docker
// drops that limit then, and what can never be as it was asked for is no drift.
func TestKernelWithoutLimits(t *testing.T) {
	w := newWorld(t)
	d := poorDaemon(t)
	w.env = append(w.env, "DOCKER_HOST=unix://"+d.socket)
	id := w.up().Container.ID
	if got := docker(t, "inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}", id); got != "0 2048" {
		t.Fatal(got)
	}
	for range 2 {
		w.exec(7, "exit", "7")
	}
	if out, _ := w.do(0, "status", "--json"); !strings.Contains(out, `"drifted":false`) {
		t.Error(out)
	}
	if v := w.up(); v.Container.ID != id || v.Drift.Action != "none" || !strings.Contains(strings.Join(v.Warnings, " "), "memory") {
		t.Errorf("%+v", v)
	}
	if n := d.updates.Load(); n > 0 {
		t.Errorf("it was told %d times to limit what it cannot", n)
	}
}

// poor is the real daemon, as if its kernel could not limit memory.
type poor struct {
	socket  string
	updates atomic.Int32
}

func poorDaemon(t *testing.T) *poor {
	t.Helper()
	dir, err := os.MkdirTemp("", "ductor-test") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &poor{socket: filepath.Join(dir, "docker.sock")}
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "docker"}) },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", "/var/run/docker.sock")
		}},
		ModifyResponse: func(r *http.Response) error {
			if !strings.HasSuffix(r.Request.URL.Path, "/info") {
				return nil
			}
			return alter(&r.Body, &r.ContentLength, func(all map[string]any) { all["MemoryLimit"], all["SwapLimit"] = false, false }, r.Header)
		},
	}
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/update"):
			d.updates.Add(1)
		case strings.HasSuffix(r.URL.Path, "/containers/create"):
			_ = alter(&r.Body, &r.ContentLength, func(all map[string]any) {
				hc := all["HostConfig"].(map[string]any)
				hc["Memory"], hc["MemorySwap"] = 0, 0
			}, r.Header)
		}
		proxy.ServeHTTP(rw, r)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return d
}

// alter changes a body of JSON that passes.
func alter(body *io.ReadCloser, length *int64, f func(map[string]any), h http.Header) error {
	var all map[string]any
	decoder := json.NewDecoder(*body)
	decoder.UseNumber()
	if err := decoder.Decode(&all); err != nil {
		return err
	}
	f(all)
	data, err := json.Marshal(all)
	*body, *length = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	h.Set("Content-Length", fmt.Sprint(len(data)))
	return err
}
