// Package engine finds the Docker daemon.
package engine

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/client"

	"ductor/internal/common/exitcode"
)

// DefaultTimeout is how long a daemon may take for the first answer.
const DefaultTimeout = 5 * time.Second

// Options say where to look. Empty fields are allowed.
type Options struct {
	Host    string              // the flag --host; "" not given
	Getenv  func(string) string // nil: no variable is set
	HomeDir string              // the user's home folder, "" unknown
	GOOS    string              // "" is this system
	Timeout time.Duration       // of each attempt; DefaultTimeout when zero
}

// Engine is a daemon that answered. Its fields are what the first answer
// tells; Info asks for more.
type Engine struct {
	Client   *client.Client
	Host     string   // with its scheme: unix:///var/run/docker.sock
	Source   string   // who named it: --host, DOCKER_HOST, context NAME, default, rootless …
	Version  string   // of the daemon; "" when it does not say
	API      string   // the version that Client speaks: 1.41
	OS       string   // of the containers: linux or windows; "" when the daemon does not say
	Podman   bool     // it is Podman's imitation of Docker
	Warnings []string // for people

	timeout time.Duration
	mu      sync.Mutex
	info    *Info
}

// Find returns the daemon that the user means: --host, DOCKER_HOST,
// DOCKER_CONTEXT, the current context of config.json, and else the first of the
// usual sockets that answers. What was named and does not answer is an error,
// never skipped: the next daemon would have other containers.
//
// Errors: 64 for malformed flags and variables, 65 for malformed files of
// Docker's, 77 for unreadable ones, and 69 with the ID daemon_unreachable,
// permission_denied, daemon_timeout or api_unsupported.
func Find(ctx context.Context, o Options) (*Engine, error) {
	o = o.complete()
	if err := checkVersionVariable(o.Getenv("DOCKER_API_VERSION")); err != nil {
		return nil, err
	}
	targets, err := o.targets()
	if err != nil {
		return nil, err
	}
	return o.first(ctx, targets)
}

// first returns the first that answers.
func (o Options) first(ctx context.Context, targets []target) (*Engine, error) {
	var tried []error
	for _, t := range targets {
		e, err := o.try(ctx, t)
		if err == nil {
			return e, nil
		}
		tried = append(tried, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, summary(tried)
}

// Close lets go of idle connections. It does not end streams.
func (e *Engine) Close() { _ = e.Client.Close() }

func (o Options) complete() Options {
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	if o.GOOS == "" {
		o.GOOS = runtime.GOOS
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	return o
}

// try asks one daemon one question.
func (o Options) try(ctx context.Context, t target) (*Engine, error) {
	c, err := o.connect(t)
	if err != nil {
		return nil, err
	}
	e := &Engine{Client: c, Host: t.host, Source: t.source, timeout: o.Timeout}
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	header, err := ping(limited, c, t)
	if err == nil {
		err = e.learn(header, o.Getenv("DOCKER_API_VERSION"))
	}
	if err != nil {
		e.Close()
		return nil, o.explain(err, t)
	}
	return e, nil
}

// connect makes a client without asking anything. client.WithTimeout is not
// used, because it would end streams too.
func (o Options) connect(t target) (*client.Client, error) {
	transport := &http.Transport{MaxResponseHeaderBytes: 1 << 20}
	if t.tls != nil {
		config, err := t.tls.config()
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = config
	}
	c, err := client.NewClientWithOpts(
		client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect}),
		client.WithHost(t.host), // sets the transport's dialer, so it comes second
		client.WithVersion(o.Getenv("DOCKER_API_VERSION")),
		client.WithAPIVersionNegotiation(),
	)
	if err != nil { // a path longer than a socket may have
		return nil, exitcode.Errorf(exitcode.Usage, "use Docker host %q (%s): %w", t.host, t.source, err)
	}
	return c, nil
}

// remote tells whether the daemon may be on another machine.
func remote(host string) bool {
	u, err := url.Parse(host)
	if err != nil || u.Scheme != "tcp" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return !strings.EqualFold(u.Hostname(), "localhost") && (ip == nil || !ip.IsLoopback())
}

// summary of the attempts: the error that tells most leads, because a socket
// that refuses us is a better trail than one that is not there.
func summary(tried []error) error {
	if len(tried) == 1 {
		return tried[0]
	}
	lead, texts := tried[0], make([]string, len(tried))
	for i, err := range tried {
		texts[i] = err.Error()
		if id(lead) == unreachable && id(err) != unreachable {
			lead = err
		}
	}
	sum := exitcode.Errorf(exitcode.Of(lead), "%w", retold{lead, strings.Join(texts, "; ")})
	var coded *exitcode.Error
	if errors.As(lead, &coded) {
		sum.ID, sum.Hint = coded.ID, coded.Hint
	}
	return sum
}
