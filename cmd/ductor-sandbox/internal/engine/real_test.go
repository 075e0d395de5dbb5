package engine

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode"

	"go.uber.org/goleak"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// env is an environment of these variables and no others.
func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// daemonHere finds the daemon of this machine as a user would.
func daemonHere(tb testing.TB) *Engine {
	tb.Helper()
	clitest.Need(tb, "docker")
	home, _ := os.UserHomeDir()
	e, err := Find(context.Background(), Options{Getenv: os.Getenv, HomeDir: home})
	if err != nil {
		tb.Fatalf("the docker command finds it, and we do not: %v", err)
	}
	tb.Cleanup(e.Close)
	return e
}

func TestRealDaemon(t *testing.T) {
	e := daemonHere(t)
	t.Logf("%q from %s: %s, API %s", e.Host, e.Source, e.Version, e.API)
	if e.Version == "" || e.API == "" || e.OS != "linux" {
		t.Errorf("%+v", e)
	}
	info, err := e.Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if info.Version != e.Version || info.OS != e.OS || info.CPUs < 1 || info.Memory < 1<<20 || info.Arch == "" || info.Arch == "x86_64" {
		t.Errorf("%+v", info)
	}
	if version, err := e.Client.ServerVersion(context.Background()); err != nil || version.Version != e.Version {
		t.Errorf("the header says %q, the version call %q, %v", e.Version, version.Version, err)
	}
}

func TestRealDaemonRefusesAWantedVersion(t *testing.T) {
	host := daemonHere(t).Host
	_, err := Find(context.Background(), Options{Host: host, Getenv: env(map[string]string{"DOCKER_API_VERSION": "1.999"})})
	wantErr(t, err, exitcode.Unavailable, apiUnsupported, "DOCKER_API_VERSION is 1.999")

	e, err := Find(context.Background(), Options{Host: host, Getenv: env(map[string]string{"DOCKER_API_VERSION": "v1.41"})})
	if err != nil {
		t.Skip("this daemon has left 1.41 behind")
	}
	defer e.Close()
	if _, err := e.Info(context.Background()); e.API != "1.41" || err != nil && id(err) != apiUnsupported {
		t.Errorf("API %q: %v", e.API, err)
	}
}

func BenchmarkFind(b *testing.B) {
	host := daemonHere(b).Host
	for b.Loop() {
		e, err := Find(context.Background(), Options{Host: host})
		if err != nil {
			b.Fatal(err)
		}
		e.Close()
	}
}

func BenchmarkFindAndInfo(b *testing.B) {
	host := daemonHere(b).Host
	for b.Loop() {
		e, err := Find(context.Background(), Options{Host: host})
		if err == nil {
			_, err = e.Info(context.Background())
			e.Close()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// wantErr checks code, ID, that the text has the part and no control
// characters, and that a reason comes with a hint.
func wantErr(tb testing.TB, err error, code int, wantID, part string) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("no error; want %q", part)
	}
	if got := exitcode.Of(err); got != code {
		tb.Errorf("code %d, not %d: %v", got, code, err)
	}
	if got := id(err); got != wantID {
		tb.Errorf("ID %q, not %q: %v", got, wantID, err)
	}
	text := err.Error()
	if !strings.Contains(text, part) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		tb.Errorf("%q does not contain %q, or is not printable", text, part)
	}
	var coded *exitcode.Error
	if errors.As(err, &coded); wantID != "" && wantID != apiUnsupported && coded.Hint == "" {
		tb.Errorf("no hint: %v", err)
	}
}
