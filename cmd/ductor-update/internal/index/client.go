package index

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"ductor/internal/common/buildinfo"
	"ductor/internal/common/exitcode"
)

// Client asks. It never asks twice for the same thing by itself.
type Client struct {
	Transport http.RoundTripper
	UserAgent string
	Timeout   time.Duration // of one question from its start to the last byte of all answers
	Now       func() time.Time

	GitHub string // base of the API
	Token  string // sent to https://api.github.com only

	SimpleLimit, JSONLimit int64 // bytes of an answer, unpacked
}

// New returns a Client with the limits of this program: 10 s, 64 MiB for a page
// of the Simple API (the largest known has 30), 8 MiB for other JSON. Proxies
// are those of the environment. Close it.
func New() *Client {
	t := http.DefaultTransport.(*http.Transport).Clone() // has ProxyFromEnvironment
	t.MaxResponseHeaderBytes = 1 << 20
	return &Client{
		Transport: t,
		UserAgent: "ductor-update/" + buildinfo.Version(),
		Timeout:   10 * time.Second,
		Now:       time.Now,
		GitHub:    "https://api.github.com",

		SimpleLimit: 64 << 20,
		JSONLimit:   8 << 20,
	}
}

// Close ends connections that are idle.
func (c *Client) Close() {
	if t, ok := c.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// later is in the chain of an error when the server says when to come back.
type later struct {
	error
	at time.Time
}

func (l *later) Unwrap() error { return l.error }

// RetryAt returns when the server wants to be asked again, from Retry-After or
// GitHub's rate limit: between now and a day from now.
func RetryAt(err error) (time.Time, bool) {
	var l *later
	if errors.As(err, &l) {
		return l.at, true
	}
	return time.Time{}, false
}

// httpError is an answer other than 200 and 304.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

// missing tells an answer that says: not here.
func missing(err error) bool {
	var h *httpError
	return errors.As(err, &h) && (h.status == http.StatusNotFound || h.status == http.StatusGone)
}

// broken tells an answer after which another way to ask is worth trying.
func broken(err error) bool {
	var h *httpError
	return errors.As(err, &h) && (missing(err) || h.status >= 500)
}

// request is one GET.
type request struct {
	url    *url.URL
	accept string
	etag   string
	limit  int64
}

// reply is its answer with status 200 or, if an ETag was sent, 304.
type reply struct {
	unchanged bool
	etag      string
	mediaType string
	body      []byte
	url       *url.URL // after redirects
}

// get demands 200 or 304. Errors are Unavailable and name the URL.
func (c *Client) get(ctx context.Context, r request) (*reply, error) {
	name := redact(r.url)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url.String(), nil)
	if err != nil {
		return nil, exitcode.Errorf(exitcode.Unavailable, "cannot ask %s", name)
	}
	req.Header.Set("Accept", r.accept)
	req.Header.Set("User-Agent", c.UserAgent)
	req.Header.Set("Cache-Control", "max-age=0") // as pip: a proxy may hold an old page
	if r.etag != "" {
		req.Header.Set("If-None-Match", r.etag)
	}
	if c.Token != "" && trusted(r.url) {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := (&http.Client{Transport: c.Transport, CheckRedirect: checkRedirect}).Do(req)
	if err != nil {
		return nil, c.failure(ctx, name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified && r.etag != "" {
		return &reply{unchanged: true, etag: r.etag, url: resp.Request.URL}, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.refusal(name, resp)
	}
	body, err := readAll(resp, r.limit)
	if err != nil {
		return nil, c.failure(ctx, name, err)
	}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return &reply{etag: resp.Header.Get("ETag"), mediaType: mediaType, body: body, url: resp.Request.URL}, nil
}

// readAll reads one byte past the limit at most, whatever the length that is
// announced.
func readAll(resp *http.Response, limit int64) ([]byte, error) {
	tooLarge := fmt.Errorf("the answer is larger than %d MiB", limit>>20)
	if limit < 1<<20 {
		tooLarge = fmt.Errorf("the answer is larger than %d bytes", limit)
	}
	if resp.ContentLength > limit {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = tooLarge
	}
	return body, err
}

// checkRedirect follows three times, never to something less safe, and keeps
// credentials within the host that they are for.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first, last := via[0].URL, via[len(via)-1].URL
	switch {
	case len(via) > 3:
		return errors.New("more than 3 redirects")
	case req.URL.Scheme != "https" && req.URL.Scheme != "http":
		return fmt.Errorf("a redirect to %q is not followed", inline(redact(req.URL)))
	case last.Scheme == "https" && req.URL.Scheme != "https":
		return fmt.Errorf("a redirect from https to %q is not followed", inline(redact(req.URL)))
	}
	same := req.URL.Scheme == first.Scheme && req.URL.Host == first.Host
	if !same {
		req.Header.Del("Authorization")
	} else if req.URL.User == nil {
		req.URL.User = first.User
	}
	return nil
}

// trusted is the exact host: a suffix would be true of evilapi.github.com.
func trusted(u *url.URL) bool { return u.Scheme == "https" && u.Host == "api.github.com" }

// failure describes what net/http says, without the URL in its own words,
// which has the user's name in it.
func (c *Client) failure(ctx context.Context, name string, err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	var timeout interface{ Timeout() bool }
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return exitcode.Errorf(exitcode.Unavailable, "%s: no whole answer within %s", name, c.Timeout)
	}
	return exitcode.Errorf(exitcode.Unavailable, "%s: %w", name, &cleaned{err})
}

// cleaned is an error whose words may be a server's, or hold a proxy's
// password.
type cleaned struct{ error }

var userinfo = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`//[^/\s"]*@`) })

func (e *cleaned) Error() string {
	return Clean(userinfo().ReplaceAllString(e.error.Error(), "//"), false, 300)
}
func (e *cleaned) Unwrap() error { return e.error }

// refusal describes a status other than 200.
func (c *Client) refusal(name string, resp *http.Response) error {
	text := http.StatusText(resp.StatusCode)
	var err error = &httpError{resp.StatusCode, strings.TrimSpace(fmt.Sprintf("HTTP status %d %s", resp.StatusCode, text))}
	at, has := c.retryTime(resp)
	if has {
		err = &later{fmt.Errorf("%w; come back at %s", err, at.UTC().Format(time.RFC3339)), at}
	}
	e := exitcode.Errorf(exitcode.Unavailable, "%s: %w", name, err)
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden && !has {
		e = e.WithHint("credentials come from the URL of the index: https://USER:PASSWORD@HOST/…; netrc and keyrings are not read")
	}
	return e
}

// retryTime reads Retry-After in both forms (RFC 9110, 10.2.3) and GitHub's
// X-RateLimit-Reset, and keeps to the next 24 hours.
func (c *Client) retryTime(resp *http.Response) (time.Time, bool) {
	now := c.Now()
	var at time.Time
	text := strings.TrimSpace(resp.Header.Get("Retry-After"))
	seconds, err := strconv.ParseUint(text, 10, 64)
	if err == nil {
		at = now.Add(time.Duration(min(seconds, 1<<31)) * time.Second)
	} else if at, err = http.ParseTime(text); err != nil {
		if resp.Header.Get("X-RateLimit-Remaining") != "0" {
			return at, false
		}
		reset, err := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64)
		if err != nil {
			return at, false
		}
		at = time.Unix(reset, 0)
	}
	if at.Before(now) {
		at = now
	}
	if latest := now.Add(24 * time.Hour); at.After(latest) {
		at = latest
	}
	return at, true
}

// decode demands JSON: another media type is Unavailable (a portal that wants
// a login answers HTML), wrong types and syntax are DataErr.
func (r *reply) decode(into any) error {
	name := redact(r.url)
	if r.mediaType != "application/json" && !strings.HasSuffix(r.mediaType, "+json") {
		return exitcode.Errorf(exitcode.Unavailable, "%s: the answer is %q, not JSON", name, inline(r.mediaType))
	}
	err := json.Unmarshal(r.body, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return exitcode.Errorf(exitcode.DataErr, "%s: %q is of the wrong type: %s", name, inline(cmp.Or(wrong.Field, "the answer")), inline(wrong.Value))
	case err != nil:
		return exitcode.Errorf(exitcode.DataErr, "%s: the answer is not valid JSON: %w", name, &cleaned{err})
	}
	return nil
}
