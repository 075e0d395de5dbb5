package index

import (
	"errors"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"

	"ductor/internal/common/exitcode"
)

// uvOptions are the keys of uv.toml that matter here. The table [pip] has some
// of them again, for `uv pip` only; it is not read.
type uvOptions struct {
	Index         []uvIndex `toml:"index"`
	IndexURL      string    `toml:"index-url"`
	ExtraIndexURL []string  `toml:"extra-index-url"`
	NoIndex       bool      `toml:"no-index"`
	Strategy      string    `toml:"index-strategy"`
	Prerelease    string    `toml:"prerelease"`
}

type uvIndex struct {
	Name     string `toml:"name"`
	URL      string `toml:"url"`
	Default  bool   `toml:"default"`
	Explicit bool   `toml:"explicit"` // for packages that are pinned to it
	Format   string `toml:"format"`
	from     string
}

// uvFound is what the sources said so far, strongest first.
type uvFound struct {
	extra                []uvIndex
	last                 uvIndex // the default index is asked last
	noIndex              string  // who forbids it
	strategy, prerelease string
}

// discoverUV follows uv's pages on indexes and configuration files.
func discoverUV(s Settings) (Config, error) {
	var f uvFound
	env, err := uvEnvironment(s.Getenv)
	if err != nil {
		return Config{}, err
	}
	f.take(env, "UV_INDEX")
	for _, path := range uvFiles(s) {
		o, err := readUVConf(path)
		if err != nil {
			return Config{}, err
		}
		f.take(o, quotePath(path))
	}
	f.take(uvOptions{IndexURL: Default}, "default")
	if f.noIndex != "" {
		return Config{}, noIndex(f.noIndex)
	}
	return f.config(s.Getenv)
}

func (f uvFound) config(getenv func(string) string) (Config, error) {
	c := Config{FirstWins: !strings.HasPrefix(f.strategy, "unsafe-"), Pre: f.prerelease == "allow"}
	for _, i := range append(f.extra, f.last) {
		if err := c.add(withCredentials(i, getenv), i.from); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// take adds a source that is weaker than those before it.
func (f *uvFound) take(o uvOptions, from string) {
	for _, u := range o.ExtraIndexURL {
		o.Index = append(o.Index, uvIndex{URL: u})
	}
	if o.IndexURL != "" {
		o.Index = append(o.Index, uvIndex{URL: o.IndexURL, Default: true})
	}
	for _, i := range o.Index {
		if i.from == "" {
			i.from = from
		}
		switch {
		case i.Explicit || i.Format == "flat":
		case !i.Default:
			f.extra = append(f.extra, i)
		case f.last.URL == "":
			f.last = i
		}
	}
	if o.NoIndex && f.noIndex == "" {
		f.noIndex = from
	}
	if f.strategy == "" {
		f.strategy = o.Strategy
	}
	if f.prerelease == "" {
		f.prerelease = o.Prerelease
	}
}

func uvEnvironment(getenv func(string) string) (o uvOptions, err error) {
	for _, word := range strings.Fields(getenv("UV_INDEX")) {
		o.Index = append(o.Index, namedIndex(word, false, "UV_INDEX"))
	}
	for _, u := range strings.Fields(getenv("UV_EXTRA_INDEX_URL")) {
		o.Index = append(o.Index, uvIndex{URL: u, from: "UV_EXTRA_INDEX_URL"})
	}
	if word := strings.TrimSpace(getenv("UV_DEFAULT_INDEX")); word != "" {
		o.Index = append(o.Index, namedIndex(word, true, "UV_DEFAULT_INDEX"))
	}
	if u := strings.TrimSpace(getenv("UV_INDEX_URL")); u != "" {
		o.Index = append(o.Index, uvIndex{URL: u, Default: true, from: "UV_INDEX_URL"})
	}
	o.Strategy, o.Prerelease = getenv("UV_INDEX_STRATEGY"), getenv("UV_PRERELEASE")
	on, ok := pipTruth(getenv("UV_NO_INDEX"))
	if !ok {
		return o, exitcode.Errorf(exitcode.DataErr, "UV_NO_INDEX is %.80q, neither true nor false", getenv("UV_NO_INDEX"))
	}
	o.NoIndex = on
	return o, nil
}

// namedIndex reads "URL" or "NAME=URL".
func namedIndex(word string, isDefault bool, from string) uvIndex {
	name, u, named := strings.Cut(word, "=")
	if !named || strings.ContainsAny(name, ":/?") {
		name, u = "", word
	}
	return uvIndex{Name: name, URL: u, Default: isDefault, from: from}
}

// withCredentials adds UV_INDEX_NAME_USERNAME and _PASSWORD to a named index.
func withCredentials(i uvIndex, getenv func(string) string) string {
	upper := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(i.Name))
	user, password := getenv("UV_INDEX_"+upper+"_USERNAME"), getenv("UV_INDEX_"+upper+"_PASSWORD")
	u, err := url.Parse(i.URL)
	if i.Name == "" || user == "" && password == "" || err != nil {
		return i.URL
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

// uvFiles lists the files of uv, strongest first.
func uvFiles(s Settings) []string {
	if on, _ := pipTruth(s.Getenv("UV_NO_CONFIG")); on {
		return nil
	}
	if own := s.Getenv("UV_CONFIG_FILE"); own != "" {
		return []string{own}
	}
	if s.GOOS == "windows" {
		return under(filepath.Join("uv", "uv.toml"), s.Getenv("APPDATA"), s.Getenv("ProgramData"))
	}
	files := under("uv/uv.toml", xdgHome(s))
	for _, system := range append(under("uv/uv.toml", xdgDirs(s)...), filepath.Join(s.etc, "uv/uv.toml")) {
		if exists(system) {
			return append(files, system) // the first one only
		}
	}
	return files
}

func readUVConf(path string) (uvOptions, error) {
	data, err := read(path)
	if err != nil {
		return uvOptions{}, err
	}
	o, err := parseUVConf(data)
	if err != nil {
		return o, exitcode.Errorf(exitcode.DataErr, "%q: %w", path, err)
	}
	return o, nil
}

// parseUVConf tells where an error is, not what stands there: that may be a
// password.
func parseUVConf(data []byte) (o uvOptions, err error) {
	_, err = toml.Decode(string(data), &o)
	var at toml.ParseError
	if errors.As(err, &at) {
		return o, exitcode.Errorf(exitcode.DataErr, "line %d is not TOML", at.Position.Line)
	}
	if err != nil {
		return o, exitcode.Errorf(exitcode.DataErr, "a key has a value of the wrong type")
	}
	return o, nil
}
