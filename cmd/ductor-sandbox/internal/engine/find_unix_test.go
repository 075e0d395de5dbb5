//go:build unix

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

// long is a time that no test waits for.
const long = clitest.Patience

// shortDir is a folder whose name leaves room for a socket's.
func shortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "d")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func listen(tb testing.TB, path string) net.Listener {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

// serve answers HTTP on a socket, and counts connections and requests.
type counts struct{ conns, pings, infos atomic.Int32 }

func serve(tb testing.TB, path string, h http.Handler) *counts {
	tb.Helper()
	n := &counts{}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/_ping":
				n.pings.Add(1)
			case strings.HasSuffix(r.URL.Path, "/info"):
				n.infos.Add(1)
			}
			h.ServeHTTP(w, r)
		}),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				n.conns.Add(1)
			}
		},
	}
	l := listen(tb, path)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	tb.Cleanup(func() { server.Close(); <-done })
	return n
}

// daemon is a good one, but for the headers given, where "" removes.
func daemon(headers map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all := map[string]string{"Api-Version": "1.41", "Ostype": "linux", "Server": "Docker/20.10.24 (linux)"}
		for k, v := range headers {
			all[k] = v
		}
		for k, v := range all {
			if v != "" {
				w.Header().Set(k, v)
			}
		}
		if r.URL.Path == "/_ping" {
			fmt.Fprint(w, "OK")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"ServerVersion": "20.10.24", "OSType": "linux", "Architecture": "aarch64", "MemTotal": 1 << 30, "NCPU": 4, "OperatingSystem": "Docker Desktop",
			"SecurityOptions": []string{"name=seccomp,profile=unconfined", "name=rootless"}, "CgroupVersion": "2", "Warnings": []string{"WARNING: No swap\x1b limit"},
			"PidsLimit": true,
		})
	})
}

// answer is a daemon that says these bytes, whatever is asked, and closes.
func answer(tb testing.TB, path, bytes string) {
	l := listen(tb, path)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if bytes != "" {
				_, _ = c.Read(make([]byte, 4096))
			}
			_, _ = io.WriteString(c, bytes)
			c.Close()
		}
	}()
	tb.Cleanup(func() { l.Close(); <-done })
}

func find(ctx context.Context, path string, vars map[string]string, timeout time.Duration) (*Engine, error) {
	return Find(ctx, Options{Host: "unix://" + path, Getenv: env(vars), GOOS: "linux", Timeout: timeout})
}

// TestOneConnectionTwoQuestions: exec's fast path asks once; Info asks once
// more, on the same connection.
func TestOneConnectionTwoQuestions(t *testing.T) {
	path := filepath.Join(shortDir(t), "a %2f:b.sock")
	n := serve(t, path, daemon(nil))
	e, err := find(t.Context(), path, nil, long)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Host != "unix://"+path || e.Source != "--host" || e.Version != "20.10.24" || e.API != "1.41" || e.OS != "linux" || e.Podman || e.Warnings != nil {
		t.Errorf("%+v", e)
	}
	if n.pings.Load() != 1 || n.infos.Load() != 0 {
		t.Errorf("Find asked %d and %d times", n.pings.Load(), n.infos.Load())
	}
	for range 3 {
		info, err := e.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%+v", info)
		want := "{Version:20.10.24 OS:linux Arch:arm64 Kernel: Memory:1073741824 CPUs:4 Rootless:true Desktop:true Podman:false UserNS:false SELinux:false Seccomp:false CgroupV2:true " +
			"MemoryLimit:false SwapLimit:false PidsLimit:true CPULimit:false Warnings:[No swap? limit]}"
		if got != want {
			t.Errorf("\n%s\n%s", got, want)
		}
	}
	if n.pings.Load() != 1 || n.infos.Load() != 1 || n.conns.Load() != 1 {
		t.Errorf("%d pings, %d infos on %d connections", n.pings.Load(), n.infos.Load(), n.conns.Load())
	}
}

func TestHeaders(t *testing.T) {
	for name, tt := range map[string]struct {
		headers map[string]string
		vars    map[string]string
		want    string // API version, product, Podman
		part    string // or of the error
	}{
		"newer than the client": {map[string]string{"Api-Version": "1.99"}, nil, "1.51 20.10.24 false", ""},
		"podman":                {map[string]string{"Libpod-Api-Version": "4.9.3", "Server": "Libpod/4.9.3 (linux)"}, nil, "1.41 4.9.3 true", ""},
		"no product":            {map[string]string{"Server": ""}, nil, "1.41  false", ""},
		"evil product":          {map[string]string{"Server": "Docker/\x1b[31m"}, nil, "", ""},
		"no version":            {map[string]string{"Api-Version": ""}, nil, "", "is it a Docker daemon?"},
		"old":                   {map[string]string{"Api-Version": "1.40"}, nil, "", "API version 1.40 is too old: 1.41 is needed"},
		"much older":            {map[string]string{"Api-Version": "1.9"}, nil, "", "too old"},
		"hostile version":       {map[string]string{"Api-Version": "1.41/../../x"}, nil, "", `"1.41/../../x", which is none`},
		"wanted":                {map[string]string{"Api-Version": "1.50"}, map[string]string{"DOCKER_API_VERSION": "1.44"}, "1.44 20.10.24 false", ""},
		"wanted too new":        {nil, map[string]string{"DOCKER_API_VERSION": "1.51"}, "", "DOCKER_API_VERSION is 1.51, and it speaks at most 1.41"},
		"wanted too old":        {nil, map[string]string{"DOCKER_API_VERSION": "v1.40"}, "", "DOCKER_API_VERSION is v1.40, and 1.41 is needed"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(shortDir(t), "s")
			serve(t, path, daemon(tt.headers))
			e, err := find(t.Context(), path, tt.vars, long)
			if err == nil {
				e.Close()
			}
			switch {
			case name == "evil product": // net/http refuses such a header at either end
				if err == nil && printable(e.Version) != e.Version {
					t.Errorf("%q", e.Version)
				}
			case tt.part != "":
				wantErr(t, err, exitcode.Unavailable, apiUnsupported, tt.part)
			case err != nil:
				t.Error(err)
			case fmt.Sprint(e.API, " ", e.Version, " ", e.Podman) != tt.want:
				t.Errorf("%s %s %v, want %s", e.API, e.Version, e.Podman, tt.want)
			}
		})
	}
}

func TestMalformedVersionVariable(t *testing.T) {
	for _, wanted := range []string{"latest", "1", "1.41/../x", "v", "1.41\n", "-1.41"} {
		_, err := Find(t.Context(), Options{Getenv: env(map[string]string{"DOCKER_API_VERSION": wanted})})
		wantErr(t, err, exitcode.Usage, "", fmt.Sprintf("parse DOCKER_API_VERSION %q", wanted))
	}
}

// TestBadAnswers: whatever listens there, the error says what it did, and that
// it is unreachable.
func TestBadAnswers(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\n"
	for name, tt := range map[string]struct{ bytes, part string }{
		"closes at once":    {"", "closed the connection without an answer"},
		"garbage":           {"\x15\x03\x01\x1b[31m\x00\r\n\r\n", "malformed HTTP"},
		"half an answer":    {ok + "Content-Length: 99\r\n\r\nOK", "closed the connection without an answer"},
		"half a header":     {ok + "Server: Do", "closed the connection without an answer"},
		"500":               {"HTTP/1.1 500 Oh\x1b no\r\nContent-Length: 9\r\n\r\nbroken \x1b!", `it answered "500 Oh? no": "broken ?!"`},
		"404":               {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", `"404 Not Found"`},
		"moved":             {"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", `"301 Moved"`},
		"TLS without TLS":   {"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", "HTTPS server"},
		"huge header":       {ok + "X: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", ""},
		"huge error":        {"HTTP/1.1 503 No\r\n\r\n" + strings.Repeat("y", 1<<20), "yyyy…"},
		"another protocol":  {"220 mail ESMTP\r\n", "malformed HTTP"},
		"control in header": {ok + "Server: Docker/\x07\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(shortDir(t), "s")
			answer(t, path, tt.bytes)
			e, err := find(t.Context(), path, nil, long)
			if name == "control in header" && err == nil {
				defer e.Close()
				if e.Version != "?" {
					t.Errorf("%q", e.Version)
				}
				return
			}
			wantErr(t, err, exitcode.Unavailable, unreachable, tt.part)
			if !strings.HasPrefix(err.Error(), `ask the Docker daemon at "unix://`+path+`" (--host): `) || len(err.Error()) > 1000 {
				t.Errorf("%.2000s", err)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	dir := shortDir(t)
	_, err := find(t.Context(), filepath.Join(dir, "absent"), nil, long)
	wantErr(t, err, exitcode.Unavailable, unreachable, "(--host): connect: no such file or directory")

	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "left"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as a daemon that was killed leaves it
	l.Close()
	_, err = find(t.Context(), filepath.Join(dir, "left"), nil, long)
	wantErr(t, err, exitcode.Unavailable, unreachable, "(--host): connect: connection refused")

	_, err = find(t.Context(), dir+"/"+strings.Repeat("x", 200), nil, long)
	wantErr(t, err, exitcode.Usage, "", "too long")

	_, err = Find(t.Context(), Options{Host: "tcp://127.0.0.1:1", GOOS: "linux", Timeout: long})
	wantErr(t, err, exitcode.Unavailable, unreachable, `"tcp://127.0.0.1:1" (--host): connect: connection refused`)
}

// TestHungDaemon: it accepts, and says nothing, or never ends what it says.
func TestHungDaemon(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hang := func(first string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if first != "" {
				w.Header().Set("Api-Version", "1.41")
				fmt.Fprint(w, first)
				w.(http.Flusher).Flush()
			}
			select {
			case <-release:
			case <-r.Context().Done():
			}
		})
	}
	for name, h := range map[string]http.Handler{"silent": hang(""), "trickles": hang("O")} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(shortDir(t), "s")
			serve(t, path, h)
			_, err := find(t.Context(), path, nil, 20*time.Millisecond)
			wantErr(t, err, exitcode.Unavailable, timedOut, "(--host): no answer in time")
		})
	}
	t.Run("never accepts", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "s")
		listen(t, path)
		_, err := find(t.Context(), path, nil, 20*time.Millisecond)
		wantErr(t, err, exitcode.Unavailable, timedOut, "no answer in time")
	})
	t.Run("info", func(t *testing.T) {
		path, good := filepath.Join(shortDir(t), "s"), daemon(nil)
		serve(t, path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/_ping" {
				good.ServeHTTP(w, r)
				return
			}
			hang("").ServeHTTP(w, r)
		}))
		e, err := find(t.Context(), path, nil, long)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		e.timeout = 20 * time.Millisecond
		_, err = e.Info(t.Context())
		wantErr(t, err, exitcode.Unavailable, timedOut, "ask the Docker daemon about itself: no answer in time")
	})
}

// TestCancelEndsTheSearch: no other place is asked after that.
func TestCancelEndsTheSearch(t *testing.T) {
	home := shortDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	serve(t, filepath.Join(home, "s"), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done() // the other side hung up
	}))
	_, err := find(ctx, filepath.Join(home, "s"), nil, long)
	if !errors.Is(err, context.Canceled) || exitcode.Of(err) != exitcode.OSErr {
		t.Errorf("%v", err)
	}
	n := serve(t, filepath.Join(home, ".rd", "docker.sock"), daemon(nil))
	if e, err := Find(ctx, Options{HomeDir: home}); err == nil || n.conns.Load() != 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestFirstThatAnswers, of the places that nobody named.
func TestFirstThatAnswers(t *testing.T) {
	dir := shortDir(t)
	absent := target{"unix://" + dir + "/absent", "default", nil}
	old := target{"unix://" + dir + "/old", "rootless", nil}
	serve(t, dir+"/old", daemon(map[string]string{"Api-Version": "1.24"}))
	good := target{"unix://" + dir + "/good", "Colima", nil}
	serve(t, dir+"/good", daemon(nil))
	o := Options{GOOS: "linux", Timeout: long}.complete()

	e, err := o.first(t.Context(), []target{absent, old, good})
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	if e.Source != "Colima" || e.Host != good.host {
		t.Errorf("%+v", e)
	}

	_, err = o.first(t.Context(), []target{absent, old})
	wantErr(t, err, exitcode.Unavailable, apiUnsupported, absent.host)
	wantErr(t, err, exitcode.Unavailable, apiUnsupported, `"`+old.host+`" (rootless): API version 1.24 is too old`)

	_, err = o.first(t.Context(), []target{absent, absent})
	wantErr(t, err, exitcode.Unavailable, unreachable, "; ask")
}

// TestNamedIsNeverSkipped: another daemon would have other containers.
func TestNamedIsNeverSkipped(t *testing.T) {
	home := shortDir(t)
	n := serve(t, filepath.Join(home, ".docker", "run", "docker.sock"), daemon(nil))
	put(t, `{"currentContext":"mine"}`, home, ".docker", "config.json")
	putContext(t, filepath.Join(home, ".docker"), "mine", "unix:///absent/mine.sock")
	for source, o := range map[string]Options{
		"--host":       {Host: "unix:///absent/a.sock"},
		"DOCKER_HOST":  {Getenv: env(map[string]string{"DOCKER_HOST": "unix:///absent/a.sock"})},
		"context mine": {},
	} {
		o.HomeDir, o.Timeout, o.GOOS = home, long, "linux"
		_, err := Find(t.Context(), o)
		wantErr(t, err, exitcode.Unavailable, unreachable, "("+source+")")
	}
	if n.conns.Load() != 0 {
		t.Error("another daemon was asked")
	}
}

const deniedEnv = "ENGINE_TEST_DENIED_SOCKET"

// TestPermissionDenied asks as a user whom the socket refuses. Root is refused
// nothing, so root runs this test once more as nobody.
func TestPermissionDenied(t *testing.T) {
	if path := os.Getenv(deniedEnv); path != "" {
		_, err := find(t.Context(), path, nil, long)
		wantErr(t, err, exitcode.Unavailable, denied, "(--host): connect: permission denied")
		return
	}
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	n := serve(t, path, daemon(nil))
	if err := os.Chmod(path, 0o400); err != nil { // a connection needs to write
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	if os.Getuid() == 0 {
		cmd = asNobody(t, dir)
	}
	cmd.Args = append(cmd.Args, "-test.run=^TestPermissionDenied$", "-test.v")
	cmd.Env = append(os.Environ(), deniedEnv+"="+path)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestPermissionDenied") || n.conns.Load() != 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// asNobody copies this program to where nobody can execute it.
func asNobody(t *testing.T, dir string) *exec.Cmd {
	clitest.Need(t, "setpriv")
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "test")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("setpriv", "--reuid=65534", "--clear-groups", program)
	cmd.Dir = dir
	return cmd
}
