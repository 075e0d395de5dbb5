package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// builder is a world that builds its own image, from a Dockerfile of two lines.
func builder(t *testing.T, w *world) (dockerfile string, write func(text string)) {
	t.Helper()
	base, mark := w.image, "dev.ductor.test.id="+w.container
	w.image = w.container // a name that nobody else has
	w.config(`{"docker":{"image_name":"` + w.image + `","container_name":"` + w.container + `"}}`)
	t.Cleanup(func() {
		_ = exec.Command("docker", "rm", "-f", w.container).Run()
		_ = exec.Command("docker", "rmi", "-f", w.image).Run()
		_ = exec.Command("docker", "image", "prune", "-f", "--filter", "label="+mark).Run() // those that lost their name
	})
	dockerfile = filepath.Join(filepath.Dir(w.home), "Dockerfile")
	write = func(text string) {
		if err := os.WriteFile(dockerfile, []byte("FROM "+base+"\nLABEL dev.ductor.test=1 "+mark+"\n"+text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dockerfile, write
}

// TestRenewal: a Dockerfile that changed is a new image at the next up, not in the
// middle of a command's start, and one that cannot be built leaves the old one.
func TestRenewal(t *testing.T) { both(t, testRenewal) }

func testRenewal(t *testing.T, w *world) {
	path, write := builder(t, w)
	with := func(args ...string) []string { return append(args, "--dockerfile", path) }
	version := func(want string) {
		t.Helper()
		if out, _ := w.do(0, append(with("exec"), "--", "fakecli", "env", "VERSION")...); strings.TrimSpace(out) != want {
			t.Errorf("version %q, not %s", out, want)
		}
	}
	write("ENV VERSION=1")
	version("1") // a command builds what is not there
	if out, _ := w.do(0, with("status", "--json")...); !strings.Contains(out, `"stale":false`) {
		t.Error(out)
	}
	write("ENV VERSION=2")
	version("1")
	if out, _ := w.do(0, with("status", "--json")...); !strings.Contains(out, `"stale":true`) {
		t.Error(out)
	}
	if out, _ := w.do(0, with("doctor")...); !strings.Contains(out, "older Dockerfile") {
		t.Error(out)
	}
	if v := w.up("--dockerfile", path); v.Changed != "recreated" || v.Image.Stale {
		t.Errorf("%+v", v)
	}
	version("2")
	write("ENV")
	if _, errs := w.do(0, with("up")...); !strings.Contains(errs, "older Dockerfile, and stays") {
		t.Error(errs)
	}
	version("2")
	w.do(69, with("up", "--build-only")...)

	write("ENV VERSION=2")
	id := func() string { return docker(t, "image", "inspect", "--format", "{{.Id}}", w.image) }
	first := id()
	if out, _ := w.do(0, with("up", "--build-only", "--json")...); !strings.Contains(out, `"image":{"ref":"`+w.image+`"`) {
		t.Error(out)
	}
	if id() != first {
		t.Error("nothing has changed, and it is another image")
	}
	w.do(0, with("up", "--build-only", "--recreate")...)
	if id() == first {
		t.Error("the steps were not done again")
	}
	// An image that somebody has built by other means is what it is, though its base
	// is one of ours.
	w.do(0, "down", "--image")
	if out, err := exec.Command("docker", "build", "-q", "-t", w.image, "-f", path, filepath.Dir(path)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, errs := w.do(0, "up"); strings.Contains(errs, "building") {
		t.Error(errs)
	}
}

// TestTwoBuilds at once are one.
func TestTwoBuilds(t *testing.T) {
	w := newWorld(t)
	path, write := builder(t, w)
	write("ENV VERSION=1")
	outs := make([]string, 3)
	var all sync.WaitGroup
	for i := range outs {
		all.Go(func() {
			out, _ := w.command("up", "--dockerfile", path).CombinedOutput()
			outs[i] = string(out)
		})
	}
	all.Wait()
	text := strings.Join(outs, "")
	if strings.Count(text, "building the image") != 1 || strings.Count(text, ": running") != 3 || strings.Contains(text, "recreated") {
		t.Error(text)
	}
}
