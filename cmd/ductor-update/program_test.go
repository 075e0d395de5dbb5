//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"ductor/internal/common/clitest"
	"ductor/test/pyindex"
)

// updateOnce is the program for machines that are containers, where nothing
// would be upgraded: it looks for the signs of one under a root that is not
// there.
var updateOnce = sync.OnceValues(func() (string, error) {
	dir, err := clitest.Folder()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-ldflags=-X main.root=/ductor-test-has-no-such-root", "-o", dir+"/", "./cmd/ductor-update")
	cmd.Dir = clitest.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%v: %s", err, out)
	}
	return dir, nil
})

func buildUpdate(t *testing.T) string {
	t.Helper()
	dir, err := updateOnce()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "ductor-update")
}

// exec runs the program itself.
func (w *pyWorld) exec(argv ...string) (code int, stdout, stderr string) {
	cmd := exec.Command(argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		return -1, "", err.Error()
	}
	return clitest.CodeOf(cmd.ProcessState), out.String(), errs.String()
}

func newPipxWorld(t *testing.T, releases ...pyindex.Release) *pyWorld {
	w := newPyWorld(t)
	if _, err := exec.LookPath("pipx"); err != nil {
		clitest.Lacking(t, "pipx", "apt-get install pipx")
	}
	w.index.Publish(releases[0])
	w.venv = filepath.Join(w.dir, ".local/pipx/venvs/ductor")
	t.Setenv("PATH", w.dir+"/.local/bin:/usr/bin:/bin")
	w.command("pipx", "install", "ductor")
	w.index.Publish(releases...)
	return w
}
