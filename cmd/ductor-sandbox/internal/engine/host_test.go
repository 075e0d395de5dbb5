package engine

import (
	"strings"
	"testing"
	"unicode"

	"github.com/docker/docker/client"

	"ductor/internal/common/exitcode"
)

func TestParseHost(t *testing.T) {
	for _, tt := range []struct {
		host, goos string
		secure     bool
		want       string
	}{
		{"unix:///var/run/docker.sock", "linux", false, "unix:///var/run/docker.sock"},
		{"unix:///a b/%2f#?.sock", "linux", false, "unix:///a b/%2f#?.sock"},
		{"unix://C:/docker.sock", "windows", false, "unix://C:/docker.sock"},
		{"npipe:////./pipe/docker_engine", "windows", false, "npipe:////./pipe/docker_engine"},
		{"tcp://nas:2375", "linux", false, "tcp://nas:2375"},
		{"tcp://nas", "linux", false, "tcp://nas:2375"},
		{"tcp://nas", "linux", true, "tcp://nas:2376"},
		{"tcp://:99", "linux", false, "tcp://localhost:99"},
		{"tcp://[::1]:99/base/", "linux", false, "tcp://[::1]:99/base/"},
		{"tcp://[::1]", "linux", false, "tcp://[::1]:2375"},
	} {
		if got, err := parseHost(tt.host, tt.secure, tt.goos); got != tt.want || err != nil {
			t.Errorf("%q: %q, %v; want %q", tt.host, got, err, tt.want)
		}
	}
}

func TestParseHostMalformed(t *testing.T) {
	for host, part := range map[string]string{
		"":                          "missing",
		" ":                         "missing",
		"localhost:2375":            "missing",
		"/var/run/docker.sock":      "missing",
		"unix://":                   "missing",
		"://x":                      "unknown scheme",
		"unix://docker.sock":        "absolute",
		"unix://~/.docker/x.sock":   "absolute",
		"unix:///a\x00b":            `"unix:///a\x00b": control characters`,
		"tcp://a\x1b[31m:1":         `\x1b[31m`,
		"tcp://a\r\nHost: b:1":      "control characters",
		"unix:///a\u0085b":          "control characters",
		"tcp://nas:0":               `port "0"`,
		"tcp://nas:65536":           `port "65536"`,
		"tcp://nas:99999999999999":  `port "99999999999999"`,
		"tcp://nas:docker":          "port",
		"tcp://nas:-1":              "port",
		"tcp://fe80::1":             "brackets",
		"tcp://a b:1":               "character",
		"tcp://[::1:1":              "missing ']'",
		"tcp://user:pass@nas:1":     "HOST:PORT/PATH",
		"tcp://nas:1?x=y":           "HOST:PORT/PATH",
		"tcp://nas:1#x":             "HOST:PORT/PATH",
		"http://nas:1":              `unknown scheme "http"`,
		"fd://3":                    `unknown scheme "fd"`,
		"UNIX:///var/run/docker":    "unknown scheme",
		"npipe:////./pipe/d":        "for Windows",
		"unix:///x\nunix:///second": "control characters",
	} {
		_, err := parseHost(host, false, "linux")
		wantErr(t, err, exitcode.Usage, "", part)
	}
	_, err := parseHost("npipe://pipe", false, "windows")
	wantErr(t, err, exitcode.Usage, "", "starts with //")
}

func TestSSHHostSaysWhatToDo(t *testing.T) {
	for host, hint := range map[string]string{
		"ssh://me@nas":           `docker.sock" me@nas && export`,
		"ssh://nas:2222":         `docker.sock" -p 2222 nas && export`,
		"ssh://-oProxyCommand=x": "forward its socket",
		"ssh://$(reboot)@nas":    "forward its socket",
		"ssh://me@na;s":          "forward its socket",
		"ssh://%zz":              "forward its socket",
	} {
		_, err := parseHost(host, false, "linux")
		wantErr(t, err, exitcode.Unavailable, unreachable, "ssh is not supported")
		if got := err.(*exitcode.Error).Hint; !strings.Contains(got, hint) {
			t.Errorf("%q: hint %q", host, got)
		}
	}
}

// FuzzParseHost: what is accepted is accepted again, means the same to the
// client, and cannot break a line; what is not has a code.
func FuzzParseHost(f *testing.F) {
	for _, host := range []string{"unix:///a", "tcp://[::1%25eth0]:1/x", "tcp://:1", "ssh://a@b:1", "npipe:////./pipe/x", "tcp://a:1/%2f", "tcp://x//", "tcp://a:1/%zz", "tcp://::"} {
		f.Add(host, false)
	}
	f.Fuzz(func(t *testing.T, host string, secure bool) {
		clean, err := parseHost(host, secure, "linux")
		if err != nil {
			if code := exitcode.Of(err); code != exitcode.Usage && code != exitcode.Unavailable {
				t.Errorf("%q: code %d", host, code)
			}
			return
		}
		if strings.ContainsFunc(clean, unicode.IsControl) {
			t.Errorf("%q became %q", host, clean)
		}
		if again, err := parseHost(clean, secure, "linux"); again != clean || err != nil {
			t.Errorf("%q became %q, then %q, %v", host, clean, again, err)
		}
		if _, err := client.ParseHostURL(clean); err != nil {
			t.Errorf("%q became %q, which the client refuses: %v", host, clean, err)
		}
	})
}

func TestRemote(t *testing.T) {
	for host, want := range map[string]bool{
		"unix:///a": false, "npipe:////./pipe/x": false, "tcp://localhost:1": false, "tcp://127.0.0.2:1": false, "tcp://[::1]:1": false,
		"tcp://nas:1": true, "tcp://192.0.2.1:1": true,
	} {
		if got := remote(host); got != want {
			t.Errorf("remote(%q) = %v", host, got)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for _, bad := range []string{"", "1", "1.", ".1", "1.x", "1.41.2", "-1.41", "+1.41", "1.41/../..", " 1.41", "1.99999", "1.00041"} {
		if _, _, ok := parseVersion(bad); ok {
			t.Errorf("%q is accepted", bad)
		}
	}
	if major, minor, ok := parseVersion("1.41"); major != 1 || minor != 41 || !ok {
		t.Error(major, minor, ok)
	}
	if older(1, 9, 1, 8) || !older(1, 9, 1, 41) || older(2, 0, 1, 41) {
		t.Error("versions are compared like text")
	}
}
