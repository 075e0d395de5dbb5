package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"runtime"
	"strings"
	"syscall"
	"unicode"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"ductor/internal/common/exitcode"
)

// The reasons of this package for which no sandbox can be had.
const (
	unreachable    = "daemon_unreachable"
	denied         = "permission_denied"
	timedOut       = "daemon_timeout"
	apiUnsupported = "api_unsupported"
)

// Classify gives the error of a call of Client its code, and its ID if the
// daemon itself is the trouble: 69 with daemon_unreachable (also for a
// connection that broke), permission_denied, daemon_timeout or api_unsupported.
// Whatever else the daemon answered is 71 without an ID; an error that has a
// code keeps it, and nil stays nil. The cause can be unwrapped (errdefs,
// context.Canceled); the text is safe to print. what is a verb and its object:
// `start container "x"`.
//
// Once a command was started, 69 would be a lie ("nothing ran"): do not pass
// such an error on.
func Classify(err error, what string) error {
	var coded *exitcode.Error
	if err == nil || errors.As(err, &coded) {
		return err
	}
	switch {
	case isTimeout(err):
		return unavailable(timedOut, what, retold{err, noAnswer}, hungHint(runtime.GOOS))
	case isConnection(err) && errors.Is(err, fs.ErrPermission):
		return unavailable(denied, what, safe(err), permissionHint(runtime.GOOS, defaultUnix))
	case isConnection(err):
		return unavailable(unreachable, what, safe(err), startHint(runtime.GOOS))
	case errdefs.IsInvalidArgument(err) && strings.Contains(err.Error(), "client version"):
		return unavailable(apiUnsupported, what, safe(err), "unset DOCKER_API_VERSION")
	}
	return exitcode.Errorf(exitcode.OSErr, "%s: %w", what, safe(err))
}

const noAnswer = "no answer in time"

// explain is Classify for the first question, where every failure is the
// daemon's and it is known which one was asked.
func (o Options) explain(err error, t target) error {
	what := fmt.Sprintf("ask the Docker daemon at %q (%s)", t.host, t.source)
	var coded *exitcode.Error
	switch {
	case errors.As(err, &coded):
		return prefixed(what, err)
	case errors.Is(err, context.Canceled):
		return exitcode.Errorf(exitcode.OSErr, "%s: %w", what, context.Canceled)
	case isTimeout(err):
		return unavailable(timedOut, what, retold{err, noAnswer}, o.timeoutHint(t))
	case errors.Is(err, fs.ErrPermission):
		return unavailable(denied, what, bare(err), permissionHint(o.GOOS, t.host))
	}
	return unavailable(unreachable, what, bare(err), o.unreachableHint(t))
}

func unavailable(id, what string, err error, hint string) error {
	return exitcode.Errorf(exitcode.Unavailable, "%s: %w", what, err).WithID(id).WithHint("%s", hint)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// isConnection: the end of a stream where an answer should be is a daemon that
// died. The client wraps what happens before the answer begins, not that.
func isConnection(err error) bool {
	var op *net.OpError
	return !errors.Is(err, context.Canceled) && (client.IsErrConnectionFailed(err) || errors.As(err, &op) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF))
}

// id is the word that JSON readers would see, "" for none.
func id(err error) string {
	var coded *exitcode.Error
	if errors.As(err, &coded) {
		return coded.ID
	}
	return ""
}

// startHint is something to type on a system, about the default daemon.
func startHint(goos string) string {
	switch goos {
	case "darwin":
		return "open -a Docker"
	case "windows":
		return "start Docker Desktop"
	}
	return "sudo systemctl start docker"
}

// hungHint is for a default daemon that runs and does not answer.
func hungHint(goos string) string {
	if goos == "linux" {
		return "sudo systemctl restart docker"
	}
	return "restart Docker Desktop"
}

func (o Options) timeoutHint(t target) string {
	if t.host == o.defaultHost() {
		return hungHint(o.GOOS)
	}
	return o.unreachableHint(t)
}

func (o Options) unreachableHint(t target) string {
	switch {
	case t.host == o.defaultHost():
		return startHint(o.GOOS)
	case t.source == "rootless":
		return "systemctl --user start docker"
	case t.source == "--host":
		return "start that daemon, or leave --host out"
	case t.source == "DOCKER_HOST" || t.source == "DOCKER_TLS_VERIFY":
		return "start that daemon, or unset " + t.source
	}
	return "start that daemon, or name another: --host " + o.defaultHost()
}

// permissionHint: the group is that of the default socket only.
func permissionHint(goos, host string) string {
	path, isSocket := strings.CutPrefix(host, "unix://")
	switch {
	case goos == "windows":
		return `net localgroup docker-users "%USERNAME%" /add  (as administrator; then log in again)`
	case goos == "linux" && host == defaultUnix:
		return `sudo usermod -aG docker "$USER"  (then log in again; or use rootless Docker: dockerd-rootless-setuptool.sh install)`
	case isSocket:
		return fmt.Sprintf("ls -l '%s'", strings.ReplaceAll(path, "'", `'\''`))
	}
	return ""
}

// retold is an error in other words.
type retold struct {
	err  error
	text string
}

func (r retold) Error() string { return r.text }
func (r retold) Unwrap() error { return r.err }

// safe makes a text that came from elsewhere fit for a terminal.
func safe(err error) error { return retold{err, printable(err.Error())} }

// bare drops what the sentence says already: method, address.
func bare(err error) error {
	inner := err
	var request *url.Error
	if errors.As(inner, &request) {
		inner = request.Err
	}
	var op *net.OpError
	if errors.As(inner, &op) && op.Err != nil {
		inner = op.Err
	}
	if isHangup(inner) {
		return retold{err, "it closed the connection without an answer"}
	}
	return retold{err, printable(inner.Error())}
}

// isHangup: which of these it is depends on how far the question had come. The
// last is net/http's, which does not export it.
func isHangup(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		strings.HasSuffix(err.Error(), "server closed idle connection")
}

// maxText bounds what is told of foreign words, in runes.
const maxText = 500

// printable makes one line of foreign words that cannot talk to a terminal.
func printable(s string) string {
	runes := []rune(strings.ToValidUTF8(s[:min(len(s), 4*maxText)], "?"))
	if len(runes) > maxText {
		runes = append(runes[:maxText], '…')
	}
	for i, r := range runes {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			runes[i] = ' '
		case !unicode.IsPrint(r):
			runes[i] = '?'
		}
	}
	return strings.TrimSpace(string(runes))
}
