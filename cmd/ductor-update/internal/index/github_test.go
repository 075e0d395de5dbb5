package index

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"ductor/internal/common/exitcode"
)

var repo = Repo{"acme", "bot"}

func githubOf(t *testing.T, h *host) *Client {
	c := newClient(t)
	c.GitHub, c.Token = h.URL+"/api/", "s3cret"
	return c
}

func TestParseRepo(t *testing.T) {
	for text, want := range map[string]Repo{"github:acme/bot": repo, "acme/bot": repo, "github:a-1/b_2.x": {"a-1", "b_2.x"}} {
		if got, err := ParseRepo(text); err != nil || got != want || !strings.HasSuffix(got.String(), text) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "github:", "acme", "acme/", "/bot", "a/b/c", "../x", "x/..", "a/b?c", "a /b", "https://github.com/a/b", "a/\x1b[31m", "a/" + strings.Repeat("x", 101)} {
		if got, err := ParseRepo(text); exitcode.Of(err) != exitcode.Usage || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

const releases = `[
	{"tag_name":"v0.9.0","name":"old","draft":false,"prerelease":false},
	{"tag_name":"v1.10.0","name":"Ten \u001b[31mred","draft":false,"prerelease":false,"body":null,"published_at":"2026-01-02T03:04:05Z"},
	{"tag_name":"v1.9.0","name":null,"draft":false,"prerelease":false},
	{"tag_name":"v1.11.0-rc.1","draft":false,"prerelease":false},
	{"tag_name":"v1.12.0","draft":false,"prerelease":true},
	{"tag_name":"v9.0.0","draft":true,"prerelease":false,"published_at":null},
	{"tag_name":"nightly","draft":false,"prerelease":false},
	{"tag_name":"plugin-v8.0.0","draft":false,"prerelease":false}]`

func TestAskGitHub(t *testing.T) {
	h := newHost(t)
	h.put("/api/repos/acme/bot/releases", "application/json; charset=utf-8", releases)
	skipped := []Skipped{{"1.12.0", "a pre-release"}, {"1.11.0-rc.1", "a pre-release"}}
	for _, c := range []struct {
		q    Query
		want Answer
	}{
		{Query{Installed: "1.9.0"}, Answer{Latest: "1.10.0", Newer: true, Summary: "Ten red", Skipped: skipped}},
		{Query{Installed: "v1.10"}, Answer{Latest: "1.10.0", Summary: "Ten red", Skipped: skipped}},
		{Query{Pre: true}, Answer{Latest: "1.12.0", Newer: true}},
		{Query{Installed: "1.11.0-beta"}, Answer{Latest: "1.12.0", Newer: true}},
		{Query{Installed: "2.0"}, Answer{Latest: "1.10.0", Summary: "Ten red", Skipped: skipped}},
	} {
		c.want.Source = h.URL + "/api/repos/acme/bot/releases"
		a, err := githubOf(t, h).AskGitHub(t.Context(), repo, c.q)
		if err != nil || !reflect.DeepEqual(a, c.want) {
			t.Errorf("%+v: %+v, %v", c.q, a, err)
		}
	}
	h.put("/api/repos/acme/bot/releases", "application/json", "[]")
	if a, err := githubOf(t, h).AskGitHub(t.Context(), repo, Query{Installed: "1.0"}); err != nil || a.Latest != "" || a.Newer {
		t.Errorf("no releases: %+v, %v", a, err)
	}
	for _, header := range h.header {
		if header.Get("Authorization") != "" {
			t.Error("the token went to another host")
		}
	}
}

func TestAskGitHubErrors(t *testing.T) {
	h := newHost(t)
	c := githubOf(t, h)
	demand := func(code int, words ...string) {
		t.Helper()
		_, err := c.AskGitHub(t.Context(), repo, Query{Installed: "1.0"})
		checkError(t, err, code, append(words, h.URL)...)
	}
	demand(exitcode.Unavailable, "no such repository")
	const path = "/api/repos/acme/bot/releases"
	for _, body := range []string{`{"message":"x"}`, `[{"tag_name":1}]`, `[{"draft":"no"}]`, `[{"published_at":"yesterday\u001b"}]`, `[`} {
		h.put(path, "application/json", body)
		demand(exitcode.DataErr)
	}
	h.put(path, htmlType, "<html>")
	demand(exitcode.Unavailable, "not JSON")
	now := time.Now()
	c.Now = func() time.Time { return now }
	reset := now.Add(17 * time.Minute).Truncate(time.Second)
	for _, status := range []int{403, 429} {
		h.fail(path, status, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(reset.Unix()))
		_, err := c.AskGitHub(t.Context(), repo, Query{})
		checkError(t, err, exitcode.Unavailable, fmt.Sprint(status), reset.UTC().Format(time.RFC3339))
		if at, has := RetryAt(err); !has || !at.Equal(reset) {
			t.Errorf("come back at %s, %v", at, has)
		}
	}
	_, err := c.AskGitHub(t.Context(), repo, Query{Installed: "1.0.post1"})
	checkError(t, err, exitcode.DataErr, "1.0.post1")
}

func TestAskGitHubETag(t *testing.T) {
	h := newHost(t)
	h.set("/api/repos/acme/bot/releases", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"x"`)
		if r.Header.Get("If-None-Match") == `"x"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, releases)
	})
	c := githubOf(t, h)
	first, err := c.AskGitHub(t.Context(), repo, Query{Installed: "1.0"})
	if err != nil || first.Validator == "" {
		t.Fatal(first, err)
	}
	again, err := c.AskGitHub(t.Context(), repo, Query{Installed: "1.0", Validator: first.Validator})
	if err != nil || !again.NotModified || again.Latest != "" {
		t.Errorf("%+v, %v", again, err)
	}
	other, err := c.AskGitHub(t.Context(), repo, Query{Installed: "2.0", Validator: first.Validator})
	if err != nil || other.NotModified {
		t.Errorf("%+v, %v", other, err)
	}
}

func TestChangelog(t *testing.T) {
	const tags = "/api/repos/acme/bot/releases/tags/"
	h := newHost(t)
	h.put(tags+"v1.2", "application/json", `{"tag_name":"v1.2","name":"One\u0007","body":"# New\r\n\tthings\u001b[2J\r\n\u009b31m- \u202eone\u0000","html_url":"https://x/","published_at":"2026-01-02T03:04:05Z"}`)
	h.put(tags+"1.2", "application/json", `{"tag_name":"1.2"}`)
	h.put(tags+"1.3rc1", "application/json", `{"tag_name":"1.3rc1","body":"`+strings.Repeat("x", 100<<10)+`"}`)
	c := githubOf(t, h)
	for _, text := range []string{"1.2", "v1.2", " 1.2\n"} {
		r, err := c.Changelog(t.Context(), repo, text)
		want := Release{"v1.2", "One", "# New\n\tthings\n- one", "https://x/", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
		if err != nil || r != want {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
	r, err := c.Changelog(t.Context(), repo, "1.3-RC1")
	if err == nil || r.Tag != "" { // a tag as it stands, not by PEP 440
		t.Errorf("%+v, %v", r, err)
	}
	r, err = c.Changelog(t.Context(), repo, "1.3rc1")
	if err != nil || r.Tag != "1.3rc1" || len(r.Body) > 64<<10 {
		t.Errorf("%q, %d bytes, %v", r.Tag, len(r.Body), err)
	}
	_, err = c.Changelog(t.Context(), repo, "7.0")
	checkError(t, err, exitcode.No, "github:acme/bot", `"v7.0"`, `"7.0"`)
	h.asked = nil
	for _, text := range []string{"", "../../../user", "1.0/../x", "1.0?x", "\x1b[31m", "latest"} {
		_, err := c.Changelog(t.Context(), repo, text)
		checkError(t, err, exitcode.DataErr)
	}
	if len(h.asked) > 0 {
		t.Errorf("asked %q", h.asked)
	}
	h.put(tags+"v1.2", "application/json", `{"body":[]}`)
	_, err = c.Changelog(t.Context(), repo, "1.2")
	checkError(t, err, exitcode.DataErr, "body")
	h.fail(tags+"v1.2", 500)
	_, err = c.Changelog(t.Context(), repo, "1.2")
	checkError(t, err, exitcode.Unavailable, "500")
}

// TestChangelogOfALocalVersion has to escape the tag.
func TestChangelogOfALocalVersion(t *testing.T) {
	h := newHost(t)
	h.put("/api/repos/acme/bot/releases/tags/v1!2.0+a.1", "application/json", `{"tag_name":"v1!2.0+a.1"}`)
	r, err := githubOf(t, h).Changelog(t.Context(), repo, "1!2.0+A-1")
	if err != nil || r.Tag != "v1!2.0+a.1" {
		t.Errorf("%+v, %v, asked %q", r, err, h.asked)
	}
}

// roundTrip answers without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestToken goes to https://api.github.com, to no look-alike, and along with
// no redirect.
func TestToken(t *testing.T) {
	for base, want := range map[string]bool{
		"https://api.github.com": true, "https://api.github.com/": true,
		"http://api.github.com": false, "https://evilapi.github.com": false, "https://api.github.com.evil.example": false,
		"https://api.github.com:8443": false, "https://github.com": false, "https://x.api.github.com": false,
	} {
		c, got := newClient(t), ""
		c.GitHub, c.Token = base, "s3cret"
		c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Host, "elsewhere.example") || r.URL.Host == "sub.api.github.com" {
				if r.Header.Get("Authorization") != "" {
					t.Errorf("%s got the token", r.URL.Host)
				}
				return respond(r, 200, "[]"), nil
			}
			got = r.Header.Get("Authorization")
			to := "https://elsewhere.example/x"
			if want {
				to = "https://sub.api.github.com/x"
			}
			resp := respond(r, 302, "")
			resp.Header.Set("Location", to)
			return resp, nil
		})
		if _, err := c.AskGitHub(t.Context(), repo, Query{}); err != nil {
			t.Fatal(err)
		}
		if (got == "Bearer s3cret") != want || !want && got != "" {
			t.Errorf("%s got %q", base, got)
		}
	}
}

func respond(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Request: r, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func TestTokenOfTheEnvironment(t *testing.T) {
	for _, c := range []struct{ github, gh, want string }{{"a", "b", "a"}, {"", " b\n", "b"}, {"", "", ""}} {
		got := Token(func(k string) string { return map[string]string{"GITHUB_TOKEN": c.github, "GH_TOKEN": c.gh}[k] })
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
