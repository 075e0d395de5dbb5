package mount

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFill: nothing that the host would obey is left for the container to make,
// and what was there is as it was.
func TestFill(t *testing.T) {
	w := newWorld(t)
	w.dir(".claude/agents", ".codex", "elsewhere")
	w.file(".claude/settings.json", ".claude/agents/mine.md")
	if err := os.Symlink(w.at("elsewhere"), w.at(".ductor/workspace/.claude")); err != nil {
		t.Fatal(err)
	}
	p, err := w.Plan()
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(w.at(".claude/settings.json"))
	if err := Fill(p.Absent); err != nil {
		t.Fatal(err)
	}
	if err := Fill(p.Absent); err != nil { // somebody was faster
		t.Error(err)
	}
	for name, want := range map[string]string{".claude/settings.json": string(before), ".claude/settings.local.json": "{}\n", ".codex/config.toml": "", ".ductor/workspace/.mcp.json": "{\"mcpServers\":{}}\n"} {
		if got, err := os.ReadFile(w.at(name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{".claude/commands", ".codex/prompts", ".ductor/workspace/.agents"} {
		if info, err := os.Stat(w.at(name)); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{".claude/local", ".claude/statusline.sh", ".codex/hooks.json", ".ductor/workspace/.git", "elsewhere/commands"} {
		if _, err := os.Lstat(w.at(name)); err == nil {
			t.Errorf("%s was made", name)
		}
	}
	if p, err = w.Plan(); err != nil || len(p.Absent) > 0 {
		t.Errorf("%v, %v", p.Absent, err)
	}
	for _, u := range p.Unprotected {
		if base := filepath.Base(u); base != ".git" && base != "hooks.json" && base != ".env" && u != w.at(".ductor/workspace/.claude") {
			t.Errorf("%s can still be made", u)
		}
	}
}

// TestFillLeavesAlone what somebody named as writable, and what a workspace leads
// to that is a link.
func TestFillLeavesAlone(t *testing.T) {
	w := newWorld(t)
	w.dir(".ductor/workspace/.claude")
	w.Writable = []string{"workspace/.claude"}
	p, err := w.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if err := Fill(p.Absent); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(w.at(".ductor/workspace/.claude")); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}

	w = newWorld(t)
	w.dir("project")
	if err := os.Remove(w.at(".ductor/workspace")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(w.at("project"), w.at(".ductor/workspace")); err != nil {
		t.Fatal(err)
	}
	if p, err = w.Plan(); err != nil || len(p.Absent) > 0 || len(p.Unprotected) == 0 {
		t.Errorf("%v, %v, %v", p.Absent, p.Unprotected, err)
	}
}
