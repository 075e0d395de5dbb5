//go:build unix

package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ductor/internal/common/exitcode"
)

// put writes a file, with its folders.
func put(tb testing.TB, content string, path ...string) string {
	tb.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

func contextID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// putContext stores one as the docker command does.
func putContext(tb testing.TB, dir, name, host string) string {
	meta := `{"Name":"` + name + `","Metadata":{},"Endpoints":{"docker":{"Host":"` + host + `","SkipTLSVerify":false}}}`
	return put(tb, meta, dir, "contexts", "meta", contextID(name), "meta.json")
}

// TestContextIDIsTheDockerCommands, as `docker context create` writes it.
func TestContextIDIsTheDockerCommands(t *testing.T) {
	if got := contextID("nope"); got != "ca3704aa0b06f5954c79ee837faa152d84d6b2d42838f0637a15eda8337dbdce" {
		t.Error(got)
	}
}

func TestPrecedence(t *testing.T) {
	home := t.TempDir()
	put(t, `{"auths":{},"currentContext":"current"}`, home, ".docker", "config.json")
	putContext(t, filepath.Join(home, ".docker"), "current", "unix:///current.sock")
	putContext(t, filepath.Join(home, ".docker"), "other", "tcp://other")
	put(t, "", home, ".docker", "contexts", "tls", contextID("other"), "docker", "key.pem")
	elsewhere := t.TempDir()
	put(t, "{}", elsewhere, "config.json")
	for name, tt := range map[string]struct {
		host string
		vars map[string]string
		want string
		tls  bool
	}{
		"flag":                {"unix:///f", map[string]string{"DOCKER_HOST": "unix:///h", "DOCKER_CONTEXT": "other"}, "unix:///f --host", false},
		"DOCKER_HOST":         {"", map[string]string{"DOCKER_HOST": "unix:///h", "DOCKER_CONTEXT": "other"}, "unix:///h DOCKER_HOST", false},
		"DOCKER_CONTEXT":      {"", map[string]string{"DOCKER_CONTEXT": "other"}, "tcp://other:2376 context other", true},
		"default context":     {"", map[string]string{"DOCKER_CONTEXT": "default"}, defaultUnix + " context default", false},
		"current":             {"", nil, "unix:///current.sock context current", false},
		"current before TLS":  {"", map[string]string{"DOCKER_TLS_VERIFY": "1"}, "unix:///current.sock context current", false},
		"DOCKER_CONFIG":       {"", map[string]string{"DOCKER_CONFIG": elsewhere}, defaultUnix + " default", false},
		"no DOCKER_CONFIG":    {"", map[string]string{"DOCKER_CONFIG": elsewhere + "/absent"}, defaultUnix + " default", false},
		"TLS, no host":        {"", map[string]string{"DOCKER_CONFIG": elsewhere, "DOCKER_TLS_VERIFY": "0"}, defaultTLS + " DOCKER_TLS_VERIFY", true},
		"TLS, default":        {"", map[string]string{"DOCKER_CONTEXT": "default", "DOCKER_TLS": "1"}, defaultTLS + " DOCKER_TLS_VERIFY", true},
		"TLS, host":           {"", map[string]string{"DOCKER_HOST": "tcp://h", "DOCKER_TLS_VERIFY": "1"}, "tcp://h:2376 DOCKER_HOST", true},
		"TLS, socket":         {"", map[string]string{"DOCKER_HOST": "unix:///h", "DOCKER_TLS_VERIFY": "1"}, "unix:///h DOCKER_HOST", false},
		"certificates alone":  {"", map[string]string{"DOCKER_HOST": "tcp://h", "DOCKER_CERT_PATH": home}, "tcp://h:2375 DOCKER_HOST", false},
		"empty DOCKER_TLS":    {"", map[string]string{"DOCKER_HOST": "tcp://h", "DOCKER_TLS_VERIFY": ""}, "tcp://h:2375 DOCKER_HOST", false},
		"empty variables too": {"", map[string]string{"DOCKER_HOST": "", "DOCKER_CONTEXT": "", "DOCKER_CONFIG": ""}, "unix:///current.sock context current", false},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Host: tt.host, Getenv: env(tt.vars), HomeDir: home, GOOS: "darwin"}.complete()
			list, err := o.targets()
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			if got := list[0].host + " " + list[0].source; got != tt.want || (list[0].tls != nil) != tt.tls {
				t.Errorf("%q, TLS %+v; want %q, %v", got, list[0].tls, tt.want, tt.tls)
			}
		})
	}
}

// TestUsualPlaces: the default first, and of the others only sockets.
func TestUsualPlaces(t *testing.T) {
	home := shortDir(t)
	runtimeDir := filepath.Join(home, "run")
	for _, path := range []string{".orbstack/run/docker.sock", ".docker/run/docker.sock", "run/docker.sock"} {
		file := filepath.Join(home, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	put(t, "no socket", home, ".colima/default/docker.sock")
	o := Options{Getenv: env(map[string]string{"XDG_RUNTIME_DIR": runtimeDir}), HomeDir: home, GOOS: "darwin"}.complete()
	var got []string
	for _, x := range o.usual() {
		got = append(got, x.source+" "+strings.TrimPrefix(x.host, "unix://"+home))
	}
	want := "default unix:///var/run/docker.sock, rootless /run/docker.sock, Docker Desktop /.docker/run/docker.sock, OrbStack /.orbstack/run/docker.sock"
	if strings.Join(got, ", ") != want {
		t.Errorf("%q", got)
	}
	o.GOOS = "windows"
	if list := o.usual(); len(list) != 1 || list[0].host != defaultPipe {
		t.Errorf("%+v", list)
	}
	for _, bare := range []Options{{GOOS: "linux"}, {GOOS: "darwin", HomeDir: "relative", Getenv: env(map[string]string{"XDG_RUNTIME_DIR": "."})}} {
		for _, x := range bare.complete().userSockets() {
			if !strings.HasPrefix(x.host, "/run/user/") {
				t.Errorf("%+v", x)
			}
		}
	}
}

func TestMalformedConfig(t *testing.T) {
	for name, tt := range map[string]struct{ content, part string }{
		"torn":         {`{"currentContext":"x`, "unexpected end"},
		"garbage":      {"\x00\x1b[31m", "invalid character"},
		"wrong type":   {`{"currentContext":7}`, "cannot unmarshal number"},
		"wrong object": {`[]`, "cannot unmarshal array"},
		"huge":         {strings.Repeat(" ", maxConfig+1), "not a small file"},
		"no context":   {`{"currentContext":"gone\u001b"}`, `find context "gone\x1b"`},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			file := put(t, tt.content, home, ".docker", "config.json")
			_, err := Options{HomeDir: home}.complete().targets()
			wantErr(t, err, exitcode.DataErr, "", tt.part)
			if !strings.Contains(err.Error(), file) {
				t.Errorf("%v does not name %s", err, file)
			}
		})
	}
	for _, empty := range []string{"", "\n", "{}", "null", `{"currentContext":null}`, `{"currentContext":"default"}`} {
		home := t.TempDir()
		put(t, empty, home, ".docker", "config.json")
		if list, err := (Options{HomeDir: home, GOOS: "darwin"}).complete().targets(); err != nil || list[0].source != "default" {
			t.Errorf("%q: %+v, %v", empty, list, err)
		}
	}
}

// TestConfigThatIsNoFile must not wait for a writer either.
func TestConfigThatIsNoFile(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, ".docker", "config.json")
	if err := os.MkdirAll(file, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Options{HomeDir: home}.complete().targets()
	wantErr(t, err, exitcode.DataErr, "", file)

	pipe := filepath.Join(t.TempDir(), "config.json")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Options{Getenv: env(map[string]string{"DOCKER_CONFIG": filepath.Dir(pipe)})}.complete().targets()
	wantErr(t, err, exitcode.DataErr, "", pipe)

	_, err = Options{Getenv: env(map[string]string{"DOCKER_CONFIG": put(t, "", t.TempDir(), "file")})}.complete().targets()
	wantErr(t, err, exitcode.DataErr, "", "config.json")
}

func TestMalformedContext(t *testing.T) {
	for name, tt := range map[string]struct {
		meta, id string
		code     int
		part     string
	}{
		"torn":          {`{"Endpoints":{"docker":`, "", exitcode.DataErr, "unexpected end"},
		"empty":         {"", "", exitcode.DataErr, "empty file"},
		"wrong type":    {`{"Endpoints":{"docker":{"Host":[]}}}`, "", exitcode.DataErr, "cannot unmarshal"},
		"no endpoint":   {`{"Endpoints":{}}`, "", exitcode.DataErr, `parse Docker host ""`},
		"bad host":      {`{"Endpoints":{"docker":{"Host":"nas:1"}}}`, "", exitcode.DataErr, `context "mine": parse Docker host "nas:1"`},
		"ssh":           {`{"Endpoints":{"docker":{"Host":"ssh://me@nas"}}}`, unreachable, exitcode.Unavailable, "ssh is not supported"},
		"control bytes": {`{"Endpoints":{"docker":{"Host":"tcp://a\u0000:1"}}}`, "", exitcode.DataErr, "control characters"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := put(t, tt.meta, dir, "contexts", "meta", contextID("mine"), "meta.json")
			_, err := Options{Getenv: env(map[string]string{"DOCKER_CONFIG": dir, "DOCKER_CONTEXT": "mine"})}.complete().targets()
			wantErr(t, err, tt.code, tt.id, tt.part)
			if !strings.Contains(err.Error(), file) {
				t.Errorf("%v does not name %s", err, file)
			}
		})
	}
}

func TestUnknownContext(t *testing.T) {
	dir := t.TempDir()
	_, err := Options{Getenv: env(map[string]string{"DOCKER_CONFIG": dir, "DOCKER_CONTEXT": "../x"})}.complete().targets()
	wantErr(t, err, exitcode.Usage, "", `find context "../x" (DOCKER_CONTEXT): open "`+dir)
	_, err = Options{Getenv: env(map[string]string{"DOCKER_CONTEXT": "x"})}.complete().targets()
	wantErr(t, err, exitcode.Usage, "", "home folder is unknown")
}

func TestMalformedHostNamesItsSource(t *testing.T) {
	_, err := Options{Host: "nas:1"}.complete().targets()
	wantErr(t, err, exitcode.Usage, "", `--host: parse Docker host "nas:1"`)
	_, err = Options{Getenv: env(map[string]string{"DOCKER_HOST": "unix://\x1b"})}.complete().targets()
	wantErr(t, err, exitcode.Usage, "", `DOCKER_HOST: parse Docker host "unix://\x1b"`)
}
