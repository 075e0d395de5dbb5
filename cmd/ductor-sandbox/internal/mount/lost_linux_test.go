package mount

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
)

// mountAll makes in a namespace of its own what a plan says, as Docker does it:
// links that are there by now are followed on both sides. It returns what the
// kernel says of it in there. The folders of the system are for cat.
func (w *world) mountAll(p Plan, then string) (mountinfo string) {
	w.t.Helper()
	script := "set -e\nroot=" + sh(w.t.TempDir()) + `
mount -t tmpfs none "$root"
for d in usr bin lib lib64 proc; do
	if [ -e /$d ]; then mkdir "$root/$d"; mount --rbind /$d "$root/$d"; fi
done
dir() { [ -d "$root$1" ] || mkdir -p "$root$1"; }
file() { dir "${1%/*}"; [ -e "$root$1" ] || : >"$root$1"; }
`
	for _, m := range p.Mounts {
		target := sh(m.Target)
		info, err := os.Stat(m.Source)
		switch {
		case m.Tmpfs:
			script += fmt.Sprintf("dir %s; mount -t tmpfs -o ro none \"$root\"%[1]s\n", target)
			continue
		case err != nil:
			w.t.Fatal(err)
		case info.IsDir():
			script += "dir " + target + "\n"
		default:
			script += "file " + target + "\n"
		}
		script += fmt.Sprintf("mount --bind %s \"$root\"%s\n", sh(m.Source), target)
		if m.ReadOnly {
			script += fmt.Sprintf("mount -o remount,bind,ro \"$root\"%s\n", target)
		}
	}
	script += then + "\nchroot \"$root\" cat /proc/self/mountinfo\n"
	cmd := exec.Command("unshare", "--mount", "sh", "-c", script)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("%v: %s\n%s", err, stderr.String(), script)
	}
	return string(out)
}

func sh(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// TestLostOnTheRealThing: a folder that has become a link to the owner's keys when
// it is mounted, in a place of its own and in a folder that is mounted itself.
func TestLostOnTheRealThing(t *testing.T) {
	clitest.Need(t, "namespaces")
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	host := string(text)
	w := newWorld(t)
	w.file(".ssh/config", ".claude/settings.json", ".codex/auth.json", "src/keep/x", "one file", "p", "ro/x", ".ductor/workspace/.git/config")
	w.Passwd = w.at("p")
	w.Extra = []Extra{{Path: w.at("src")}, {Path: w.at("src/keep"), ReadOnly: true}, {Path: w.at("one file")}, {Path: w.at("ro"), ReadOnly: true}}
	p := w.plan()
	if got := p.Lost(w.mountAll(p, ""), host); got != nil {
		t.Errorf("all is as planned: %q", got)
	}
	removed := "rm " + sh(w.at("p")) + "; : >" + sh(w.at("p")) // as a program of the host writes a file anew
	if got := p.Lost(w.mountAll(p, removed), host); got != nil {
		t.Errorf("the old file is no other place: %q", got)
	}

	w.swap("ro")
	mounted := w.mountAll(p, "")
	if got := p.Lost(mounted, host); !slices.Equal(got, []string{w.at("ro")}) || !strings.Contains(mounted, "/.ssh ") {
		t.Errorf("%q\n%s", got, mounted)
	}
	if got := p.Lost(mounted, ""); got != nil {
		t.Errorf("%q", got)
	}

	w.swap(".ductor/workspace/.git")
	got := p.Lost(w.mountAll(p, ""), host)
	for _, target := range []string{"/ductor/workspace/.git", w.at(".ductor/workspace/.git"), w.at("ro")} {
		if !slices.Contains(got, target) {
			t.Errorf("no %q in %q", target, got)
		}
	}
}

// swap puts a link to the owner's keys in the place of a folder.
func (w *world) swap(dir string) {
	w.t.Helper()
	if err := os.Rename(w.at(dir), filepath.Join(w.user, filepath.Base(dir)+".real")); err != nil {
		w.t.Fatal(err)
	}
	w.link(w.at(".ssh"), dir)
}
