// Package index asks package indexes and GitHub which version there is.
package index

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"runtime"
	"strings"

	"ductor/internal/common/exitcode"
)

// Default is the index of pip and uv when nobody configures another.
const Default = "https://pypi.org/simple/"

// Kind is the program that installs, which decides whose settings count.
type Kind int

// A pipx whose back end is uv reads what uv reads: that is UV.
const (
	Pip Kind = iota
	Pipx
	UV
)

// Settings are where an installer takes its index from.
type Settings struct {
	Kind   Kind
	Index  string              // asked for on our own command line: the only one, then
	Args   []string            // the installer's own: pip_args of pipx_metadata.json
	Prefix string              // sys.prefix of the installation, "" if unknown
	Home   string              // the user's
	GOOS   string              // "" is this system
	Getenv func(string) string // nil is an empty environment

	etc string // /etc, but in tests
}

// Config is what an installer would ask.
type Config struct {
	Indexes []Index // in the order of asking; never empty
	// FirstWins: the first index that knows the project answers (uv's rule).
	// Otherwise the best version of all indexes does (pip's).
	FirstWins bool
	Pre       bool // the installer is told to take pre-releases
}

// Index is the base of one Simple API.
type Index struct {
	url  *url.URL // may hold a password
	From string   // the setting that names it: "PIP_INDEX_URL", a file, "default"
}

// String is the URL without credentials and query.
func (i Index) String() string { return redact(i.url) }

// Discover reads the environment and the configuration files of the installer.
// It runs no Python.
//
// Of pip: --index-url, --extra-index-url, --pre, --no-index and their forms in
// the environment and in the files that `pip config debug` lists. Of uv: the
// environment and the uv.toml of user and system; a uv.toml or pyproject.toml
// of a project counts for its own folder only. Not read: find-links,
// constraints, only-binary, netrc, keyrings, and settings for one package.
//
// Errors: DataErr for a file or URL that the installer could not use either,
// Unavailable when it is told to use no index, NoPerm or IOErr for a file that
// cannot be read.
func Discover(s Settings) (Config, error) {
	if s.GOOS == "" {
		s.GOOS = runtime.GOOS
	}
	if s.etc == "" {
		s.etc = "/etc"
	}
	if s.Getenv == nil {
		s.Getenv = func(string) string { return "" }
	}
	if s.Index != "" {
		i, err := parseIndex(s.Index, "--index")
		if err != nil {
			return Config{}, err
		}
		return Config{Indexes: []Index{i}}, nil
	}
	if s.Kind == UV {
		return discoverUV(s)
	}
	return discoverPip(s)
}

// parseIndex takes http and https only: a version in a folder is no news.
func parseIndex(text, from string) (Index, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return Index{}, exitcode.Errorf(exitcode.DataErr, "the index of %s is not a URL", from) // the text may hold a password
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return Index{}, exitcode.Errorf(exitcode.DataErr, "the index %q of %s is not an http or https URL", redact(u), from)
	}
	u.Fragment, u.RawFragment = "", ""
	if u.Path == "" {
		u.Path = "/" // JoinPath would make a relative one
	}
	return Index{u, from}, nil
}

// add appends an index, unless it is there already.
func (c *Config) add(text, from string) error {
	i, err := parseIndex(text, from)
	if err != nil {
		return err
	}
	for _, have := range c.Indexes {
		if have.url.String() == i.url.String() {
			return nil
		}
	}
	c.Indexes = append(c.Indexes, i)
	return nil
}

// redact leaves out what may be secret: user, password, query.
func redact(u *url.URL) string {
	if u == nil {
		return ""
	}
	bare := *u
	bare.User, bare.RawQuery, bare.Fragment, bare.RawFragment = nil, "", "", ""
	if bare.Opaque != "" { // user:password@host without a scheme looks like this
		return "…"
	}
	return bare.String()
}

// read returns a configuration file, or nil if there is none. As in the
// installers a folder of that name is none.
func read(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if info, statErr := os.Stat(path); err != nil && statErr == nil && info.IsDir() {
		return nil, nil
	}
	if err != nil {
		return nil, exitcode.File(exitcode.IOErr, err)
	}
	return data, nil
}

func noIndex(from string) error {
	return exitcode.Errorf(exitcode.Unavailable, "%s lets the installer use no index", from).WithHint("name one with --index URL")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
