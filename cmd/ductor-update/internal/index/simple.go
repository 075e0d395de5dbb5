package index

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"path"
	"strings"

	"golang.org/x/net/html"

	"ductor/internal/common/exitcode"
)

// simpleAccept prefers JSON (PEP 691), as pip does.
const simpleAccept = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

// link is a file that an index lists.
type link struct {
	name     string // of the file
	requires string // requires-python, "" for none
	yanked   bool
	reason   string // for yanking
}

// normalName is the form in which names of projects are compared (PEP 503):
// in lower case, with one dash for each run of separators.
func normalName(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch {
		case !strings.ContainsRune("-_.", rune(s[i])):
			b.WriteByte(s[i])
		case i == 0 || !strings.ContainsRune("-_.", rune(s[i-1])):
			b.WriteByte('-')
		}
	}
	return strings.ToLower(b.String())
}

// checkName refuses what no project is called (PEP 508), before it becomes
// part of a URL.
func checkName(s string) error {
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if s == "" || strings.Trim(s, alnum+"-_.") != "" || strings.Trim(s[:1]+s[len(s)-1:], alnum) != "" {
		return exitcode.Errorf(exitcode.Usage, "%.80q is not a name of a package", s)
	}
	return nil
}

// simplePage asks one index for the files of a project.
func (c *Client) simplePage(ctx context.Context, i Index, project, etag string) ([]link, *reply, error) {
	r, err := c.get(ctx, request{i.url.JoinPath(normalName(project), "/"), simpleAccept, etag, c.SimpleLimit})
	if err != nil || r.unchanged {
		return nil, r, err
	}
	var links []link
	switch r.mediaType {
	case "application/vnd.pypi.simple.v1+json":
		links, err = simpleJSON(r)
	case "application/vnd.pypi.simple.v1+html", "text/html":
		links, err = simpleHTML(r)
	default:
		err = exitcode.Errorf(exitcode.Unavailable, "%s: the answer is %q, not a page of the Simple API", redact(r.url), inline(r.mediaType))
	}
	return links, r, err
}

// yanked is false, true, or a reason, which may be empty: for pip that is
// false then (in HTML an empty reason is yanked).
type yanked struct {
	is     bool
	reason string
}

func (y *yanked) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		err := json.Unmarshal(data, &y.reason)
		y.is = y.reason != ""
		return err
	}
	return json.Unmarshal(data, &y.is)
}

func simpleJSON(r *reply) ([]link, error) {
	var page struct {
		Meta struct {
			Version string `json:"api-version"`
		} `json:"meta"`
		Files []struct {
			URL      string `json:"url"`
			Requires string `json:"requires-python"`
			Yanked   yanked `json:"yanked"`
		} `json:"files"`
	}
	if err := r.decode(&page); err != nil {
		return nil, err
	}
	if err := r.checkMajor(page.Meta.Version); err != nil {
		return nil, err
	}
	var links []link
	for _, f := range page.Files {
		if name := fileName(f.URL, r.url); name != "" {
			links = append(links, link{name, f.Requires, f.Yanked.is, f.Yanked.reason})
		}
	}
	return links, nil
}

// checkMajor refuses an API that this program does not know (PEP 629); one
// without a version is the first.
func (r *reply) checkMajor(version string) error {
	if version != "" && version != "1" && !strings.HasPrefix(version, "1.") {
		return exitcode.Errorf(exitcode.Unavailable, "%s speaks version %q of the Simple API, this program speaks 1", redact(r.url), inline(version))
	}
	return nil
}

// simpleHTML reads the links of a page (PEP 503), with their attributes of PEP
// 592 (yanked) and PEP 345 (requires-python).
func simpleHTML(r *reply) (links []link, err error) {
	z := html.NewTokenizer(bytes.NewReader(r.body))
	base, moved := r.url, false
	for {
		switch z.Next() {
		case html.ErrorToken:
			if errors.Is(z.Err(), io.EOF) {
				return links, nil
			}
			return nil, exitcode.Errorf(exitcode.DataErr, "%s: the page is not HTML: %w", redact(r.url), &cleaned{z.Err()})
		case html.StartTagToken, html.SelfClosingTagToken:
		default:
			continue
		}
		tag, _ := z.TagName()
		switch string(tag) {
		case "a":
			if l, ok := anchor(attributes(z), base); ok {
				links = append(links, l)
			}
		case "base":
			href, has := attributes(z)["href"]
			if to, err := base.Parse(href); err == nil && has && !moved {
				base, moved = to, true
			}
		case "meta":
			if a := attributes(z); a["name"] == "pypi:repository-version" {
				if err := r.checkMajor(strings.TrimSpace(a["content"])); err != nil {
					return nil, err
				}
			}
		}
	}
}

func attributes(z *html.Tokenizer) map[string]string {
	a := map[string]string{}
	for more := true; more; {
		var key, value []byte
		key, value, more = z.TagAttr()
		if len(key) > 0 {
			a[string(key)] = string(value)
		}
	}
	return a
}

func anchor(a map[string]string, base *url.URL) (link, bool) {
	reason, isYanked := a["data-yanked"]
	name := fileName(a["href"], base)
	return link{name, a["data-requires-python"], isYanked, reason}, name != ""
}

// fileName is the last part of a URL's path, by which pip goes; "" if there is
// none, or if it is longer than a file system allows.
func fileName(href string, base *url.URL) string {
	if href == "" {
		return ""
	}
	u, err := base.Parse(strings.TrimSpace(href))
	if err != nil || u.Path == "" || strings.HasSuffix(u.Path, "/") {
		return ""
	}
	name := path.Base(u.Path)
	if len(name) > 255 {
		return ""
	}
	return name
}
