package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"time"

	"ductor/cmd/ductor-update/internal/index"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// changelogView is what changelog --json prints.
type changelogView struct {
	Version   string     `json:"version"` // the tag without its v
	Tag       string     `json:"tag"`
	Title     string     `json:"title,omitempty"`
	Body      string     `json:"body"`
	URL       string     `json:"url,omitempty"`
	Published *time.Time `json:"published,omitempty"`
}

// Run prints the text of a release as it is, in Markdown.
func (c *changelogCmd) Run(std *cli.IO) error {
	repo, err := c.repo(std)
	if err != nil {
		return err
	}
	client := newClient(std)
	defer client.Close()
	ctx := context.Background()
	if c.Version == "" {
		a, err := client.AskGitHub(ctx, repo, index.Query{})
		if err != nil {
			return err
		}
		if a.Latest == "" {
			return exitcode.Errorf(exitcode.No, "%s has no release", repo)
		}
		c.Version = a.Latest
	}
	r, err := client.Changelog(ctx, repo, c.Version)
	if err != nil {
		return err
	}
	if c.JSON {
		v := changelogView{Version: trimV(r.Tag), Tag: r.Tag, Title: r.Title, Body: r.Body, URL: r.URL}
		if !r.Published.IsZero() {
			v.Published = &r.Published
		}
		return printJSON(std, v)
	}
	_, err = fmt.Fprintf(std.Out, "%s\n\n%s\n", r.Tag, r.Body)
	return err
}

func trimV(tag string) string {
	if len(tag) > 1 && tag[0] == 'v' {
		return tag[1:]
	}
	return tag
}

// newClient has the token of the environment. DUCTOR_UPDATE_GITHUB is another
// base of GitHub's API, such as that of an enterprise.
func newClient(std *cli.IO) *index.Client {
	c := index.New()
	c.Token = index.Token(std.Getenv)
	if base := std.Getenv("DUCTOR_UPDATE_GITHUB"); base != "" {
		c.GitHub = base
	}
	return c
}

// sourceURL is how packages name their repository, in one of many fields.
var sourceURL = regexp.MustCompile(`(?m)^(?:Home-page|Project-URL):.*https?://github\.com/([A-Za-z0-9-]+/[A-Za-z0-9._-]+?)(?:\.git)?(?:[/#?].*)?\s*$`)

// maxMetadata is more than any METADATA has, whose end is a whole README.
const maxMetadata = 4 << 20

// repo is what was asked for, or what the package says.
func (c *changelogCmd) repo(std *cli.IO) (index.Repo, error) {
	if c.Source != "" {
		return index.ParseRepo(c.Source)
	}
	in, err := c.find(std)
	if err != nil {
		return index.Repo{}, err
	}
	if in.DistInfo != "" {
		data, err := atomicfile.Read(filepath.Join(in.DistInfo, "METADATA"), maxMetadata)
		if m := sourceURL.FindSubmatch(data); err == nil && m != nil {
			return index.ParseRepo(string(m[1]))
		}
	}
	return index.Repo{}, exitcode.Errorf(exitcode.Config, "%q does not say where its source is", c.Package).WithHint("ductor-update changelog --source github:OWNER/REPO")
}
