package image_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"ductor/cmd/ductor-sandbox/internal/image"
	"ductor/cmd/ductor-sandbox/internal/image/fakeimage"
	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

func TestMain(m *testing.M) { clitest.Main(m) }

// bench is a place to build at. Every image of it has a name of its own, and a
// label by which its containers are found.
type bench struct {
	*testing.T
	*client.Client
	ref, mark, base string
	refs            []string // further ones to remove
}

func newBench(t *testing.T) *bench {
	base := fakeimage.Build(t)
	id := strings.ToLower(rand.Text())
	b := &bench{t, fakeimage.Client(t), "ductor-test-" + id + ":1", "dev.ductor.test.id=" + id, base, nil}
	t.Cleanup(func() {
		defer b.Close()
		for _, c := range b.containers() {
			_ = b.ContainerRemove(context.Background(), c, container.RemoveOptions{Force: true})
		}
		for _, ref := range append(b.refs, b.ref) {
			_, _ = b.ImageRemove(context.Background(), ref, dockerimage.RemoveOptions{Force: true, PruneChildren: true})
		}
		// Steps of builds that failed, and images that lost their name.
		_, _ = b.ImagesPrune(context.Background(), filters.NewArgs(filters.Arg("label", b.mark), filters.Arg("dangling", "true")))
	})
	return b
}

func (b *bench) containers() (ids []string) {
	all, err := b.ContainerList(context.Background(), container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", b.mark))})
	if err != nil {
		b.Error(err)
	}
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	return ids
}

// dockerfile writes one FROM the fake image, whose every container bears the
// mark.
func (b *bench) dockerfile(lines ...string) image.Source {
	path := filepath.Join(b.TempDir(), "Dockerfile")
	text := fmt.Sprintf("FROM %s\nLABEL dev.ductor.test=1 %s\n%s\n", b.base, b.mark, strings.Join(lines, "\n"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return image.Source{Path: path}
}

func (b *bench) build(s image.Source, progress io.Writer) (image.Found, error) {
	return image.Build(b.Context(), b, image.Request{Ref: b.ref, Source: s, Labels: map[string]string{"dev.ductor.test": "1"}, Progress: progress})
}

func (b *bench) must(s image.Source) image.Found {
	b.Helper()
	found, err := b.build(s, nil)
	if err != nil {
		b.Fatal(err)
	}
	return found
}

// fails wants a code and an ID, and the message to match.
func fails(t *testing.T, err error, code int, id, pattern string) *exitcode.Error {
	t.Helper()
	var coded *exitcode.Error
	if !errors.As(err, &coded) || coded.Code != code || coded.ID != id || !regexp.MustCompile("(?s)"+pattern).MatchString(err.Error()) {
		t.Fatalf("got %#v (%v), not code %d, ID %q, %s", coded, err, code, id, pattern)
	}
	return coded
}

func TestBuild(t *testing.T) {
	b := newBench(t)
	_, err := image.Find(t.Context(), b, b.ref)
	fails(t, err, exitcode.Unavailable, image.Missing, `^image "`+b.ref+`" is not there$`)

	source := b.dockerfile(`RUN ["/bin/fakecli", "both"]`, `LABEL dev.ductor.test=overridden`)
	var progress bytes.Buffer
	got, err := b.build(source, &progress)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := source.Hash()
	if err != nil {
		t.Fatal(err)
	}
	inspect, err := b.ImageInspect(t.Context(), b.ref)
	if err != nil {
		t.Fatal(err)
	}
	if want := (image.Found{ID: inspect.ID, Ref: b.ref, Dockerfile: hash, OS: "linux", Arch: inspect.Architecture}); got != want || len(hash) != 64 {
		t.Errorf("built %+v, not %+v", got, want)
	}
	if found, err := image.Find(t.Context(), b, b.ref); found != got || err != nil {
		t.Errorf("found %+v, %v", found, err)
	}
	if inspect.Config.Labels["dev.ductor.test"] != "1" {
		t.Errorf("labels %v: the request's do not win", inspect.Config.Labels)
	}
	for _, line := range []string{"out", "err", "Step 1/.*", "Successfully tagged .*"} {
		if !regexp.MustCompile("(?m)^" + line + "$").Match(progress.Bytes()) {
			t.Errorf("no line %q in:\n%s", line, &progress)
		}
	}
	if again := b.must(source); again != got {
		t.Errorf("again: %+v, not %+v", again, got)
	}
	if left := b.containers(); len(left) > 0 {
		t.Errorf("containers %q were left", left)
	}
}

// TestCache: a second build runs nothing, one without the cache runs all.
func TestCache(t *testing.T) {
	b := newBench(t)
	source := b.dockerfile(`RUN ["/bin/fakecli", "both"]`)
	for _, c := range []struct{ noCache, runs bool }{{false, true}, {false, false}, {true, true}} {
		var progress bytes.Buffer
		if _, err := image.Build(t.Context(), b, image.Request{Ref: b.ref, Source: source, Progress: &progress, NoCache: c.noCache}); err != nil {
			t.Fatal(err)
		}
		if ran := bytes.Contains(progress.Bytes(), []byte("\nout\n")); ran != c.runs {
			t.Errorf("without cache %v: ran %v\n%s", c.noCache, ran, &progress)
		}
	}
}

func TestContextIsTheSameEachTime(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"b": 0o755, "a": 0o640, "Dockerfile": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	source := b.dockerfile("COPY . /data/", `RUN ["/bin/fakecli", "read", "/data/c"]`)
	source.Context = dir
	first := b.must(source)
	if err := os.Chtimes(filepath.Join(dir, "b"), time.Now(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if second := b.must(source); second != first {
		t.Errorf("%+v, then %+v", first, second)
	}
}

// TestBuildFails: the name stays with the image that had it, and no container
// is left.
func TestBuildFails(t *testing.T) {
	b := newBench(t)
	before := b.must(b.dockerfile())
	for _, c := range []struct{ name, line, why, hint string }{
		{"a step", `RUN ["/bin/fakecli", "exit", "3"]`, `The command '/bin/fakecli exit 3' returned a non-zero code: 3\n  `, ""},
		{"no such program", `RUN ["/bin/nothing"]`, `no such file`, ""},
		{"many lines", `RUN ["/bin/fakecli", "flood", "1600"]` + "\n" + `RUN ["/bin/fakecli", "exit", "3"]`, `code: 3(\n  [^\n]+){6}$`, ""},
		{"syntax", "WHAT is this", `unknown instruction`, ""},
		{"a file", "COPY x /x", `COPY failed`, "all that is sent"},
		{"an unknown base", "FROM ductor-test.invalid/nothing", `ductor-test.invalid|not found`, ""},
		{"terminal", `RUN ["/bin/fakecli", "nothing\u001b[31m\u0007\u202e"]`, `nothing`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.build(b.dockerfile(c.line), nil)
			coded := fails(t, err, exitcode.Unavailable, image.BuildFailed, `^build image "`+b.ref+`": .*`+c.why)
			if strings.ContainsAny(err.Error(), "\x1b\x07\u202e\r") {
				t.Errorf("unsafe to print: %q", err)
			}
			if (c.hint == "") != (coded.Hint == "") || !strings.Contains(coded.Hint, c.hint) {
				t.Errorf("hint %q", coded.Hint)
			}
		})
	}
	if after, err := image.Find(t.Context(), b, b.ref); after != before || err != nil {
		t.Errorf("%+v, then %+v, %v", before, after, err)
	}
	if left := b.containers(); len(left) > 0 {
		t.Errorf("containers %q were left", left)
	}
}

// seen says when a line came.
type seen struct {
	mu    sync.Mutex
	text  []byte
	want  string
	there chan struct{}
}

func (s *seen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := bytes.Contains(s.text, []byte(s.want))
	s.text = append(s.text, p...)
	if !before && bytes.Contains(s.text, []byte(s.want)) {
		close(s.there)
	}
	return len(p), nil
}

// TestCancel: the end of the context is the end of the build.
func TestCancel(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	progress := &seen{want: "\nready\n", there: make(chan struct{})}
	result := make(chan error, 1)
	go func() {
		_, err := image.Build(ctx, b, image.Request{Ref: b.ref, Source: b.dockerfile(`RUN ["/bin/fakecli", "sigs", "-"]`), Progress: progress})
		result <- err
	}()
	<-progress.there
	if len(b.containers()) != 1 {
		t.Errorf("containers %q, not one", b.containers())
	}
	why := errors.New("enough")
	cancel(why)
	err := <-result
	var coded *exitcode.Error
	if !errors.Is(err, why) || errors.As(err, &coded) {
		t.Errorf("got %#v", err)
	}
	clitest.Wait(t, "no container is left", func() bool { return len(b.containers()) == 0 })
	_, err = image.Find(t.Context(), b, b.ref)
	fails(t, err, exitcode.Unavailable, image.Missing, "")
}

func TestAnotherDaemonIsNotThere(t *testing.T) {
	c, err := client.NewClientWithOpts(client.WithHost("unix://" + filepath.Join(t.TempDir(), "none.sock")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = image.Build(t.Context(), c, image.Request{Ref: "ductor-test-none"})
	var coded *exitcode.Error
	if !client.IsErrConnectionFailed(err) || errors.As(err, &coded) {
		t.Errorf("build: %#v", err)
	}
	if _, err = image.Find(t.Context(), c, "ductor-test-none"); !client.IsErrConnectionFailed(err) || errors.As(err, &coded) {
		t.Errorf("find: %#v", err)
	}
}

// TestBadNames: none of them gets as far as a daemon, of which there is none.
func TestBadNames(t *testing.T) {
	for _, ref := range []string{"", " ", "Upper", "a b", "a:b:c", "../../../containers", "x?y=1", "x\x00y", "-x", "x\n", "x@sha256:12", strings.Repeat("a", 300), "é"} {
		_, err := image.Find(t.Context(), nil, ref)
		fails(t, err, exitcode.Usage, "", `^image name "`)
		_, err = image.Build(t.Context(), nil, image.Request{Ref: ref})
		fails(t, err, exitcode.Usage, "", `^image name "`)
	}
	for _, ref := range []string{"x@sha256:" + strings.Repeat("a", 64), strings.Repeat("a", 64)} {
		_, err := image.Build(t.Context(), nil, image.Request{Ref: ref})
		fails(t, err, exitcode.Usage, "", `^image name "`)
		if err := image.CheckRef(ref); err != nil {
			t.Error(err)
		}
	}
}

func TestBadDockerfiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		path string
		code int
		why  string
	}{
		{filepath.Join(dir, "nothing\n"), exitcode.Usage, `nothing\\n": no such file or directory$`},
		{dir, exitcode.Usage, `it is a folder$`},
		{"/dev/null", exitcode.Usage, `it is no regular file$`},
		{filepath.Join(write("file", "x"), "x"), exitcode.Usage, `not a directory$`},
		{"a\x00b", exitcode.Usage, `invalid argument$`},
		{write("empty", " \n"), exitcode.DataErr, `it is empty$`},
		{write("binary", "FROM \x00"), exitcode.DataErr, `it is not text$`},
		{write("large", strings.Repeat("#", 1<<20+1)), exitcode.DataErr, `larger than 1024 KiB$`},
	} {
		source := image.Source{Path: c.path}
		_, err := source.Hash()
		fails(t, err, c.code, "", `^read Dockerfile ".*`+c.why)
		_, err = image.Build(t.Context(), nil, image.Request{Ref: "ductor-test-none", Source: source})
		fails(t, err, c.code, "", c.why)
	}
}

// instructions are the lines of the embedded Dockerfile, joined as the daemon
// joins them.
func instructions() (lines []string) {
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(image.Dockerfile), "")
	text = strings.ReplaceAll(text, "\\\n", "")
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestDockerfile: what can be said of the embedded one without a registry.
func TestDockerfile(t *testing.T) {
	all := strings.Join(instructions(), "\n")
	for _, word := range []string{"ca-certificates", "curl", "git", "jq", "procps", "python3", "ripgrep", "@anthropic-ai/claude-code", "@openai/codex"} {
		if !regexp.MustCompile(`(?m)^RUN .* ` + word + `( |$)`).MatchString(all) {
			t.Errorf("%s is not installed", word)
		}
	}
	for _, line := range instructions() {
		verb, rest, _ := strings.Cut(line, " ")
		if !slices.Contains([]string{"FROM", "RUN", "ENV", "CMD", "WORKDIR", "USER"}, verb) {
			t.Errorf("%s: only the Dockerfile is sent, and nothing is exposed", line)
		}
		if verb == "RUN" {
			if out, err := exec.Command("sh", "-n", "-c", rest).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
		}
	}
}

// TestDockerfileBuilds: the daemon takes the embedded Dockerfile, on a base whose
// shell succeeds at everything. What the real base and the packages do, it
// cannot say.
func TestDockerfileBuilds(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	arch, err := b.ServerVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := fakeimage.Compile(filepath.Join(dir, "sh"), arch.Arch); err != nil {
		t.Fatal(err)
	}
	base := b.dockerfile("COPY sh /bin/sh", `ENTRYPOINT ["/bin/nothing"]`)
	base.Context = dir
	b.must(base)
	text := regexp.MustCompile(`(?m)^FROM node:.*-slim$`).ReplaceAll(image.Dockerfile, []byte("FROM "+b.ref))
	if bytes.Equal(text, image.Dockerfile) {
		t.Fatal("the base is not node's")
	}
	upon := strings.TrimSuffix(b.ref, "1") + "2"
	b.refs = append(b.refs, upon)
	path := filepath.Join(dir, "Dockerfile")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := image.Build(t.Context(), b, image.Request{Ref: upon, Source: image.Source{Path: path}, Labels: map[string]string{"dev.ductor.test": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.ImageInspect(t.Context(), found.ID)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := json.Marshal(got.Config)
	if c := got.Config; !slices.Equal(c.Cmd, []string{"sleep", "infinity"}) || c.User != "node" || c.WorkingDir != "/home/node" || !slices.Contains(c.Env, "DISABLE_AUTOUPDATER=1") {
		t.Errorf("%s", data)
	}
	again, err := image.Build(t.Context(), b, image.Request{Ref: upon, Source: image.Source{Path: path}, Labels: map[string]string{"dev.ductor.test": "1"}})
	if err != nil || again.ID != found.ID {
		t.Errorf("a second build is another image: %s, not %s, %v", again.ID, found.ID, err)
	}
}
