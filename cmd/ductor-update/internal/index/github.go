package index

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"ductor/cmd/ductor-update/internal/version"
	"ductor/internal/common/exitcode"
)

// Repo is a repository of GitHub.
type Repo struct{ Owner, Name string }

// ParseRepo reads "github:OWNER/REPO" or "OWNER/REPO". Errors are Usage.
func ParseRepo(s string) (Repo, error) {
	owner, name, found := strings.Cut(strings.TrimPrefix(s, "github:"), "/")
	if !found || !repoWord(owner) || !repoWord(name) {
		return Repo{}, exitcode.Errorf(exitcode.Usage, "%.80q is not github:OWNER/REPO", s)
	}
	return Repo{owner, name}, nil
}

func repoWord(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	return s != "" && len(s) <= 100 && strings.Trim(s, allowed) == "" && strings.Trim(s, ".") != ""
}

// Token is the token for GitHub of an environment, or "".
func Token(getenv func(string) string) string {
	return strings.TrimSpace(cmp.Or(getenv("GITHUB_TOKEN"), getenv("GH_TOKEN")))
}

// String is what ParseRepo reads.
func (r Repo) String() string { return "github:" + r.Owner + "/" + r.Name }

// Release is a release of GitHub. All texts are safe to print.
type Release struct {
	Tag       string
	Title     string
	Body      string // Markdown of several lines, at most 64 KiB
	URL       string
	Published time.Time // zero if not known
}

// release is one in the API.
type release struct {
	Tag        string    `json:"tag_name"`
	Name       string    `json:"name"`
	Body       string    `json:"body"`
	URL        string    `json:"html_url"`
	Draft      bool      `json:"draft"`
	Prerelease bool      `json:"prerelease"`
	Published  time.Time `json:"published_at"`
}

func (r release) clean() Release {
	return Release{inline(r.Tag), inline(r.Name), Clean(r.Body, true, 64<<10), inline(r.URL), r.Published}
}

// AskGitHub finds the greatest tag among the newest 100 releases. Of the Query
// it takes Installed (a version as in tags), Pre and Validator. Drafts and
// tags that are no version do not count; pre-releases are those that GitHub or
// the tag calls so. Latest is without a leading "v". Errors are those of Ask.
func (c *Client) AskGitHub(ctx context.Context, repo Repo, q Query) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var installed version.Tag
	var err error
	if q.Installed != "" {
		if installed, err = version.ParseTag(q.Installed); err != nil {
			return Answer{}, fmt.Errorf("the installed version: %w", err)
		}
	}
	q.Package, q.Pre = repo.String(), q.Pre || installed.IsPrerelease()
	question := q.key(Config{})
	var releases []release
	r, err := c.github(ctx, repo, "releases", etagFor(q.Validator, question), &releases)
	if missing(err) {
		return Answer{}, exitcode.Errorf(exitcode.Unavailable, "%w: there is no such repository, or it is private", err).WithHint("a token for private ones goes into GITHUB_TOKEN")
	}
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Source: redact(r.url), Validator: validator(question, r.etag), NotModified: r.unchanged}
	if !r.unchanged {
		a.pick(releases, installed, q.Pre)
	}
	return a, nil
}

// pick fills in the latest release and what is newer than that.
func (a *Answer) pick(releases []release, installed version.Tag, pre bool) {
	var latest version.Tag
	var skipped []version.Tag
	for _, r := range releases {
		tag, err := version.ParseTag(r.Tag)
		switch {
		case r.Draft || err != nil:
		case !pre && (r.Prerelease || tag.IsPrerelease()):
			skipped = append(skipped, tag)
		case version.CompareTags(tag, latest) > 0:
			latest, a.Latest, a.Summary = tag, strings.TrimPrefix(r.Tag, "v"), inline(r.Name)
		}
	}
	a.Newer = version.CompareTags(latest, installed) > 0
	slices.SortFunc(skipped, func(x, y version.Tag) int { return version.CompareTags(y, x) })
	for _, tag := range skipped {
		if version.CompareTags(tag, latest) > 0 && len(a.Skipped) < maxSkipped {
			a.Skipped = append(a.Skipped, Skipped{tag.String(), "a pre-release"})
		}
	}
}

// Changelog finds the release of a version: the one with the tag v<version>,
// else <version>. The version may come from anywhere: it is parsed before it
// becomes part of a URL. The error for a version without a release is No, with
// the ID "none"; for a malformed version DataErr; the others are those of Ask.
func (c *Client) Changelog(ctx context.Context, repo Repo, text string) (Release, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	text = strings.TrimPrefix(strings.TrimSpace(text), "v")
	if _, err := version.ParseTag(text); err != nil {
		v, err := version.Parse(text)
		if err != nil {
			return Release{}, err
		}
		text = v.String()
	}
	for _, tag := range []string{"v" + text, text} {
		var r release
		_, err := c.github(ctx, repo, "releases/tags/"+url.PathEscape(tag), "", &r)
		if missing(err) {
			continue
		}
		return r.clean(), err
	}
	return Release{}, exitcode.Errorf(exitcode.No, "%s has no release with the tag %q or %q", repo, "v"+text, text).WithID("none")
}

// github asks the API for something of a repository.
func (c *Client) github(ctx context.Context, repo Repo, what, etag string, into any) (*reply, error) {
	u, err := url.Parse(strings.TrimSuffix(c.GitHub, "/") + "/repos/" + repo.Owner + "/" + repo.Name + "/" + what + "?per_page=100")
	if err != nil {
		return nil, exitcode.Errorf(exitcode.Usage, "the base of GitHub's API is not a URL")
	}
	r, err := c.get(ctx, request{u, "application/vnd.github+json", etag, c.JSONLimit})
	if err != nil || r.unchanged {
		return r, err
	}
	return r, r.decode(into)
}
