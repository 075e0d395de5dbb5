package engine

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"ductor/internal/common/exitcode"
)

const hostHint = "unix:///var/run/docker.sock, or tcp://HOST:2376"

// parseHost checks a host and completes it as the docker command does: without
// a host it is localhost, without a port 2375, or 2376 with TLS.
//
// Errors: 64, and 69 for ssh.
func parseHost(host string, secure bool, goos string) (string, error) {
	if strings.ContainsFunc(host, unicode.IsControl) {
		return "", malformed(host, errors.New("control characters"))
	}
	scheme, rest, ok := strings.Cut(host, "://")
	if !ok || rest == "" {
		return "", malformed(host, errors.New("neither scheme nor address may be missing"))
	}
	var err error
	switch scheme {
	case "unix":
		err = checkSocket(rest, goos)
	case "npipe":
		err = checkPipe(rest, goos)
	case "tcp":
		rest, err = completeTCP(rest, secure)
	case "ssh":
		return "", noSSH(host)
	default:
		err = fmt.Errorf("unknown scheme %q", scheme)
	}
	if err != nil {
		return "", malformed(host, err)
	}
	return scheme + "://" + rest, nil
}

func malformed(host string, why error) error {
	return exitcode.Errorf(exitcode.Usage, "parse Docker host %q: %w", host, why).WithHint("%s", hostHint)
}

func checkSocket(file, goos string) error {
	if goos != "windows" && !path.IsAbs(file) {
		return errors.New("the path of a socket is absolute")
	}
	return nil
}

func checkPipe(file, goos string) error {
	if goos != "windows" {
		return errors.New("named pipes are for Windows")
	}
	if !strings.HasPrefix(file, "//") {
		return errors.New("a pipe's path starts with //")
	}
	return nil
}

// completeTCP also writes the port of HTTP out, which the client's two ways to
// dial would guess differently.
func completeTCP(addr string, secure bool) (string, error) {
	u, err := url.Parse("tcp://" + addr)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return "", err
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("only HOST:PORT/PATH is allowed")
	}
	if strings.Count(u.Host, ":") > 1 && !strings.HasPrefix(u.Host, "[") {
		return "", errors.New("an IPv6 address stands in brackets")
	}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "localhost"
	}
	switch n, err := strconv.Atoi(port); {
	case port == "" && secure:
		port = "2376"
	case port == "":
		port = "2375"
	case err != nil || n < 1 || n > 65535:
		return "", fmt.Errorf("port %q is not within 1 to 65535", port)
	}
	u.Host = net.JoinHostPort(host, port)
	return strings.TrimPrefix(u.String(), "tcp://"), nil
}

// noSSH: the docker command runs ssh and "docker system dial-stdio" for such a
// host, which this client does not.
func noSSH(host string) error {
	e := exitcode.Errorf(exitcode.Unavailable, "use Docker host %q: ssh is not supported", host).WithID(unreachable)
	u, err := url.Parse(host)
	if err != nil || !plainWord(u.Hostname()) || !plainWord(u.User.Username()+"x") || !plainWord(u.Port()+"x") {
		return e.WithHint("forward its socket with ssh -N -L, and set DOCKER_HOST to unix:// and the path")
	}
	where := u.Hostname()
	if name := u.User.Username(); name != "" {
		where = name + "@" + where
	}
	if u.Port() != "" {
		where = "-p " + u.Port() + " " + where
	}
	return e.WithHint(`ssh -fN -L "$HOME/.docker-ssh.sock:/var/run/docker.sock" %s && export DOCKER_HOST="unix://$HOME/.docker-ssh.sock"`, where)
}

// plainWord is what a shell takes as it is, and ssh not as an option.
func plainWord(s string) bool {
	ok, _ := regexp.MatchString(`^[A-Za-z0-9][A-Za-z0-9._-]*$`, s)
	return ok
}

// prefixed says who named a host, and keeps code, ID and hint.
func prefixed(source string, err error) error {
	var coded *exitcode.Error
	if !errors.As(err, &coded) {
		return err
	}
	return &exitcode.Error{Code: coded.Code, ID: coded.ID, Hint: coded.Hint, Err: fmt.Errorf("%s: %w", source, err)}
}
