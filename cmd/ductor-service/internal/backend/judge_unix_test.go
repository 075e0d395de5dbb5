//go:build unix

package backend

import (
	"os"
	"path/filepath"
	"testing"

	"ductor/cmd/ductor-service/internal/definition"
)

// TestJudgeSeesThroughLinks: /home may be a link, and who installs may come by
// either name.
func TestJudgeSeesThroughLinks(t *testing.T) {
	s := judged("nas")
	s.Home = t.TempDir()
	have := storedOf(t, definition.SystemdUser, s)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(s.Home, link); err != nil {
		t.Fatal(err)
	}
	s.Home = link
	v, err := judge(definition.SystemdUser, have, Plan{Service: s})
	judgement{action: Updated, write: s.Names(definition.SystemdUser)}.check(t, "the home by another name", v, err)
	s.Home = t.TempDir()
	v, err = judge(definition.SystemdUser, have, Plan{Service: s})
	judgement{refused: "belongs to another home"}.check(t, "another folder", v, err)
}
