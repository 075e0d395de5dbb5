package backend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ductor/cmd/ductor-service/internal/definition"
)

// servable is a service whose programs are there.
func servable(t *testing.T, name string) definition.Service {
	t.Helper()
	dir := t.TempDir()
	s := definition.Service{Name: name, Home: filepath.Join(dir, "home"), DefaultHome: true, Runner: filepath.Join(dir, "ductor-service"),
		Command: []string{filepath.Join(dir, "bot"), "--now"}, Path: "/usr/bin:/bin", Dir: dir, User: "u", StopSeconds: 45}
	for _, p := range []string{s.Runner, s.Command[0]} {
		if err := os.WriteFile(p, nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// rendered is the service's own definition.
func rendered(t *testing.T, p definition.Platform, s definition.Service) []byte {
	t.Helper()
	files, err := s.Render(p)
	if err != nil {
		t.Fatal(err)
	}
	return files[0].Data
}

func problemsOf(t *testing.T, p definition.Platform, data []byte) string {
	t.Helper()
	st, err := definition.Read(p, data)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, problem := range commonProblems(p, &st, data) {
		if problem.Message == "" || !strings.HasPrefix(problem.Fix, "ductor-service install") {
			t.Errorf("%+v helps nobody", problem)
		}
		codes = append(codes, problem.Code)
	}
	return strings.Join(codes, " ")
}

func TestCommonProblems(t *testing.T) {
	for _, p := range []definition.Platform{definition.SystemdUser, definition.LaunchdAgent} {
		s := servable(t, "nas")
		data := rendered(t, p, s)
		if got := problemsOf(t, p, data); got != "" {
			t.Errorf("%s: a sound service has %s", p, got)
		}
		edited := []byte(strings.Replace(string(data), "/usr/bin:/bin", "/opt/bin", 2))
		if got := problemsOf(t, p, edited); got != "definition-edited" {
			t.Errorf("%s: edited: %q", p, got)
		}
		s.Updater = filepath.Join(s.Dir, "ductor-update")
		if got := problemsOf(t, p, rendered(t, p, s)); got != "exec-missing" {
			t.Errorf("%s: without its updater: %q", p, got)
		}
		s.Rollback = s.Updater
		if got := problemsOf(t, p, rendered(t, p, s)); got != "exec-missing" {
			t.Errorf("%s: it is told twice, or not at all: %q", p, got)
		}
		s.Updater = ""
		if got := problemsOf(t, p, rendered(t, p, s)); got != "exec-missing" {
			t.Errorf("%s: without what takes upgrades back: %q", p, got)
		}
		if err := os.Remove(s.Runner); err != nil {
			t.Fatal(err)
		}
		if got := problemsOf(t, p, data); got != "exec-missing" {
			t.Errorf("%s: without its runner: %q", p, got)
		}
		if found := commonProblems(p, nil, data); found != nil {
			t.Errorf("%s: of what is not ours we know %v", p, found)
		}
	}
}

// TestStaleDefinition has a definition that is whole, but not what we would
// write: an older version's.
func TestStaleDefinition(t *testing.T) {
	s := servable(t, "ductor")
	s.Updater = s.Runner
	files, err := s.Render(definition.LaunchdAgent)
	if err != nil {
		t.Fatal(err)
	}
	st, err := definition.Read(definition.LaunchdAgent, files[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	st.StopSeconds++ // as if the default were another now
	found := commonProblems(definition.LaunchdAgent, &st, files[0].Data)
	if len(found) != 1 || found[0].Code != "definition-stale" || found[0].Fix != reinstall(s) {
		t.Errorf("%+v", found)
	}
}
