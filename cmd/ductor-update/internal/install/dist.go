package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ductor/internal/common/atomicfile"
)

// dist is what lies in a folder of packages about one of them.
type dist struct {
	path      string
	version   string
	installer string // INSTALLER: pip, uv, conda, rpm …
	direct    direct
	linked    bool // an .egg-link of setup.py develop
	egg       bool // an .egg-info, which does not say where it came from
	warnings  []string
}

// direct is direct_url.json of PEP 610, which is there for what did not come
// from an index.
type direct struct {
	kind kind
	url  string // without user and password
}

type kind int

const (
	fromIndex kind = iota
	editable
	fromFile // a file or a folder, or a direct_url.json that cannot be read
	fromVCS
)

// findDist looks for the package in one folder. Of several, which a killed
// installer leaves, the newest counts: uv keeps old times on files, but not on
// the folder. pip's leftovers begin with a tilde and have no name.
func findDist(folder, pkg string) (dist, bool) {
	var best dist
	var newest time.Time
	found := false
	for _, name := range listNames(folder) {
		if !mayBe(name, pkg) {
			continue
		}
		path := filepath.Join(folder, name)
		info, err := os.Stat(path)
		if err != nil || found && !info.ModTime().After(newest) {
			continue
		}
		if d, ok := readDist(path, pkg, info.IsDir()); ok {
			best, newest, found = d, info.ModTime(), true
		}
	}
	return best, found
}

// mayBe reports whether the name of a file is one of the package: the name, a
// dash, a version. Whether it is, the metadata say.
func mayBe(file, pkg string) bool {
	if stem, ok := strings.CutSuffix(file, ".egg-link"); ok {
		return normal(stem) == normal(pkg)
	}
	stem, ok := strings.CutSuffix(file, ".dist-info")
	if !ok {
		if stem, ok = strings.CutSuffix(file, ".egg-info"); !ok {
			return false
		}
	}
	for i, c := range stem {
		if c == '-' && normal(stem[:i]) == normal(pkg) {
			return true
		}
	}
	return normal(stem) == normal(pkg) // Debian has some egg-info without a version
}

func readDist(path, pkg string, folder bool) (dist, bool) {
	if strings.HasSuffix(path, ".egg-link") {
		return dist{path: path, version: linkedVersion(path, pkg), linked: true}, !folder
	}
	file := path
	switch {
	case folder && strings.HasSuffix(path, ".egg-info"):
		file = filepath.Join(path, "PKG-INFO")
	case folder:
		file = filepath.Join(path, "METADATA")
	}
	d := dist{path: path, version: noVersion, egg: strings.HasSuffix(path, ".egg-info")}
	head, err := readHead(file, maxHeader)
	name, version := parseMetadata(head)
	switch {
	case err != nil:
		d.warn("%q cannot be read: %s", file, reason(err))
	case name != "" && normal(name) != normal(pkg):
		return dist{}, false // another package whose name begins alike
	case version == "":
		d.warn("%q has no version: it is torn or damaged", file)
	default:
		d.version = version
	}
	if name == "" && !versionFollows(filepath.Base(path), pkg) {
		return dist{}, false
	}
	if folder {
		data, _ := atomicfile.Read(filepath.Join(path, "INSTALLER"), 256)
		d.installer = strings.ToLower(strings.TrimSpace(string(data)))
		d.readDirect()
	}
	return d, true
}

// linkedVersion is that of the source tree whose path an .egg-link begins with.
func linkedVersion(link, pkg string) string {
	data, _ := readHead(link, maxScript)
	src, _, _ := strings.Cut(string(data), "\n")
	if src = strings.TrimSpace(src); !filepath.IsAbs(src) {
		return noVersion
	}
	for _, name := range listNames(src) {
		if strings.HasSuffix(name, ".egg-info") && mayBe(name, pkg) {
			head, _ := readHead(filepath.Join(src, name, "PKG-INFO"), maxHeader)
			if _, v := parseMetadata(head); v != "" {
				return v
			}
		}
	}
	return noVersion
}

func (d *dist) warn(format string, args ...any) {
	d.warnings = append(d.warnings, fmt.Sprintf(format, args...))
}

// versionFollows decides for a folder without metadata: ductor-1.0.dist-info
// is ductor's, ductor-extras-1.0.dist-info is not.
func versionFollows(name, pkg string) bool {
	stem := strings.TrimSuffix(strings.TrimSuffix(name, ".dist-info"), ".egg-info")
	for i, c := range stem {
		if c == '-' && normal(stem[:i]) == normal(pkg) {
			return i+1 < len(stem) && stem[i+1] >= '0' && stem[i+1] <= '9'
		}
	}
	return false
}

// maxHeader bounds the part of METADATA that is read, in bytes. The readme,
// which can be huge, comes after it.
const maxHeader = 256 << 10

// parseMetadata reads Name and Version of the header fields. A line without
// an end is torn, and does not count; neither does what cannot be a version.
func parseMetadata(data []byte) (name, version string) {
	for line := range strings.Lines(string(data)) {
		text, whole := strings.CutSuffix(line, "\n")
		key, value, ok := strings.Cut(strings.TrimSuffix(text, "\r"), ":")
		if !whole || text == "" || text == "\r" {
			break
		}
		value = strings.TrimSpace(value)
		switch key = strings.ToLower(key); {
		case !ok:
		case key == "name" && name == "" && isName(value):
			name = value
		case key == "version" && version == "" && isVersion(value):
			version = value
		}
	}
	return name, version
}

func (d *dist) readDirect() {
	path := filepath.Join(d.path, "direct_url.json")
	data, err := atomicfile.Read(path, maxSettings)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		d.direct, err = parseDirect(data)
	}
	if err != nil {
		d.direct.kind = fromFile
		d.warn("%q cannot be understood: %s", path, reason(err))
	}
}

func parseDirect(data []byte) (direct, error) {
	var raw struct {
		URL string `json:"url"`
		Dir *struct {
			Editable bool `json:"editable"`
		} `json:"dir_info"`
		VCS *struct {
			VCS string `json:"vcs"`
		} `json:"vcs_info"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return direct{}, err
	}
	d := direct{kind: fromFile, url: redact(raw.URL)}
	switch {
	case raw.VCS != nil:
		d.kind = fromVCS
	case raw.Dir != nil && raw.Dir.Editable:
		d.kind = editable
	}
	return d, nil
}

// redact takes user and password out of a URL.
func redact(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	u.User = nil
	return u.String()
}
