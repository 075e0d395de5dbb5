package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/client"

	"ductor/internal/common/exitcode"
)

// minMajor, minMinor: API 1.41 is Docker 20.10.
const minMajor, minMinor = 1, 41

// ping asks once. It is not the client's Ping, which hides why a connection
// failed, drops the headers that name the product, and may ask twice.
func ping(ctx context.Context, c *client.Client, t target) (http.Header, error) {
	u, err := client.ParseHostURL(t.host)
	if err != nil {
		return nil, err
	}
	// The address as the client writes it, so that it finds our connection again.
	to := url.URL{Scheme: "http", Host: client.DummyHost, Path: path.Join("/", u.Path, "_ping")}
	if t.tls != nil {
		to.Scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, err
	}
	req.URL.Host = u.Host
	if u.Scheme == "tcp" {
		req.Host = u.Host
	}
	resp, err := c.HTTPClient().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %q: %q", printable(resp.Status), printable(strings.TrimSpace(string(body))))
	}
	return resp.Header, nil
}

// learn reads the headers of the first answer, and sets the version that the
// client speaks from now on. wanted is DOCKER_API_VERSION, which turns the
// client's negotiation off.
func (e *Engine) learn(h http.Header, wanted string) error {
	if err := e.negotiate(h.Get("Api-Version"), wanted); err != nil {
		return err
	}
	server := h.Get("Server") // Docker/20.10.24+dfsg1 (linux), Libpod/4.9.3 (linux)
	product, version, _ := strings.Cut(server, "/")
	version, _, _ = strings.Cut(version, " ")
	e.Version = printable(version)
	e.Podman = product == "Libpod" || h.Get("Libpod-Api-Version") != ""
	e.OS = printable(h.Get("Ostype"))
	if remote(e.Host) {
		e.Warnings = append(e.Warnings, fmt.Sprintf("the Docker daemon at %q may be on another machine: mounts name folders there", e.Host))
	}
	return nil
}

func (e *Engine) negotiate(theirs, wanted string) error {
	switch _, _, ok := parseVersion(theirs); {
	case theirs == "":
		return unsupported("it told no API version: is it a Docker daemon?")
	case !ok: // it would become a part of URLs
		return unsupported("it speaks API version %q, which is none", printable(theirs))
	}
	if err := checkWanted(theirs, wanted); err != nil {
		return err
	}
	e.Client.NegotiateAPIVersionPing(types.Ping{APIVersion: theirs}) // does nothing if a version is wanted
	e.API = e.Client.ClientVersion()
	if major, minor, _ := parseVersion(e.API); older(major, minor, minMajor, minMinor) {
		return unsupported("API version %s is too old: %d.%d is needed (Docker 20.10)", e.API, minMajor, minMinor)
	}
	return nil
}

// checkVersionVariable: the client would put any text into its URLs.
func checkVersionVariable(wanted string) error {
	if _, _, ok := parseVersion(strings.TrimPrefix(wanted, "v")); ok || wanted == "" {
		return nil
	}
	return exitcode.Errorf(exitcode.Usage, "parse DOCKER_API_VERSION %q: want MAJOR.MINOR, like %d.%d", wanted, minMajor, minMinor)
}

// checkWanted says before the first call what the daemon would refuse at it.
// What the daemon holds for too old, only the call tells; see Classify.
func checkWanted(theirs, wanted string) error {
	if wanted == "" {
		return nil
	}
	major, minor, _ := parseVersion(strings.TrimPrefix(wanted, "v"))
	theirMajor, theirMinor, _ := parseVersion(theirs)
	switch {
	case older(theirMajor, theirMinor, major, minor):
		return unsupported("DOCKER_API_VERSION is %s, and it speaks at most %s", wanted, theirs).WithHint("unset DOCKER_API_VERSION")
	case older(major, minor, minMajor, minMinor):
		return unsupported("DOCKER_API_VERSION is %s, and %d.%d is needed", wanted, minMajor, minMinor).WithHint("unset DOCKER_API_VERSION")
	}
	return nil
}

func older(major, minor, thanMajor, thanMinor int) bool {
	return major < thanMajor || major == thanMajor && minor < thanMinor
}

func parseVersion(s string) (major, minor int, ok bool) {
	left, right, found := strings.Cut(s, ".")
	major, ok1 := digits(left)
	minor, ok2 := digits(right)
	return major, minor, found && ok1 && ok2
}

// digits: unlike Atoi, no sign; at most four, which no version exceeds.
func digits(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && len(s) <= 4
}

func unsupported(format string, args ...any) *exitcode.Error {
	return exitcode.Errorf(exitcode.Unavailable, format, args...).WithID(apiUnsupported)
}
