package index

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ductor/internal/common/exitcode"
)

func TestBadAnswers(t *testing.T) {
	for _, c := range []struct {
		name, mediaType, body string
		code                  int
		words                 string
	}{
		{"a portal", htmlType, `<html><body>Please log in <a href="/login">here</a>`, exitcode.Unavailable, "lists no files"},
		{"an empty page", htmlType, "", exitcode.Unavailable, "lists no files"},
		{"no files", jsonType, `{"files":[]}`, exitcode.Unavailable, "lists no files"},
		{"HTML called JSON", jsonType, `<html>`, exitcode.DataErr, "not valid JSON"},
		{"JSON of another kind", "application/json", `{"files":[]}`, exitcode.Unavailable, `"application/json"`},
		{"a picture", "image/png", "\x89PNG", exitcode.Unavailable, `"image/png"`},
		{"no type", "", `{}`, exitcode.Unavailable, "Simple API"},
		{"torn JSON", jsonType, `{"files":[{"url":"ductor-1.0.tar.gz"`, exitcode.DataErr, "not valid JSON"},
		{"files is no list", jsonType, `{"files":{"a":1}}`, exitcode.DataErr, `"files"`},
		{"a list", jsonType, `[]`, exitcode.DataErr, "wrong type"},
		{"a string", jsonType, "\"\x1b[31m\"", exitcode.DataErr, ""},
		{"url is a number", jsonType, `{"files":[{"url":1}]}`, exitcode.DataErr, "number"},
		{"requires-python is a list", jsonType, `{"files":[{"url":"x","requires-python":["3"]}]}`, exitcode.DataErr, "requires-python"},
		{"yanked is a number", jsonType, `{"files":[{"url":"ductor-1.0.tar.gz","yanked":1}]}`, exitcode.DataErr, "number"},
		{"yanked is an object", jsonType, `{"files":[{"url":"ductor-1.0.tar.gz","yanked":{}}]}`, exitcode.DataErr, "object"},
		{"nested too deeply", jsonType, `{"files":` + strings.Repeat("[", 20_000), exitcode.DataErr, ""},
		{"another major version", jsonType, `{"meta":{"api-version":"2.0"},"files":[]}`, exitcode.Unavailable, `version "2.0"`},
		{"another major version of HTML", htmlType, `<meta name="pypi:repository-version" content="2.` + "\x1b" + `">`, exitcode.Unavailable, `version "2."`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			h.put(page, c.mediaType, c.body)
			wantError(t, newClient(t), h.config(), Query{}, c.code, h.URL+page, c.words)
		})
	}
}

func TestStatuses(t *testing.T) {
	for _, status := range []int{204, 206, 400, 401, 403, 404, 410, 429, 500, 502, 503, 599, 999} {
		h := newHost(t)
		h.fail(page, status)
		err := wantError(t, newClient(t), h.config(), Query{}, exitcode.Unavailable, fmt.Sprint(status), h.URL)
		if len(h.asked) > 2 || len(h.asked) == 2 && !(status == 404 || status == 410 || status >= 500) {
			t.Errorf("%d: asked %q", status, h.asked)
		}
		var coded *exitcode.Error
		if (status == 401 || status == 403 || status == 404) && (!errors.As(err, &coded) || coded.Hint == "") {
			t.Errorf("%d: %v has no hint", status, err)
		}
	}
}

func TestOffline(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	where := "http://someone:s3cret@" + l.Addr().String() + "/simple/"
	wantError(t, newClient(t), configOf(where), Query{}, exitcode.Unavailable, "http://"+l.Addr().String()+"/simple/ductor/")
}

func TestAnswerThatBreaksOff(t *testing.T) {
	h := newHost(t)
	h.set(page, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", jsonType)
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"files":[]}`)
	})
	wantError(t, newClient(t), h.config(), Query{}, exitcode.Unavailable, "unexpected EOF")
}

func TestNoHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "\x1b[31mSSH-2.0\r\n\r\n")
			conn.Close()
		}
	}()
	wantError(t, newClient(t), configOf("http://"+l.Addr().String()+"/simple/"), Query{}, exitcode.Unavailable)
}

// TestOneGigabyte is told to stop soon after the limit, announced or not, and
// packed or not.
func TestOneGigabyte(t *testing.T) {
	for _, how := range []string{"chunked", "announced", "packed"} {
		t.Run(how, func(t *testing.T) {
			h := newHost(t)
			var sent atomic.Int64
			h.set(page, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", jsonType)
				var to io.Writer = w
				switch how {
				case "announced":
					w.Header().Set("Content-Length", fmt.Sprint(1<<30))
				case "packed":
					w.Header().Set("Content-Encoding", "gzip")
					z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
					to = z
				}
				zeros := make([]byte, 1<<20)
				for range 1024 {
					n, err := to.Write(zeros)
					sent.Add(int64(n))
					if err != nil {
						return
					}
				}
			})
			c := newClient(t)
			if how == "packed" { // zeros pack so well that all of them fit into buffers
				c.SimpleLimit = 1 << 20
			}
			words := fmt.Sprintf("larger than %d MiB", c.SimpleLimit>>20)
			wantError(t, c, h.config(), Query{}, exitcode.Unavailable, words, h.URL+page)
			if how == "chunked" && sent.Load() > c.SimpleLimit+(32<<20) {
				t.Errorf("%d bytes were sent", sent.Load())
			}
		})
	}
}

func TestLimitOfTheOlderAPI(t *testing.T) {
	h := newHost(t)
	h.put("/pypi/ductor/json", "application/json", `{"info":{"summary":"`+strings.Repeat("x", 2000)+`"}}`)
	c := newClient(t)
	c.JSONLimit = 1000
	wantError(t, c, h.config(), Query{}, exitcode.Unavailable, "404") // of the page that matters
	if _, _, err := c.project(t.Context(), h.config().Indexes[0], "ductor"); err == nil || !strings.Contains(err.Error(), "larger than 1000 bytes") {
		t.Errorf("%v", err)
	}
}

// TestSlow: a server that says nothing, one that sends its headers and then a
// byte now and then, and one whose summary never comes.
func TestSlow(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	wait := func(r *http.Request) { <-r.Context().Done() }
	trickle := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", jsonType)
		for r.Context().Err() == nil {
			fmt.Fprint(w, " ")
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	}
	for name, slow := range map[string]http.HandlerFunc{"silent": func(_ http.ResponseWriter, r *http.Request) { wait(r) }, "loris": trickle} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.set(page, slow)
			c := newClient(t)
			c.Timeout = 300 * time.Millisecond
			wantError(t, c, h.config(), Query{}, exitcode.Unavailable, "300ms", h.URL+page)
		})
	}
	h := newHost(t)
	h.files(page, "ductor-1.0.tar.gz")
	h.set("/pypi/ductor/json", trickle)
	c := newClient(t)
	c.Timeout = 2 * time.Second
	a, err := c.Ask(t.Context(), h.config(), withDefaults(Query{}))
	if err != nil || a.Latest != "1.0" {
		t.Errorf("without a summary: %+v, %v", a, err)
	}
	c.Close()
	h.Close()
}

func TestCancelled(t *testing.T) {
	h := newHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	h.set(page, func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	_, err := newClient(t).Ask(ctx, h.config(), withDefaults(Query{}))
	if !errors.Is(err, context.Canceled) || exitcode.Of(err) != exitcode.Unavailable {
		t.Errorf("%v", err)
	}
}

func (h *host) redirect(from, to string) {
	h.fail(from, http.StatusFound, "Location", to)
}

func TestRedirects(t *testing.T) {
	h := newHost(t)
	h.files("/c/", "ductor-1.0.tar.gz")
	h.redirect(page, "/a/")
	h.redirect("/a/", "/b/")
	h.redirect("/b/", h.URL+"/c/")
	if a := ask(t, h, Query{}); a.Latest != "1.0" || a.Source != h.URL+"/c/" {
		t.Errorf("three redirects: %+v", a)
	}
	h.redirect("/b/", "/b2/")
	h.redirect("/b2/", "/c/")
	wantError(t, newClient(t), h.config(), Query{}, exitcode.Unavailable, "more than 3 redirects", h.URL+page)
	h.redirect(page, page)
	wantError(t, newClient(t), h.config(), Query{}, exitcode.Unavailable, "more than 3 redirects")
	for _, to := range []string{"file:///etc/passwd", "FILE:///etc/passwd", "ftp://127.0.0.1/x", "javascript:alert(1)", "gopher://someone:s3cret@x/"} {
		h.redirect(page, to)
		wantError(t, newClient(t), h.config(), Query{}, exitcode.Unavailable, "is not followed")
	}
	for _, to := range []string{"", "http://[::1", "http://%zz/", "http://\x1b[31m/"} {
		h.redirect(page, to)
		wantError(t, newClient(t), h.config(), Query{}, exitcode.Unavailable)
	}
}

func TestRedirectDowngraded(t *testing.T) {
	plain := newHost(t)
	plain.files(page, "ductor-1.0.tar.gz")
	tls := httptest.NewTLSServer(http.RedirectHandler(plain.URL+page, http.StatusFound))
	defer tls.Close()
	c := newClient(t)
	c.Transport = tls.Client().Transport
	wantError(t, c, configOf(tls.URL+"/simple/"), Query{}, exitcode.Unavailable, "a redirect from https to", plain.URL)
	if len(plain.asked) > 0 {
		t.Error("the other server was asked")
	}
}

func TestUntrustedCertificate(t *testing.T) {
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
	wantError(t, newClient(t), configOf(tls.URL+"/simple/"), Query{}, exitcode.Unavailable, "certificate")
}

// TestCredentials are sent to their own host, also after a redirect, and to no
// other; no message has them.
func TestCredentials(t *testing.T) {
	h, other := newHost(t), newHost(t)
	other.files(page, "ductor-2.0.tar.gz")
	with := func(h *host) Config {
		return configOf(strings.Replace(h.URL, "http://", "http://someone:s3cret@", 1) + "/simple/?token=s3cret")
	}
	h.set("/c/", func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "someone" || password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", htmlType)
		fmt.Fprint(w, `<a href="ductor-1.0.tar.gz">`)
	})
	h.redirect(page, "/c/")
	a, err := newClient(t).Ask(t.Context(), with(h), withDefaults(Query{}))
	if err != nil || a.Latest != "1.0" || strings.Contains(fmt.Sprintf("%+v", a), "s3cret") {
		t.Errorf("%+v, %v", a, err)
	}
	wantError(t, newClient(t), configOf(h.URL+"/simple/"), Query{}, exitcode.Unavailable, "401")
	h.redirect(page, other.URL+page)
	if _, err = newClient(t).Ask(t.Context(), with(h), withDefaults(Query{})); err != nil {
		t.Fatal(err)
	}
	if got := other.header[0]; got.Get("Authorization") != "" || strings.Contains(got.Get("Referer"), "someone:") {
		t.Errorf("the other host got %v", got)
	}
	for _, status := range []int{401, 404, 500} {
		h.fail(page, status)
		wantError(t, newClient(t), with(h), Query{}, exitcode.Unavailable)
	}
}

// TestProxy runs in a process of its own, because Go reads the variables once.
func TestProxy(t *testing.T) {
	if os.Getenv("HTTP_PROXY") != "" && os.Getenv("INDEX_TEST_PROXY") != "" {
		a, err := newClient(t).Ask(t.Context(), configOf("http://index.invalid/simple/"), withDefaults(Query{}))
		if err != nil || a.Latest != "1.0" {
			t.Errorf("%+v, %v", a, err)
		}
		wantError(t, newClient(t), configOf("http://other.invalid/simple/"), Query{}, exitcode.Unavailable, "404")
		return
	}
	var through atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through.Add(1)
		if r.Host != "index.invalid" || r.URL.Path != page || r.Header.Get("Proxy-Authorization") == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", htmlType)
		fmt.Fprint(w, `<a href="ductor-1.0.tar.gz">`)
	}))
	defer proxy.Close()
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestProxy$", "-test.v")
	cmd.Env = append(os.Environ(), "INDEX_TEST_PROXY=1", "HTTP_PROXY=http://someone:s3cret@"+u.Host, "NO_PROXY=", "no_proxy=")
	out, err := cmd.CombinedOutput()
	if err != nil || through.Load() == 0 || !strings.Contains(string(out), "--- PASS: TestProxy") {
		t.Errorf("%v, %d requests\n%s", err, through.Load(), out)
	}
}

// TestProxyThatIsNoURL does not tell the password in it.
func TestProxyThatIsNoURL(t *testing.T) {
	c := newClient(t)
	c.Transport = &http.Transport{Proxy: func(*http.Request) (*url.URL, error) {
		return nil, errors.New(`invalid proxy address "http://someone:s3cret@x:y": port`)
	}}
	wantError(t, c, configOf("http://index.invalid/simple/"), Query{}, exitcode.Unavailable, "invalid proxy")
}

// TestLimits are those that are documented.
func TestLimits(t *testing.T) {
	c := newClient(t)
	if c.Timeout != 10*time.Second || c.SimpleLimit != 64<<20 || c.JSONLimit != 8<<20 || c.GitHub != "https://api.github.com" || c.Token != "" {
		t.Errorf("%+v", c)
	}
	if Default != "https://pypi.org/simple/" {
		t.Error(Default)
	}
}
