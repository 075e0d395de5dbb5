//go:build linux

package upgrade

import (
	"strings"
	"testing"

	"ductor/internal/common/clitest"
	"ductor/test/pyindex"
)

// TestFullDisk: there is room for the copy, and not for the new version. What was
// there works afterwards, and the room is there again.
func TestFullDisk(t *testing.T) {
	clitest.Need(t, "namespaces")
	w := newWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1", Bulk: 6 << 20})
	out, err := w.command("unshare", "--mount", "sh", "-ec", `
		cp -a "$1" "$1.orig"
		mount -t tmpfs -o size=4m ductor-test "$1"
		cp -a "$1.orig/." "$1/"
		"$2" upgrade && exit 1
		echo "code $?"
		"$1/bin/ductor" --version
		ls -a "$1"
		"$2" rollback --if-pending && exit 1
		echo "code $?"`, "sh", w.venv, w.update).CombinedOutput()
	text := string(out)
	if err != nil || !strings.Contains(text, "No space left on device") || !strings.Contains(text, "code 71\nductor 1.0\n") || !strings.Contains(text, "code 1\n") || strings.Contains(text, ".ductor-update-") {
		t.Errorf("%v\n%s", err, text)
	}
}
