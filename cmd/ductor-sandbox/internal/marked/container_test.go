package marked

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ductor/cmd/ductor-sandbox/internal/image/fakeimage"
	"ductor/internal/common/clitest"
)

// box is a container whose PID 1 bears the mark of a run, and in which this
// test program is the reaper.
type box struct {
	*testing.T
	name string
}

func newBox(t *testing.T, user string) box {
	return newBoxOf(t, []string{"-e", Env + "=one", "--user", user})
}

// first is where our program is in a container of ours; there it is also at
// another place, as /.ductor/reaper.
const first = "/.ductor/ductor-sandbox"

// newBoxOf is one with these options, and words behind the image.
func newBoxOf(t *testing.T, options []string, words ...string) box {
	t.Helper()
	ref := fakeimage.Build(t)
	dir, err := clitest.Folder()
	if err != nil {
		t.Fatal(err)
	}
	reaper := filepath.Join(dir, "reaper")
	compile := exec.Command("go", "test", "-c", "-o", reaper, ".")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0") // the image has no libc
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Link(reaper, filepath.Join(dir, filepath.Base(first))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the container's user is not ours
		t.Fatal(err)
	}
	b := box{t, "ductor-test-" + strings.ToLower(rand.Text())}
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", b.name).Run() })
	args := append([]string{"run", "-d", "--name", b.name, "--label", "dev.ductor.test=1", "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--mount", "type=bind,readonly,source=" + dir + ",target=/.ductor"}, options...)
	b.docker(append(append(args, ref), words...)...)
	return b
}

func (b box) docker(args ...string) string {
	b.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		b.Fatalf("docker %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// tree starts one under a mark and returns its PIDs as the container has them.
func (b box) tree(id string) (f family) {
	b.Helper()
	cmd := exec.Command("docker", "exec", "-e", Env+"="+id, b.name, "/bin/fakecli", "tree", "-")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &f)
	}
	if err != nil {
		b.Fatal(err)
	}
	return f
}

func (b box) reap(into any, args ...string) {
	b.Helper()
	b.reapBy("/.ductor/reaper", into, args...)
}

func (b box) reapBy(program string, into any, args ...string) {
	b.Helper()
	out := b.docker(append([]string{"exec", "-e", Env + "=one", "-e", helper + "=1", b.name, program}, args...)...)
	if err := Parse([]byte(out), into); err != nil {
		b.Fatal(err)
	}
}

// TestInContainer: where it is for, PID 1 lives on, whatever mark it bears.
func TestInContainer(t *testing.T) {
	needLinux(t)
	for _, user := range []string{"0:0", "1234:1234"} {
		t.Run(user, func(t *testing.T) {
			b := newBox(t, user)
			one, two := b.tree("one"), b.tree("two")
			var runs Runs
			b.reap(&runs, "list")
			if len(runs.Runs) != 2 || len(runs.Runs["one"]) != 3 || len(runs.Runs["two"]) != 3 {
				t.Errorf("%v, not %+v and %+v", runs, one, two)
			}
			var got Result
			b.reap(&got, "kill", "one", "TERM", "50ms")
			if got != (Result{3, 0}) {
				t.Errorf("%+v", got)
			}
			if out := b.docker("inspect", "-f", "{{.State.Running}}", b.name); out != "true\n" {
				t.Errorf("PID 1 runs: %s", out)
			}
			runs = Runs{}
			b.reap(&runs, "list")
			if len(runs.Runs) != 1 || len(runs.Runs["two"]) != 3 {
				t.Errorf("%v are left", runs)
			}
		})
	}
}
