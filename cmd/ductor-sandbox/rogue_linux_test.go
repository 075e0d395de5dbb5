package main

import (
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"ductor/cmd/ductor-sandbox/internal/box"
	"ductor/cmd/ductor-sandbox/internal/image/fakeimage"
	"ductor/internal/common/clitest"
)

// The tests here are of commands that want to outlive their run, where our own
// program is in the container and the image has a shell.

// byHelper is both, in such a container.
func byHelper(t *testing.T, f func(t *testing.T, w *world)) {
	clitest.Need(t, "docker")
	if err := exec.Command("docker", "image", "inspect", debian).Run(); err != nil {
		clitest.Lacking(t, "systemd", "make test-deps, with a Docker daemon running")
	}
	both(t, func(t *testing.T, w *world) {
		w.image = debian
		w.config(`{"docker":{"image_name":"` + w.image + `","container_name":"` + w.container + `","auto_build":false}}`)
		w.up()
		if got := docker(t, "inspect", "--format", "{{.Path}} {{.Args}}", w.container); got != box.HelperPath+" [idle]" {
			t.Fatalf("our program is not the first in the container: %s", got)
		}
		f(t, w)
		if left := w.present(); len(left) > 0 {
			t.Errorf("left %q", left)
		}
	})
}

// present are the processes of the container but for its first two. One that the
// kernel is about to forget is none.
func (w *world) present() (all []string) {
	w.t.Helper()
	lines := strings.Split(docker(w.t, "top", w.container, "-eo", "pid,stat,args"), "\n")
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if !strings.HasSuffix(line, box.HelperPath+" idle") && !strings.HasPrefix(f[1], "Z") {
			all = append(all, line)
		}
	}
	return all
}

// neighbour is a run with background processes of its own, of which one has left
// for a session of its own, one has no mark, and one is both and an orphan.
func (w *world) neighbour() *running {
	w.t.Helper()
	r := w.start("--tag", "name=neighbour", "--", "sh", "-c", `sleep 2001 & setsid sleep 2002 & env -i sleep 2003 & (env -i setsid sleep 2004 &); wait`)
	wait(w.t, "the neighbour", func() bool {
		all := strings.Join(w.present(), "\n")
		return strings.Count(all, "run ") == 1 && !strings.Contains(all, "setsid sleep 2002\n") && strings.Count(all, "\n") == 5
	})
	return r
}

// rogues are commands that lose their helper, or what is known of them. Each is
// over by itself, or never.
var rogues = []struct {
	name, script string
	code         int
	flags        []string
}{
	{"the helper killed, no mark", `(env -i setsid sleep 777 &); sleep .2; kill -9 $PPID; sleep 5`, 71, nil},
	{"the helper killed, a forged mark", `(DUCTOR_EXEC_ID=foo setsid sleep 777 &); sleep .2; kill -9 $PPID; sleep 5`, 71, nil},
	{"the helper killed, with descendants", `(env -i setsid sh -c '(setsid sleep 777 &); sleep 778 & sleep 779; :' &); sleep .2; kill -9 $PPID; sleep 5`, 71, nil},
	{"the helper killed, forks for ever", `(env -i setsid sh -c 'trap "" TERM; while :; do (setsid sleep 777 &) ; sleep .01; done' &); sleep .2; kill -9 $PPID; sleep 5`, 71, nil},
	{"the helper killed, as Go dies", `(env -i setsid sleep 777 &); sleep .2; kill -SEGV $PPID; sleep 5`, 71, nil},
	{"a forged mark, time is up", `(DUCTOR_EXEC_ID=foo setsid sleep 778 & ); sleep 60`, 124, []string{"--timeout", "1s", "--grace", "0s"}},
	{"a forged mark, deaf, time is up", `(DUCTOR_EXEC_ID=foo setsid sh -c 'trap "" TERM; while :; do sleep 778; done' & ); sleep 60`, 124, []string{"--timeout", "1s", "--grace", "100ms"}},
	{"no mark, time is up", `(env -i setsid sleep 778 & ); sleep 60`, 124, []string{"--timeout", "1s", "--grace", "0s"}},
	{"a chain without a mark left behind", `env -i ./fakecli hydra /tmp/there; until [ -e /tmp/there ]; do sleep .01; done; exit 3`, 3, nil},
	{"a forged mark left behind", `(DUCTOR_EXEC_ID=foo setsid sleep 778 & ); exit 3`, 3, nil},
}

// TestRogue: nothing of it is left, whatever it does to be, and no neighbour
// notices.
func TestRogue(t *testing.T) {
	byHelper(t, func(t *testing.T, w *world) {
		if err := fakeimage.Compile(w.workspace("fakecli"), ""); err != nil {
			t.Fatal(err)
		}
		n := w.neighbour()
		alone := w.present()
		for _, tt := range rogues {
			code, o, errs := w.status(append(slices.Clone(tt.flags), "--", "sh", "-c", tt.script)...)
			if code != tt.code || strings.Contains(errs, "are left") {
				t.Errorf("%s: code %d, not %d: %+v %s", tt.name, code, tt.code, o, errs)
			}
			if left := w.present(); !slices.Equal(left, alone) {
				t.Errorf("%s: left %q, not %q", tt.name, left, alone)
			}
			if out, errs := w.do(7, "exec", "--", "sh", "-c", "echo fine; exit 7"); out != "fine\n" || errs != "" {
				t.Errorf("%s: the next one: %q %q", tt.name, out, errs)
			}
		}
		if code := n.stop(); code != 143 {
			t.Errorf("the neighbour: %d %s", code, n.out)
		}
	})
}

// TestBomb: what fills the container faster than it can be ended is ended with it,
// and the next command runs.
func TestBomb(t *testing.T) {
	byHelper(t, func(t *testing.T, w *world) {
		flags := []string{"--pids", "64"}
		code, o, errs := w.status(append(flags, "--timeout", "2s", "--grace", "0s", "--", "bash", "-c", `:(){ :|:& };:; wait; sleep 60`)...)
		if code != 124 && code != 71 {
			t.Errorf("%d %+v %s", code, o, errs)
		}
		for range 2 {
			if out, _ := w.do(7, append(append([]string{"exec"}, flags...), "--", "sh", "-c", "sleep 100 & echo alive; exit 7")...); out != "alive\n" {
				t.Errorf("%q", out)
			}
		}
	})
}

// TestRogueCounted: what descends from a run is the run's, whatever its mark says,
// and a stray of another is not.
func TestRogueCounted(t *testing.T) {
	byHelper(t, func(t *testing.T, w *world) {
		// Nobody of ours is asked to end these: whoever comes next does.
		docker(t, "exec", "-d", w.container, "sh", "-c", "(setsid sleep 3001 &); (DUCTOR_EXEC_ID=foo setsid sleep 3002 &)")
		wait(t, "the strays", func() bool { return len(w.present()) == 2 })
		code, o, _ := w.status("--timeout", "1s", "--grace", "0s", "--", "sh", "-c", `(DUCTOR_EXEC_ID=foo setsid sleep 778 &); sleep 60; :`)
		if left := w.present(); code != 124 || o.Reason != "timeout" || o.Killed != 4 || len(left) > 0 {
			t.Errorf("%d %+v, left %q", code, o, left)
		}
	})
}

// TestRogueKillsNeighbour: a run whose helper somebody else has killed is over, and
// so is what was below it.
func TestRogueKillsNeighbour(t *testing.T) {
	byHelper(t, func(t *testing.T, w *world) {
		n := w.neighbour()
		w.do(0, "exec", "--", "sh", "-c", `for p in /proc/[0-9]*; do
			if tr '\0' ' ' <$p/cmdline | grep -q "sleep 2001" && grep -q '^PPid:.0$' $p/status && [ "${p#/proc/}" != "$PPID" ]; then kill -9 "${p#/proc/}"; fi
		done; :`)
		if code := n.code(); code != 71 {
			t.Errorf("the neighbour: %d %s", code, n.out)
		}
	})
}

// TestRogueMeanwhile: those that start and end all the time are not taken for
// strays, while others are ended.
func TestRogueMeanwhile(t *testing.T) {
	byHelper(t, func(t *testing.T, w *world) {
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				for range 4 {
					cmd := w.command("exec", "--", "sh", "-c", `for i in 1 2 3 4 5 6 7 8 9; do (sleep .05; echo $i) & done; wait; (sleep 1000 &); exit 5`)
					out, err := cmd.CombinedOutput()
					if cmd.ProcessState == nil || clitest.CodeOf(cmd.ProcessState) != 5 || strings.Count(string(out), "\n") != 9 {
						t.Errorf("%v: %q", err, out)
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { all.Wait(); close(done) }()
		defer all.Wait()
		for over := false; !over; {
			docker(t, "exec", "-d", w.container, "sh", "-c", "(setsid sleep 3001 &)")
			w.do(0, "exec", "--", "true")
			select {
			case <-done:
				over = true
			default:
			}
		}
		wait(t, "the last stray", func() bool {
			w.do(0, "exec", "--", "true")
			return len(w.present()) == 0
		})
	})
}
