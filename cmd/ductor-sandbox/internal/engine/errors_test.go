package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"ductor/internal/common/exitcode"
)

func TestClassify(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	forbidden := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	for name, tt := range map[string]struct {
		err  error
		code int
		id   string
		part string
	}{
		"deadline":       {&url.Error{Op: "Get", Err: context.DeadlineExceeded}, exitcode.Unavailable, timedOut, "do it: no answer in time"},
		"refused":        {fmt.Errorf("x: %w", refused), exitcode.Unavailable, unreachable, "refused"},
		"client's":       {clientError(t), exitcode.Unavailable, unreachable, "Cannot connect"},
		"forbidden":      {forbidden, exitcode.Unavailable, denied, "permission denied"},
		"end of stream":  {io.ErrUnexpectedEOF, exitcode.Unavailable, unreachable, "unexpected EOF"},
		"empty answer":   {io.EOF, exitcode.Unavailable, unreachable, "EOF"},
		"too new":        {errdefs.ErrInvalidArgument.WithMessage("client version 1.51 is too new."), exitcode.Unavailable, apiUnsupported, "too new"},
		"other 400":      {errdefs.ErrInvalidArgument.WithMessage("bad mount"), exitcode.OSErr, "", "bad mount"},
		"404":            {errdefs.ErrNotFound, exitcode.OSErr, "", "do it: not found"},
		"canceled":       {&url.Error{Op: "Get", Err: &net.OpError{Op: "dial", Err: context.Canceled}}, exitcode.OSErr, "", "canceled"},
		"own file":       {&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, exitcode.OSErr, "", "permission denied"},
		"talks to a tty": {errors.New("a\x1b[2Jb\r\nductor: all is well\x00"), exitcode.OSErr, "", "a?[2Jb  ductor: all is well?"},
		"long":           {errors.New(strings.Repeat("é", 1<<20)), exitcode.OSErr, "", "é…"},
		"has a code":     {exitcode.Errorf(exitcode.Config, "mine").WithID("name_conflict"), exitcode.Config, "name_conflict", "mine"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Classify(tt.err, "do it")
			switch tt.id {
			case "name_conflict":
				if got != tt.err {
					t.Errorf("changed to %v", got)
				}
			default:
				wantErr(t, got, tt.code, tt.id, tt.part)
			}
			if !errors.Is(got, tt.err) {
				t.Error("the cause is lost")
			}
		})
	}
	if err := Classify(nil, "do it"); err != nil {
		t.Error(err)
	}
	if err := Classify(&url.Error{Err: context.Canceled}, "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// clientError is how the client itself tells that nobody listens.
func clientError(t *testing.T) error {
	c, err := client.NewClientWithOpts(client.WithHost("tcp://127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Ping(t.Context())
	return err
}

func TestHintsPerSystem(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{startHint("linux"), "sudo systemctl start docker"},
		{startHint("darwin"), "open -a Docker"},
		{startHint("windows"), "start Docker Desktop"},
		{Options{GOOS: "linux"}.timeoutHint(target{host: defaultUnix}), "systemctl restart docker"},
		{Options{GOOS: "darwin"}.timeoutHint(target{host: defaultUnix}), "restart Docker Desktop"},
		{Options{GOOS: "linux"}.timeoutHint(target{host: "tcp://x:1", source: "DOCKER_HOST"}), "unset DOCKER_HOST"},
		{permissionHint("linux", defaultUnix), `usermod -aG docker "$USER"`},
		{permissionHint("linux", "unix:///it's"), `ls -l '/it'\''s'`},
		{permissionHint("darwin", defaultUnix), "ls -l '/var/run/docker.sock'"},
		{permissionHint("windows", defaultPipe), "docker-users"},
		{Options{GOOS: "linux"}.unreachableHint(target{host: defaultUnix, source: "DOCKER_HOST"}), "sudo systemctl start docker"},
		{Options{GOOS: "linux"}.unreachableHint(target{host: "unix:///x", source: "rootless"}), "systemctl --user start docker"},
		{Options{GOOS: "linux"}.unreachableHint(target{host: "tcp://x:1", source: "DOCKER_HOST"}), "unset DOCKER_HOST"},
		{Options{GOOS: "linux"}.unreachableHint(target{host: "tcp://x:1", source: "--host"}), "leave --host out"},
		{Options{GOOS: "linux"}.unreachableHint(target{host: "tcp://x:1", source: "context x"}), "--host unix:///var/run/docker.sock"},
	} {
		if !strings.Contains(tt.got, tt.want) {
			t.Errorf("%q does not contain %q", tt.got, tt.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"": "", " a\n": "a", "a\tb": "a b", "\x1b]0;x\x07": "?]0;x?", "\xff": "?", "é…": "é…", "\u202e": "?", "a\u2028b": "a?b",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	for n := range 8 { // a cut in the middle of a rune
		if s := printable(strings.Repeat("x", n) + strings.Repeat("日本", 2000)); !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxText+1 {
			t.Errorf("%d runes", utf8.RuneCountInString(s))
		}
	}
}
