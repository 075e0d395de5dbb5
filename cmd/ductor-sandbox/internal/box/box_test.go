package box

import (
	"slices"
	"testing"

	"ductor/cmd/ductor-sandbox/internal/mount"
	"ductor/internal/common/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

func wanted() Spec {
	return Spec{Name: "box", Owner: Owner("/home", "bot"), Image: "image", ImageID: "sha256:1", User: "1:2", Env: []string{"A=1", "B=2"},
		Mounts:  []mount.Mount{{Source: "/a", Target: "/b"}, {Target: "/c", Tmpfs: true, Mode: 0o700}},
		Network: "none", Helper: true, Limits: Limits{Memory: 1 << 28, NanoCPUs: 1e9, Pids: 99}}
}

// TestHash: what needs another container changes it, and nothing else. Part of
// that is what a command must not run without.
func TestHash(t *testing.T) {
	for name, tt := range map[string]struct {
		change      func(s *Spec)
		hash, guard bool // differ
	}{
		"nothing":                 {func(*Spec) {}, false, false},
		"name":                    {func(s *Spec) { s.Name = "x" }, false, false},
		"image's other name":      {func(s *Spec) { s.Image = "x" }, false, false},
		"image, which has its ID": {func(s *Spec) { s.ImageID = "sha256:2" }, false, false},
		"limits":                  {func(s *Spec) { s.Limits = Limits{1, 2, 3} }, false, false},
		"order of env":            {func(s *Spec) { slices.Reverse(s.Env) }, false, false},
		"env":                     {func(s *Spec) { s.Env[0] = "A=2" }, true, false},
		"less env":                {func(s *Spec) { s.Env = s.Env[:1] }, true, false},
		"env in one":              {func(s *Spec) { s.Env = []string{"A=1B=2"} }, true, false},
		"helper":                  {func(s *Spec) { s.Helper = false }, true, false},
		"owner":                   {func(s *Spec) { s.Owner = "x" }, true, false},
		"order of mounts":         {func(s *Spec) { slices.Reverse(s.Mounts) }, true, true},
		"target":                  {func(s *Spec) { s.Mounts[0].Target = "/x" }, true, true},
		"source":                  {func(s *Spec) { s.Mounts[0].Source = "/x" }, true, true},
		"read-only mount":         {func(s *Spec) { s.Mounts[0].ReadOnly = true }, true, true},
		"mode":                    {func(s *Spec) { s.Mounts[1].Mode = 0o755 }, true, true},
		"fewer mounts":            {func(s *Spec) { s.Mounts = s.Mounts[:1] }, true, true},
		"user":                    {func(s *Spec) { s.User = "1:1" }, true, true},
		"network":                 {func(s *Spec) { s.Network = "bridge" }, true, true},
		"read-only":               {func(s *Spec) { s.ReadOnly = true }, true, true},
	} {
		s := wanted()
		tt.change(&s)
		if got := s.Hash() != wanted().Hash(); got != tt.hash {
			t.Errorf("%s: the hash differs: %v", name, got)
		}
		if got := s.guard() != wanted().guard(); got != tt.guard {
			t.Errorf("%s: the guard differs: %v", name, got)
		}
	}
}

// TestHashLeavesOrder: what is hashed is also what Docker is told.
func TestHashLeavesOrder(t *testing.T) {
	s := wanted()
	s.Env = []string{"B=2", "A=1"}
	if s.Hash(); s.Env[0] != "B=2" {
		t.Errorf("%q", s.Env)
	}
}

func TestOwner(t *testing.T) {
	all := map[string]bool{}
	for _, o := range []string{Owner("/home", "bot"), Owner("/home", "bo"), Owner("/homeb", "ot"), Owner("", "/homebot"), Owner("/home", "")} {
		all[o] = true
		if len(o) != 16 {
			t.Errorf("%q", o)
		}
	}
	if len(all) != 5 || !all[Owner("/home", "bot")] {
		t.Errorf("%v", all)
	}
}
