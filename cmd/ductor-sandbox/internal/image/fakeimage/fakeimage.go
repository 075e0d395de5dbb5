// Package fakeimage makes the image in which tests run a fake AI CLI.
package fakeimage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"ductor/cmd/ductor-sandbox/internal/image"
	"ductor/internal/common/clitest"
)

const (
	repository = "ductor-test-sandbox"
	label      = "dev.ductor.test"
)

// dockerfile has no passwd, no /tmp and no shell: what a test needs of these,
// it mounts.
const dockerfile = `FROM scratch
COPY fakecli /bin/fakecli
CMD ["/bin/fakecli", "idle"]
`

// Client connects to the daemon that the environment names. Without one the
// test is skipped, visibly, or fails: see clitest.Need.
func Client(t clitest.T) *client.Client {
	clitest.Need(t, "docker")
	c, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Build returns the name of an image FROM scratch with test/fakecli as
// /bin/fakecli. Its tag is the hash of that program: an image of an earlier run
// is used again, and removed a day after it is out of date.
func Build(t clitest.T) string {
	c := Client(t)
	defer c.Close()
	ref, err := built(c)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

var (
	once sync.Mutex
	done string
)

func built(c *client.Client) (string, error) {
	once.Lock()
	defer once.Unlock()
	if done != "" {
		return done, nil
	}
	ref, err := build(c)
	if err == nil {
		done = ref
	}
	return ref, err
}

func build(c *client.Client) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), clitest.Patience)
	defer cancel()
	version, err := c.ServerVersion(ctx)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "ductor-test-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "context", "fakecli")
	if err := Compile(path, version.Arch); err != nil {
		return "", err
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(binary, dockerfile...))
	ref := repository + ":" + hex.EncodeToString(sum[:6])
	if _, err := image.Find(ctx, c, ref); err == nil {
		return ref, nil
	}
	source := image.Source{Path: filepath.Join(dir, "Dockerfile"), Context: filepath.Join(dir, "context")}
	if err := os.WriteFile(source.Path, []byte(dockerfile), 0o600); err != nil {
		return "", err
	}
	_, err = image.Build(ctx, c, image.Request{Ref: ref, Source: source, Labels: map[string]string{label: "1"}})
	prune(ctx, c, ref)
	return ref, err
}

// Compile builds test/fakecli for Linux as a static program; arch is a GOARCH.
// The same sources give the same bytes.
func Compile(path, arch string) error {
	// For go test's cache, which knows no other dependencies than imports and
	// the files that a test looks at.
	_ = filepath.WalkDir(filepath.Join(clitest.Root(), "test", "fakecli"), func(string, fs.DirEntry, error) error { return nil })
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "./test/fakecli")
	cmd.Dir = clitest.Root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build fakecli: %w\n%s", err, out)
	}
	return nil
}

// prune removes images of programs that changed since. A day's grace is for
// tests that run at the same time from other sources; one in use is refused.
func prune(ctx context.Context, c *client.Client, keep string) {
	old, err := c.ImageList(ctx, dockerimage.ListOptions{Filters: filters.NewArgs(filters.Arg("label", label), filters.Arg("reference", repository))})
	if err != nil {
		return
	}
	for _, i := range old {
		for _, tag := range i.RepoTags {
			if tag != keep && time.Since(time.Unix(i.Created, 0)) > 24*time.Hour {
				_, _ = c.ImageRemove(ctx, tag, dockerimage.RemoveOptions{PruneChildren: true})
			}
		}
	}
}
