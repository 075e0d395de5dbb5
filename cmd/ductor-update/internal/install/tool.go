package install

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// pipxData is what counts of pipx_metadata.json, versions 0.1 to 0.12.
type pipxData struct {
	Main     pipxPackage            `json:"main_package"`
	Injected map[string]pipxPackage `json:"injected_packages"`
}

type pipxPackage struct {
	Package string   `json:"package"`
	Spec    string   `json:"package_or_url"`
	Suffix  string   `json:"suffix"`
	Pinned  bool     `json:"pinned"`
	Args    []string `json:"pip_args"`
}

func parsePipx(data []byte) (pipxData, error) {
	var d pipxData
	err := json.Unmarshal(data, &d)
	if err != nil {
		return pipxData{}, err
	}
	return d, nil
}

// injected returns what the user added, by its normal name.
func (d pipxData) injected(pkg string) (pipxPackage, bool) {
	for name, p := range d.Injected {
		if normal(name) == normal(pkg) {
			return p, true
		}
	}
	return pipxPackage{}, false
}

// receipt is what counts of uv-receipt.toml.
type receipt struct {
	requirements []requirement
	binDir       string // where the programs were put
	sources      Sources
}

type requirement struct{ name, specifier string }

// parseReceipt reads uv-receipt.toml, whose requirements are tables, and were
// strings before uv 0.4.
func parseReceipt(data []byte) (receipt, error) {
	var raw struct {
		Tool struct {
			Requirements []any `toml:"requirements"`
			Entrypoints  []struct {
				Path string `toml:"install-path"`
			} `toml:"entrypoints"`
			Options struct {
				IndexURL   string   `toml:"index-url"`
				Extra      []string `toml:"extra-index-url"`
				NoIndex    bool     `toml:"no-index"`
				Prerelease string   `toml:"prerelease"`
				Index      []struct {
					URL     string `toml:"url"`
					Default bool   `toml:"default"`
				} `toml:"index"`
			} `toml:"options"`
		} `toml:"tool"`
	}
	if err := toml.Unmarshal(data, &raw); err != nil {
		return receipt{}, err
	}
	var r receipt
	for _, q := range raw.Tool.Requirements {
		switch q := q.(type) {
		case string:
			name, spec := parseRequirement(q)
			r.requirements = append(r.requirements, requirement{name, spec})
		case map[string]any:
			name, _ := q["name"].(string)
			spec, _ := q["specifier"].(string)
			r.requirements = append(r.requirements, requirement{name, spec})
		}
	}
	if e := raw.Tool.Entrypoints; len(e) > 0 && filepath.IsAbs(filepath.FromSlash(e[0].Path)) {
		r.binDir = filepath.Dir(filepath.FromSlash(e[0].Path))
	}
	o := raw.Tool.Options
	r.sources = Sources{Index: o.IndexURL, Extra: o.Extra, NoIndex: o.NoIndex, Pre: o.Prerelease == "allow"}
	for _, i := range o.Index {
		if i.Default {
			r.sources.Index = i.URL
		} else {
			r.sources.Extra = append(r.sources.Extra, i.URL)
		}
	}
	return r, nil
}

func (r receipt) specifier(pkg string) string {
	for _, q := range r.requirements {
		if normal(q.name) == normal(pkg) {
			return q.specifier
		}
	}
	return ""
}

var pep508 = pattern(`\A\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?\s*((?:[=!~<>][^;@)]*)?)`)

// parseRequirement splits NAME[EXTRA] SPECIFIER; MARKER. A URL has no specifier.
func parseRequirement(s string) (name, specifier string) {
	m := pep508().FindStringSubmatch(s)
	if m == nil || strings.Contains(s, "://") {
		return "", ""
	}
	return m[1], strings.TrimSpace(m[2])
}

// pins reports whether a specifier lets one version through only.
func pins(specifier string) bool {
	for clause := range strings.SplitSeq(specifier, ",") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(clause), "=="); ok && !strings.HasSuffix(v, ".*") {
			return true
		}
	}
	return false
}

// parseArgs reads the index options of a pip command line.
func parseArgs(args []string) (s Sources) {
	for i := 0; i < len(args); i++ {
		key, value, glued := strings.Cut(args[i], "=")
		takes := []string{"-i", "--index-url", "--pypi-url", "--extra-index-url"}
		if slices.Contains(takes, key) && !glued && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch key {
		case "-i", "--index-url", "--pypi-url":
			s.Index = value
		case "--extra-index-url":
			s.Extra = append(s.Extra, value)
		case "--no-index":
			s.NoIndex = true
		case "--pre":
			s.Pre = true
		}
	}
	return s
}
