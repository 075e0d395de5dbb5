package index

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"ductor/cmd/ductor-update/internal/version"
	"ductor/internal/common/exitcode"
)

// Query asks for a project.
type Query struct {
	Package   string
	Installed string // PEP 440; "" for none
	Python    string // the interpreter's version; "": requires-python is not checked
	Pre       bool   // pre-releases too
	GOOS      string // "" is this system
	Validator string // of the last answer, to hear only of a change; or ""
}

// Answer is what an index knows.
type Answer struct {
	Latest    string // what the installer would install; "" if there is nothing
	Newer     bool   // than what is installed
	Summary   string // one line, safe to print; "" if it cannot be had
	Skipped   []Skipped
	Source    string // the URL that was asked, without credentials
	Validator string // for the next Query; "" if the index has no ETag
	// NotModified: the page is what it was for the Query whose Validator was
	// sent. All but Source and Validator are empty.
	NotModified bool
}

// Skipped is a version that is newer than the latest, and why it is not that.
// Both are safe to print.
type Skipped struct {
	Version string `json:"version"`
	Why     string `json:"why"`
}

// maxSkipped is how many are told, the newest first.
const maxSkipped = 20

// Ask finds the version that the installer would install.
//
// That is the greatest by PEP 440 that has a file which is not yanked, whose
// requires-python admits the interpreter, and which is a source distribution
// or a wheel that may fit (see dist.fits: processor and C library are not
// compared). Pre-releases count if asked for, if one is installed, or if there
// is nothing else (as in pip, final versions that are yanked are something).
// Versions that are not PEP 440 do not count; those beyond 64 bits are skipped.
//
// When the Simple API fails with 404, 410 or 5xx, /pypi/NAME/json of the same
// host is asked instead. Errors: Unavailable; DataErr for an answer of wrong
// types and for an Installed or Python that is no version; Usage for a Package
// that is no name. RetryAt tells when to come back.
func (c *Client) Ask(ctx context.Context, cfg Config, q Query) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := checkName(q.Package); err != nil {
		return Answer{}, err
	}
	w, err := q.wish(cfg)
	if err != nil {
		return Answer{}, err
	}
	question := q.key(cfg)
	g, err := c.gather(ctx, cfg, q.Package, etagFor(q.Validator, question))
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Source: g.source, Validator: validator(question, g.etag), NotModified: g.unchanged}
	if g.unchanged {
		return a, nil
	}
	latest, skipped := w.choose(normalName(q.Package), g.links)
	if len(skipped.all)+len(skipped.large) == 0 {
		return Answer{}, exitcode.Errorf(exitcode.Unavailable, "%s lists no files of %q", g.source, q.Package)
	}
	if g.project == nil {
		g.project = c.summary(ctx, g.index, q.Package)
	}
	if g.project != nil {
		a.Summary = Clean(g.project.Info.Summary, false, 300)
		skipped.lagging(g.project.Info.Version, latest, w.pre)
	}
	a.Latest, a.Newer, a.Skipped = latest.String(), version.Compare(latest, w.installed) > 0, skipped.newerThan(latest)
	return a, nil
}

// gathered are the files of all indexes that count.
type gathered struct {
	links     []link
	source    string
	index     Index
	etag      string // of a single index only
	unchanged bool
	project   *project
}

// gather asks the indexes one after the other. One that does not know the
// project is passed over. pip passes over one that fails, too; here that is an
// error, because what it would have said may be the truth.
func (c *Client) gather(ctx context.Context, cfg Config, name, etag string) (g gathered, err error) {
	if len(cfg.Indexes) > 1 {
		etag = "" // half a page can't be unchanged
	}
	var first error
	for _, i := range cfg.Indexes {
		links, r, p, err := c.files(ctx, i, name, etag)
		switch {
		case missing(err):
			first = cmp.Or(first, unknownProject(i, name, err))
			continue
		case err != nil:
			return g, err
		}
		if g.source == "" {
			g.source, g.index, g.project = redact(r.url), i, p
		}
		g.links, g.unchanged, g.etag = append(g.links, links...), r.unchanged, r.etag
		if cfg.FirstWins {
			break
		}
	}
	if len(cfg.Indexes) > 1 {
		g.etag = ""
	}
	if g.source == "" {
		return g, first
	}
	return g, nil
}

func unknownProject(i Index, name string, err error) error {
	return exitcode.Errorf(exitcode.Unavailable, "index %s does not know %q: %w", i, name, err).WithHint("is the name right? --package names another, --index another index")
}

// files asks the Simple API, and the older one when that fails.
func (c *Client) files(ctx context.Context, i Index, name, etag string) ([]link, *reply, *project, error) {
	links, r, err := c.simplePage(ctx, i, name, etag)
	if !broken(err) {
		return links, r, nil, err
	}
	p, r, olderErr := c.project(ctx, i, name)
	if olderErr != nil {
		return nil, nil, nil, err
	}
	r.etag = "" // of another page
	return p.links(r), r, p, nil
}

// wish is a Query that was understood.
type wish struct {
	installed version.Version
	python    version.Version // its release; zero if not known
	pre       bool
	system    system
}

func (q Query) wish(cfg Config) (w wish, err error) {
	w.system = system{minor: -1, goos: cmp.Or(q.GOOS, runtime.GOOS)}
	if q.Installed != "" {
		if w.installed, err = version.Parse(q.Installed); err != nil {
			return w, fmt.Errorf("the installed version: %w", err)
		}
	}
	if q.Python != "" {
		python, err := version.Parse(q.Python)
		if err != nil {
			return w, fmt.Errorf("the version of the interpreter: %w", err)
		}
		w.python = python.Release() // pip's packaging sees three numbers, also under 3.14.0rc1
		if rest, is3 := strings.CutPrefix(w.python.String(), "3."); is3 {
			minor, _, _ := strings.Cut(rest, ".")
			if n, err := strconv.Atoi(minor); err == nil {
				w.system.minor = n
			}
		}
	}
	w.pre = q.Pre || cfg.Pre || w.installed.IsPrerelease()
	return w, nil
}

// candidates are the verdicts on all versions of a page.
type candidates struct {
	all   map[string]*candidate // by normal form
	large []Skipped             // versions that cannot be compared
}

type candidate struct {
	version version.Version
	rank    rank
	why     string // not this one
}

// rank tells how near to being installed a version's best file is.
type rank int

const (
	unfit rank = iota
	withdrawn
	installable
)

// choose picks the latest and notes for every other version why it is not it.
func (w wish) choose(project string, links []link) (version.Version, candidates) {
	cs := w.judge(project, links)
	finals := false
	for _, c := range cs.all {
		finals = finals || c.rank > unfit && !c.version.IsPrerelease()
	}
	var latest version.Version
	for _, c := range cs.all {
		if c.rank > unfit && c.version.IsPrerelease() && finals && !w.pre {
			c.rank, c.why = unfit, "a pre-release"
		}
		if c.rank == installable && version.Compare(c.version, latest) > 0 {
			latest = c.version
		}
	}
	return latest, cs
}

func (w wish) judge(project string, links []link) candidates {
	cs := candidates{all: map[string]*candidate{}}
	for _, l := range links {
		d, ok := parseFileName(l.name, project)
		if !ok {
			continue
		}
		v, err := version.Parse(d.version)
		if err != nil {
			cs.tooLarge(d.version, err)
			continue
		}
		r, why := w.verdict(l, d)
		c := cs.all[v.String()]
		if c == nil {
			c = &candidate{version: v, rank: r, why: why}
			cs.all[v.String()] = c
		} else if r > c.rank {
			c.rank, c.why = r, why
		}
	}
	return cs
}

// verdict judges one file. A requires-python that is malformed is no hindrance
// for pip.
func (w wish) verdict(l link, d dist) (rank, string) {
	requires, err := version.ParseSpecifiers(l.requires)
	switch {
	case err == nil && !w.python.IsZero() && !requires.Admits(w.python):
		return unfit, "requires Python " + inline(l.requires)
	case !d.fits(w.system):
		return unfit, "no file for this system"
	case l.yanked && inline(l.reason) != "":
		return withdrawn, "yanked: " + inline(l.reason)
	case l.yanked:
		return withdrawn, "yanked"
	}
	return installable, ""
}

func (cs *candidates) tooLarge(text string, err error) {
	s := Skipped{inline(text), version.ErrTooLarge.Error()}
	if isTooLarge(err) && len(cs.large) < maxSkipped && !slices.Contains(cs.large, s) {
		cs.large = append(cs.large, s)
	}
}

// lagging adds a version that the host has, and its Simple API has not yet.
func (cs *candidates) lagging(text string, latest version.Version, pre bool) {
	v, err := version.Parse(text)
	if err == nil && cs.all[v.String()] == nil && version.Compare(v, latest) > 0 && (pre || !v.IsPrerelease()) {
		cs.all[v.String()] = &candidate{v, unfit, "not yet in the index that installers ask"}
	}
}

func (cs candidates) newerThan(latest version.Version) []Skipped {
	var newer []*candidate
	for _, c := range cs.all {
		if version.Compare(c.version, latest) > 0 {
			newer = append(newer, c)
		}
	}
	slices.SortFunc(newer, func(a, b *candidate) int { return version.Compare(b.version, a.version) })
	skipped := cs.large
	for _, c := range newer {
		skipped = append(skipped, Skipped{c.version.String(), c.why})
	}
	return skipped[:min(len(skipped), maxSkipped)]
}

// key tells questions apart whose answers differ though a page is the same.
func (q Query) key(cfg Config) string {
	text := fmt.Sprintf("%q %q %q %v %q %v", normalName(q.Package), q.Installed, q.Python, q.Pre || cfg.Pre, q.GOOS, cfg.Indexes)
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// validator joins question and ETag, so that an ETag is sent with the question
// that it belongs to only.
func validator(key, etag string) string {
	if !sendable(etag) {
		return ""
	}
	return key + " " + etag
}

func etagFor(validator, key string) string {
	k, etag, _ := strings.Cut(validator, " ")
	if k != key || !sendable(etag) {
		return ""
	}
	return etag
}

// sendable: a torn state file must not make every request fail.
func sendable(etag string) bool {
	return etag != "" && len(etag) <= 256 && strings.IndexFunc(etag, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
