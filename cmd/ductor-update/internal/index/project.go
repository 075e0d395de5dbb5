package index

import (
	"context"
	"errors"
	"net/url"
	"path"
	"strings"

	"ductor/cmd/ductor-update/internal/version"
)

// project is the older API: /pypi/NAME/json.
type project struct {
	Info struct {
		Summary string `json:"summary"`
		Version string `json:"version"`
	} `json:"info"`
	Releases map[string][]struct {
		Filename string `json:"filename"`
		URL      string `json:"url"`
		Requires string `json:"requires_python"`
		Yanked   bool   `json:"yanked"`
		Reason   string `json:"yanked_reason"`
	} `json:"releases"`
}

// projectURL: an index at …/simple has the older API beside it.
func projectURL(i Index, name string) *url.URL {
	u := *i.url
	base, found := strings.CutSuffix(strings.TrimRight(u.Path, "/"), "/simple")
	if !found {
		base = ""
	}
	u.Path, u.RawPath = path.Join("/", base, "pypi", normalName(name), "json"), ""
	return &u
}

func (c *Client) project(ctx context.Context, i Index, name string) (*project, *reply, error) {
	r, err := c.get(ctx, request{projectURL(i, name), "application/json", "", c.JSONLimit})
	if err != nil {
		return nil, nil, err
	}
	p := &project{}
	if err := r.decode(p); err != nil {
		return nil, nil, err
	}
	return p, r, nil
}

// summary asks for what is nice to have: it waits a third of the time, and
// returns nil if it is not to be had. Few indexes but PyPI have it.
func (c *Client) summary(ctx context.Context, i Index, name string) *project {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout/3)
	defer cancel()
	p, _, err := c.project(ctx, i, name)
	if err != nil {
		return nil
	}
	return p
}

func (p *project) links(r *reply) (links []link) {
	for _, files := range p.Releases {
		for _, f := range files {
			name := fileName(f.Filename, r.url)
			if name == "" {
				name = fileName(f.URL, r.url)
			}
			if name != "" {
				links = append(links, link{name, f.Requires, f.Yanked, f.Reason})
			}
		}
	}
	return links
}

func isTooLarge(err error) bool { return errors.Is(err, version.ErrTooLarge) }
