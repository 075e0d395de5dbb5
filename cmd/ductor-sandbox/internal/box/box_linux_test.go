package box

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	mounts "github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/pkg/stdcopy"

	"ductor/cmd/ductor-sandbox/internal/image/fakeimage"
	"ductor/cmd/ductor-sandbox/internal/mount"
	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

// compiled is a program that can be the first one of a container.
var compiled = sync.OnceValues(func() (string, error) {
	dir, err := clitest.Folder()
	if err == nil {
		err = os.Chmod(dir, 0o755) // the container's user is not ours
	}
	path := filepath.Join(dir, "fakecli")
	if err == nil {
		err = fakeimage.Compile(path, "")
	}
	return path, err
})

// real is a Box of the real daemon. Its container inherits the image's label
// dev.ductor.test.
func real(t *testing.T) *Box {
	t.Helper()
	c := fakeimage.Client(t)
	ref := fakeimage.Build(t)
	path, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.ImageInspect(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	b := &Box{Client: c, Spec: Spec{Name: "ductor-test-" + strings.ToLower(rand.Text()), Owner: Owner(home, "bot"), Image: ref, ImageID: found.ID, User: "0:0",
		Env: []string{"A=1", "B=2"}, Network: "none", Helper: true, Limits: Limits{Memory: 256 << 20, Pids: 64},
		Mounts: []mount.Mount{{Source: path, Target: HelperPath, ReadOnly: true}, {Source: home, Target: "/home/x"}, {Target: "/hidden", Tmpfs: true, Mode: 0o700}}}}
	b.Vacate = func(context.Context, string, bool) (func(), bool, error) { return func() {}, false, nil }
	t.Cleanup(func() {
		_ = c.ContainerRemove(context.Background(), b.Spec.Name, container.RemoveOptions{Force: true, RemoveVolumes: true})
		c.Close()
	})
	return b
}

func (b *Box) must(t *testing.T, changed Changed, drift Drift) State {
	t.Helper()
	st, err := b.Ensure(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if st.Changed != changed || st.Drift != drift || st.Started.IsZero() {
		t.Errorf("%+v, not %s and %s", st, changed, drift)
	}
	if in := b.find(t); in == nil || in.ID != st.ID || !b.Ready(in) {
		t.Errorf("it is not ready: %+v", in)
	}
	return st
}

func (b *Box) find(t *testing.T) *container.InspectResponse {
	t.Helper()
	in, err := b.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestStates of a real daemon.
func TestStates(t *testing.T) {
	b := real(t)
	if in := b.find(t); in != nil || b.Ready(in) {
		t.Errorf("%+v", in)
	}
	first := b.must(t, Created, NoDrift)
	if again := b.must(t, Reused, NoDrift); again != (State{ID: first.ID, Changed: Reused, Drift: NoDrift, Started: first.Started}) {
		t.Errorf("%+v, and %+v", first, again)
	}
	ctx, c, zero := t.Context(), b.Client, 0
	for _, tt := range []struct {
		name    string
		do      func(id string) error
		changed Changed
		another bool
	}{
		{"paused", func(id string) error { return c.ContainerPause(ctx, id) }, Reused, false},
		{"stopped", func(id string) error { return c.ContainerStop(ctx, id, container.StopOptions{Timeout: &zero}) }, Started, false},
		{"killed", func(id string) error { return c.ContainerKill(ctx, id, "KILL") }, Started, false},
		{"removed", func(id string) error { return c.ContainerRemove(ctx, id, container.RemoveOptions{Force: true}) }, Created, true},
	} {
		before := b.find(t)
		if err := tt.do(before.ID); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		clitest.Wait(t, tt.name, func() bool { return !b.Ready(b.find(t)) })
		if st := b.must(t, tt.changed, NoDrift); (st.ID != before.ID) != tt.another {
			t.Errorf("%s: %s became %s", tt.name, before.ID, st.ID)
		}
	}
	if err := b.Remove(ctx, b.find(t).ID); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(ctx, b.Spec.Name); err != nil { // again
		t.Error(err)
	}
	made := func(user string) string {
		config := b.Spec.config()
		config.User = user
		r, err := c.ContainerCreate(ctx, config, b.Spec.hostConfig(), nil, nil, b.Spec.Name)
		if err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	id := made(b.Spec.User)
	if st := b.must(t, Started, NoDrift); st.ID != id {
		t.Errorf("created: %s became %s", id, st.ID)
	}
	if err := b.Remove(ctx, id); err != nil {
		t.Fatal(err)
	}
	id = made("nobody-of-this-name")
	if err := c.ContainerStart(ctx, id, container.StartOptions{}); err == nil || b.find(t).State.Error == "" {
		t.Fatalf("it starts: %v, %+v", err, b.find(t).State)
	}
	if st := b.must(t, Created, NoDrift); st.ID == id {
		t.Error("created, with an error: it is the same")
	}
}

// TestForeign: what has our name and is not ours is never touched.
func TestForeign(t *testing.T) {
	for name, tt := range map[string]struct {
		labels map[string]string
		text   string
	}{
		"nobody's":   {nil, "is not of ductor-sandbox"},
		"another's":  {map[string]string{LabelOwner: Owner("/elsewhere", "bot")}, "belongs to another"},
		"other word": {map[string]string{LabelSpec: "x", LabelFormat: format}, "is not of ductor-sandbox"},
	} {
		t.Run(name, func(t *testing.T) {
			b := real(t)
			r, err := b.Client.ContainerCreate(t.Context(), &container.Config{Image: b.Spec.Image, Labels: tt.labels}, nil, nil, nil, b.Spec.Name)
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.Ensure(t.Context(), Options{Recreate: true, Now: true})
			var e *exitcode.Error
			if !errors.As(err, &e) || e.Code != exitcode.Config || e.ID != "name_conflict" || e.Hint == "" || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, %+v", err, e)
			}
			in, err := b.Client.ContainerInspect(t.Context(), b.Spec.Name)
			if err != nil || in.ID != r.ID || in.State.Status != container.StateCreated {
				t.Errorf("%v, %+v", err, in.State)
			}
		})
	}
}

// TestHardening is what the daemon has understood, and what the kernel does.
func TestHardening(t *testing.T) {
	b := real(t)
	b.Spec.ReadOnly, b.Spec.NanoCPUs = true, 5e8
	b.must(t, Created, NoDrift)
	in := b.find(t)
	h := in.HostConfig
	if h.Init == nil || !*h.Init || !slices.Equal(h.CapDrop, []string{"ALL"}) || len(h.CapAdd) > 0 || h.Privileged ||
		!slices.Equal(h.SecurityOpt, []string{"no-new-privileges"}) || h.PidsLimit == nil || *h.PidsLimit != 64 || h.Memory != 256<<20 || h.MemorySwap != h.Memory || h.NanoCPUs != 5e8 ||
		!reflect.DeepEqual(map[string]string(h.Tmpfs), map[string]string{"/tmp": "exec,nosuid,nodev,mode=1777"}) || h.OomScoreAdj != 300 || h.AutoRemove ||
		h.LogConfig.Type != "local" || h.LogConfig.Config["max-size"] != "1m" || h.LogConfig.Config["max-file"] != "2" ||
		len(h.Ulimits) != 1 || *h.Ulimits[0] != (container.Ulimit{Name: "core"}) || (h.RestartPolicy.Name != "" && h.RestartPolicy.Name != container.RestartPolicyDisabled) ||
		len(h.Binds) > 0 || len(h.PortBindings) > 0 || len(h.Devices) > 0 || h.PidMode != "" || h.NetworkMode != "none" || !h.ReadonlyRootfs {
		t.Errorf("%+v", h)
	}
	if len(h.Mounts) != 3 || h.Mounts[2].Type != mounts.TypeTmpfs || h.Mounts[0].Type != mounts.TypeBind || !h.Mounts[0].ReadOnly || h.Mounts[1].ReadOnly || !h.Mounts[0].BindOptions.NonRecursive || h.Mounts[1].BindOptions.NonRecursive {
		t.Errorf("%+v", h.Mounts)
	}
	if c := in.Config; c.User != "0:0" || c.WorkingDir != "/" || c.Labels["dev.ductor.test"] != "1" || c.Labels[LabelImage] != b.Spec.ImageID || c.Labels[LabelOwner] != b.Spec.Owner || !slices.Equal(c.Env[:2], b.Spec.Env) {
		t.Errorf("%+v", c)
	}
	status := b.read(t, "/proc/self/status")
	for _, line := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "CapInh:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, line+"\n") {
			t.Errorf("no %q in %s", line, status)
		}
	}
	if got := b.read(t, "/proc/1/oom_score_adj"); got != "300\n" {
		t.Errorf("%q", got)
	}
	if got := strings.Join(strings.Fields(b.read(t, "/proc/1/limits")), " "); !strings.Contains(got, "Max core file size 0 0 bytes") {
		t.Errorf("%s", got)
	}
	if got := strings.Split(b.read(t, "/proc/1/cmdline"), "\x00"); !strings.HasSuffix(got[0], "init") || got[len(got)-2] != "idle" {
		t.Errorf("%q", got)
	}
	table := b.read(t, "/proc/self/mounts")
	for target, options := range map[string][]string{"/": {"ro"}, "/tmp": {"rw", "nosuid", "nodev"}, HelperPath: {"ro"}, "/home/x": {"rw"}, "/hidden": {"rw", "mode=700"}} {
		has := false
		for line := range strings.Lines(table) {
			if words := strings.Fields(line); words[1] == target {
				has = true
				for _, o := range options {
					has = has && slices.Contains(strings.Split(words[3], ","), o)
				}
			}
		}
		if !has {
			t.Errorf("%s is not %q in\n%s", target, options, table)
		}
	}
}

// read prints a file from inside.
func (b *Box) read(t *testing.T, path string) string {
	t.Helper()
	made, err := b.Client.ContainerExecCreate(t.Context(), b.Spec.Name, container.ExecOptions{Cmd: []string{"/bin/fakecli", "read", path}, AttachStdout: true, AttachStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Client.ContainerExecAttach(t.Context(), made.ID, container.ExecAttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, s.Reader); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestDrift: each difference leads to what is wanted, in place where that can be.
func TestDrift(t *testing.T) {
	b := real(t)
	st := b.must(t, Created, NoDrift)
	b.Spec.Limits = Limits{Memory: 128 << 20, NanoCPUs: 5e8, Pids: 65}
	if b.Ready(b.find(t)) {
		t.Error("other limits are no difference")
	}
	if got := b.must(t, Reused, Updated); got.ID != st.ID || got.Started != st.Started {
		t.Errorf("%+v became %+v", st, got)
	}
	b.Spec.Memory = 512 << 20 // and up again
	b.must(t, Reused, Updated)
	if h := b.find(t).HostConfig; h.Memory != 512<<20 || h.MemorySwap != 512<<20 || h.NanoCPUs != 5e8 || *h.PidsLimit != 65 {
		t.Errorf("%+v", h.Resources)
	}
	other := "ductor-test-sandbox-other:" + strings.ToLower(rand.Text())
	t.Cleanup(func() { // a container holds its image
		_ = b.Remove(context.Background(), b.Spec.Name)
		_, _ = b.Client.ImageRemove(context.Background(), other, image.RemoveOptions{})
	})
	if err := b.Client.ImageTag(t.Context(), b.Spec.Image, other); err != nil {
		t.Fatal(err)
	}
	b.Spec.Image = other
	slices.Reverse(b.Spec.Env)
	if got := b.must(t, Reused, NoDrift); got.ID != st.ID {
		t.Error("the image's other name, and the order of variables, made another container")
	}
	for _, change := range []func(){
		func() { slices.Reverse(b.Spec.Mounts) },
		func() { b.Spec.Env = append(b.Spec.Env, "C=3") },
		func() { b.Spec.ReadOnly = true },
		func() { b.Spec.User = "12:34" },
	} {
		change()
		got := b.must(t, Remade, Recreated)
		if got.ID == st.ID {
			t.Errorf("it is the same: %+v", got)
		}
		st = got
	}
	made, err := b.Client.ContainerCommit(t.Context(), st.ID, container.CommitOptions{Reference: other, Changes: []string{"LABEL dev.ductor.test=1"}})
	if err != nil {
		t.Fatal(err)
	}
	b.Spec.ImageID = made.ID
	if got := b.must(t, Remade, Recreated); got.ID == st.ID || b.find(t).Image != made.ID {
		t.Errorf("%+v is not of the image %s", got, made.ID)
	}
	b.remove(t)
}

func (b *Box) remove(t *testing.T) {
	t.Helper()
	if err := b.Remove(t.Context(), b.Spec.Name); err != nil {
		t.Fatal(err)
	}
}

// TestCannot: what Docker will not do is said, and leaves nothing.
func TestCannot(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(b *Box, absent string)
		id     string
		text   string
	}{
		"no such folder": {func(b *Box, absent string) { b.Spec.Mounts[1].Source = absent }, "create_failed", "does not exist"},
		"no such image":  {func(b *Box, _ string) { b.Spec.ImageID = "sha256:" + strings.Repeat("0", 64) }, "image_missing", "No such image"},
		"no such user":   {func(b *Box, _ string) { b.Spec.User = "nobody-of-this-name" }, "start_failed", "nobody-of-this-name"},
	} {
		t.Run(name, func(t *testing.T) {
			b, absent := real(t), filepath.Join(t.TempDir(), "absent")
			tt.change(b, absent)
			_, err := b.Ensure(t.Context(), Options{})
			var e *exitcode.Error
			if !errors.As(err, &e) || e.Code != exitcode.Unavailable || e.ID != tt.id || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, %+v", err, e)
			}
			if in := b.find(t); in != nil {
				t.Errorf("left: %+v", in.State)
			}
			if _, err := os.Lstat(absent); err == nil {
				t.Error("the folder was made")
			}
		})
	}
}

// TestTwoAtOnce make one container.
func TestTwoAtOnce(t *testing.T) {
	b := real(t)
	ids := make([]string, 3)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			st, err := b.Ensure(t.Context(), Options{})
			if ids[i] = st.ID; err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if ids[0] == "" || ids[1] != ids[0] || ids[2] != ids[0] {
		t.Errorf("%q", ids)
	}
}

// TestLastWords of a first process that cannot live.
func TestLastWords(t *testing.T) {
	b := real(t)
	b.Spec.Helper = false
	b.Spec.Mounts[0].Target = "/bin/sleep" // which does not know what infinity is
	var st State
	if err := b.create(t.Context(), &st); err != nil {
		t.Fatal(err)
	}
	id := b.find(t).ID
	if got := b.lastWords(id); got != "" {
		t.Errorf("before its life it says %q", got)
	}
	if err := b.Client.ContainerStart(t.Context(), id, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	clitest.Wait(t, "its end", func() bool { return b.find(t).State.Status == container.StateExited })
	if got := b.lastWords(id); got != `fakecli: what is ["infinity"]?` {
		t.Errorf("%q", got)
	}
	// It ends a moment after a start that Docker calls a success.
	b.remove(t)
	_, err := b.Ensure(t.Context(), Options{})
	if err == nil {
		clitest.Wait(t, "its end", func() bool { return b.find(t).State.Status == container.StateExited })
		err = b.Failed(t.Context(), b.Spec.Name)
	}
	var e *exitcode.Error
	if !errors.As(err, &e) || e.ID != "start_failed" || !strings.Contains(err.Error(), "code 1") || !strings.Contains(e.Hint, "what is") {
		t.Errorf("%v", err)
	}
	if in := b.find(t); in != nil {
		t.Error("it is left")
	}
	if got := b.lastWords(id); got != "" {
		t.Errorf("after its removal it says %q", got)
	}
}
