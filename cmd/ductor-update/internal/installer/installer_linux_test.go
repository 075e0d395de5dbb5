//go:build linux

package installer

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"ductor/internal/common/exitcode"
)

func sh(script string, out *bytes.Buffer) Job {
	return Job{Argv: []string{"/bin/sh", "-c", script}, Env: Environment("A=1", "A=2"), Mark: "t" + time.Now().Format("150405.000000000"), Out: out}
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), sh("echo out $A; echo err >&2", &out)); err != nil || out.String() != "out 2\nerr\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	var exit *exec.ExitError
	if err := Run(t.Context(), sh("exit 3", &out)); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Error(err)
	} else if why := Why([]string{"/x/python", "-m", "pip", "install"}, err); why != "pip failed: exit status 3" {
		t.Error(why)
	}
	err := Run(t.Context(), Job{Argv: []string{"/no/such/pipx"}, Mark: "t"})
	if exitcode.Of(err) != exitcode.Unavailable {
		t.Error(err)
	}
}

// TestRunEndsWhatDoesNotEnd: what left the group too, and without waiting for
// the output that it has open.
func TestRunEndsWhatDoesNotEnd(t *testing.T) {
	for name, script := range map[string]string{
		"a sleeper":             "echo ready; sleep 1000; true",
		"one that left a child": "setsid sh -c 'trap \"\" TERM; echo ready; while :; do sleep 1; done' & wait",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := &firstLine{cancel: cancel}
			j := sh(script, nil)
			j.Out = out
			if err := Run(ctx, j); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if End(j.Mark) {
				t.Error("something was left")
			}
		})
	}
}

type firstLine struct{ cancel func() }

func (f *firstLine) Write(p []byte) (int, error) { f.cancel(); return len(p), nil }
