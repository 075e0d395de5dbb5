package index

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"ductor/internal/common/exitcode"
)

// setting is a value, and where it was found.
type setting struct{ value, from string }

// pipSettings are keyed by "section.name", as in pip.
type pipSettings map[string]setting

// discoverPip follows pip's src/pip/_internal/configuration.py.
func discoverPip(s Settings) (Config, error) {
	p := pipSettings{}
	for _, path := range pipFiles(s) {
		data, err := read(path)
		if err != nil {
			return Config{}, err
		}
		sections, err := parsePipConf(data)
		if err != nil {
			return Config{}, exitcode.Errorf(exitcode.DataErr, "%q: %w", path, err)
		}
		for section, values := range sections {
			for name, value := range values {
				p[section+"."+pipName(name)] = setting{value, quotePath(path)}
			}
		}
	}
	for _, name := range []string{"index-url", "extra-index-url", "pre", "no-index"} {
		key := "PIP_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		p[":env:."+name] = setting{s.Getenv(key), key}
	}
	return p.config(s.Args)
}

// config decides: the command line over the environment, that over [install],
// that over [global]. Extra indexes of the first of these that has some.
func (p pipSettings) config(args []string) (Config, error) {
	var c Config
	line := parsePipArgs(args)
	for _, name := range []string{"no-index", "pre"} {
		v := p.get(line, name)
		if on, ok := pipTruth(v.value); !ok {
			return c, exitcode.Errorf(exitcode.DataErr, "%s of %s is %.80q, neither true nor false", name, v.from, v.value)
		} else if on && name == "no-index" {
			return c, noIndex(v.from)
		} else if name == "pre" {
			c.Pre = on
		}
	}
	base := p.get(line, "index-url")
	if base.value == "" {
		base = setting{Default, "default"}
	}
	if err := c.add(base.value, base.from); err != nil {
		return Config{}, err
	}
	extra := p.get(line, "extra-index-url")
	for _, u := range strings.Fields(extra.value) {
		if err := c.add(u, extra.from); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

// get skips empty values, as pip does: an empty variable hides nothing.
func (p pipSettings) get(line map[string]string, name string) setting {
	if v := line[name]; v != "" {
		return setting{v, "the installer's arguments"}
	}
	for _, section := range []string{":env:.", "install.", "global."} {
		if s := p[section+name]; s.value != "" {
			return s
		}
	}
	return setting{}
}

// parsePipArgs finds what matters here among the arguments of pip install.
func parsePipArgs(args []string) map[string]string {
	line := map[string]string{}
	for i := 0; i < len(args); i++ {
		name, value, has := strings.Cut(args[i], "=")
		if rest, short := strings.CutPrefix(args[i], "-i"); short {
			name, value, has = "--index-url", strings.TrimPrefix(rest, "="), rest != ""
		}
		switch name {
		case "--pre", "--no-index":
			line[name[2:]] = "true"
		case "--index-url", "--pypi-url", "--extra-index-url":
			if !has && i+1 < len(args) {
				i++
				value = args[i]
			}
			name = strings.Replace(name[2:], "pypi", "index", 1)
			if name == "extra-index-url" {
				value = line[name] + " " + value
			}
			line[name] = value
		}
	}
	return line
}

// pipTruth reads a switch by the rules of pip's strtobool; "" is off.
func pipTruth(s string) (on, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "y", "yes", "t", "true", "on", "1":
		return true, true
	case "", "n", "no", "f", "false", "off", "0":
		return false, true
	}
	return false, false
}

func pipName(s string) string {
	return strings.TrimPrefix(strings.ReplaceAll(strings.ToLower(s), "_", "-"), "--")
}

// pipFiles lists the files of pip, weakest first. PIP_CONFIG_FILE wins over
// all, hides the user's files if it exists, and as the null device hides all.
func pipFiles(s Settings) (files []string) {
	own := s.Getenv("PIP_CONFIG_FILE")
	if own == "/dev/null" || s.GOOS == "windows" && strings.EqualFold(own, "nul") {
		return nil
	}
	name := "pip.conf"
	if s.GOOS == "windows" {
		name = "pip.ini"
	}
	dirs := pipSiteDirs(s)
	if own == "" || !exists(own) {
		dirs = append(dirs, pipUserDirs(s)...)
	}
	if s.Prefix != "" {
		dirs = append(dirs, s.Prefix)
	}
	for _, d := range dirs {
		files = append(files, filepath.Join(d, name))
	}
	if own != "" {
		files = append(files, own)
	}
	return files
}

func pipSiteDirs(s Settings) []string {
	switch s.GOOS {
	case "windows":
		return under("pip", s.Getenv("ProgramData"))
	case "darwin":
		return []string{"/Library/Application Support/pip"}
	}
	return append(under("pip", xdgDirs(s)...), s.etc)
}

// pipUserDirs has the old folder first: the new one wins.
func pipUserDirs(s Settings) []string {
	switch s.GOOS {
	case "windows":
		return under("pip", s.Home, s.Getenv("APPDATA"))
	case "darwin":
		dirs := under(".pip", s.Home)
		if d := filepath.Join(s.Home, "Library/Application Support/pip"); s.Home != "" && exists(d) {
			return append(dirs, d)
		}
		return append(dirs, under(".config/pip", s.Home)...)
	}
	return append(under(".pip", s.Home), under("pip", xdgHome(s))...)
}

// under joins name to each folder that is known.
func under(name string, dirs ...string) (joined []string) {
	for _, d := range dirs {
		if d != "" {
			joined = append(joined, filepath.Join(d, name))
		}
	}
	return joined
}

func xdgHome(s Settings) string {
	if d := strings.TrimSpace(s.Getenv("XDG_CONFIG_HOME")); d != "" {
		return d
	}
	if s.Home == "" {
		return ""
	}
	return filepath.Join(s.Home, ".config")
}

func xdgDirs(s Settings) []string {
	if d := strings.TrimSpace(s.Getenv("XDG_CONFIG_DIRS")); d != "" {
		return strings.Split(d, ":")
	}
	return under("xdg", s.etc)
}

var (
	iniSection = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\[(.+)\]`) })
	iniOption  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(.*?)\s*[=:]\s*(.*)$`) })
)

// iniReader is the state of parsePipConf.
type iniReader struct {
	sections map[string]map[string][]string
	section  string // "" before the first one
	option   string // which a deeper line goes on with, or ""
	indent   int    // of that option
}

// parsePipConf reads what Python's RawConfigParser reads, by its rules: whole
// lines of comment with # or ;, = or : after a name, deeper lines go on with a
// value, nothing twice, [DEFAULT] counts for all sections. No INI library
// follows these: the usual ones cut comments and quotes out of URLs.
func parsePipConf(data []byte) (map[string]map[string]string, error) {
	r := iniReader{sections: map[string]map[string][]string{}}
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		if problem := r.line(line); problem != "" {
			return nil, exitcode.Errorf(exitcode.DataErr, "line %d %s", number, problem)
		}
	}
	return r.joined(), nil
}

// line takes one line, and says what is wrong with it. The line itself may
// hold a password.
func (r *iniReader) line(line string) (problem string) {
	value := strings.TrimSpace(line)
	if strings.HasPrefix(value, "#") || strings.HasPrefix(value, ";") {
		return ""
	}
	indent := len(line) - len(strings.TrimLeft(line, " \t\v\f"))
	values := r.sections[r.section]
	switch m := iniSection().FindStringSubmatch(value); {
	case value == "" || r.option != "" && indent > r.indent:
		if r.option != "" {
			values[r.option] = append(values[r.option], value)
		}
		return ""
	case m != nil:
		if r.sections[m[1]] != nil && m[1] != "DEFAULT" {
			return "has a section for the second time"
		}
		if r.sections[m[1]] == nil {
			r.sections[m[1]] = map[string][]string{}
		}
		r.section, r.option, r.indent = m[1], "", indent
		return ""
	case values == nil:
		return "is in front of the first [section]"
	}
	m := iniOption().FindStringSubmatch(value)
	if m == nil || m[1] == "" {
		return "is neither a [section] nor a name with a value"
	}
	r.option, r.indent = strings.ToLower(m[1]), indent
	if values[r.option] != nil {
		return "has a name for the second time"
	}
	values[r.option] = []string{m[2]}
	return ""
}

func (r *iniReader) joined() map[string]map[string]string {
	all := map[string]map[string]string{}
	for name, values := range r.sections {
		if name == "DEFAULT" {
			continue
		}
		merged := maps.Clone(r.sections["DEFAULT"])
		if merged == nil {
			merged = map[string][]string{}
		}
		maps.Copy(merged, values)
		all[name] = map[string]string{}
		for _, k := range slices.Sorted(maps.Keys(merged)) {
			all[name][k] = strings.TrimRight(strings.Join(merged[k], "\n"), " \t\n\v\f")
		}
	}
	return all
}
