// Package settings knows what the docker section of config/config.json says.
package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"ductor/cmd/ductor-sandbox/internal/mount"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
)

// Settings is what a user wants of the sandbox.
type Settings struct {
	Enabled    bool
	Image      string // as it was written; distribution/reference accepts it
	Container  string
	AutoBuild  bool
	Dockerfile string // "" is the embedded one
	Network    string // "bridge" or "none"
	Memory     int64  // bytes; 0 is the caller's default
	CPUs       float64
	Pids       int64
	ReadOnly   bool
	Writable   []string // absolute, or below the home
	Mounts     []mount.Extra
	EnvPass    []string
	Unknown    []string // keys that mean nothing here, which may be the bot's or misspelled
}

// maxConfig is far above a bot's configuration; what is larger is no such file.
const maxConfig = 1 << 20

// Default is what holds for a bot without a word about Docker. Each bot has a
// container of its own, and all share the image.
func Default(name home.Name) Settings {
	s := Settings{Enabled: true, Image: "ductor-sandbox", Container: "ductor-sandbox", AutoBuild: true, Network: "bridge"}
	if name != "" && name != home.DefaultName {
		s.Container += "-" + string(name)
	}
	return s
}

// Load reads the docker section of the file. Without the file, or the section,
// the defaults hold. A file that is torn, huge or not UTF-8, and a key of a
// wrong type or value are DATAERR and name the file and the key; null is as if
// the key were absent. Keys that we do not know are the bot's.
func Load(path string, name home.Name) (Settings, error) {
	s := Default(name)
	section, err := readSection(path)
	if err != nil {
		return Settings{}, err
	}
	for key := range section {
		if !slices.ContainsFunc(fields, func(f field) bool { return f.key == key }) {
			s.Unknown = append(s.Unknown, key)
		}
	}
	slices.Sort(s.Unknown)
	for _, f := range fields {
		raw, ok := section[f.key]
		if !ok || string(raw) == "null" {
			continue
		}
		if err := f.set(&s, raw); err != nil {
			return Settings{}, malformed(path, "docker."+f.key, err)
		}
	}
	return s, nil
}

// readSection keeps the keys' case: encoding/json would take "ENABLED" for
// "enabled" in a struct, and the bot does not.
func readSection(path string) (section map[string]json.RawMessage, err error) {
	data, err := atomicfile.Read(path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, atomicfile.ErrNoFile):
		return nil, exitcode.Errorf(exitcode.DataErr, "read config: %w", err)
	case err != nil:
		return nil, exitcode.File(exitcode.IOErr, fmt.Errorf("read config: %w", err))
	case !utf8.Valid(data):
		return nil, exitcode.Errorf(exitcode.DataErr, "read config %q: not UTF-8", path)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, exitcode.Errorf(exitcode.DataErr, "read config %q: %w", path, plain(err, "an object"))
	}
	if raw, ok := all["docker"]; ok {
		if err := json.Unmarshal(raw, &section); err != nil {
			return nil, malformed(path, "docker", plain(err, "an object"))
		}
	}
	return section, nil
}

func malformed(path, key string, err error) error {
	return exitcode.Errorf(exitcode.DataErr, "read config %q: key %q: %w", path, key, err)
}

// field is one key of the section.
type field struct {
	key string
	set func(*Settings, json.RawMessage) error
}

var fields = []field{
	{"enabled", func(s *Settings, raw json.RawMessage) error { return decode(raw, &s.Enabled, "true or false") }},
	{"auto_build", func(s *Settings, raw json.RawMessage) error { return decode(raw, &s.AutoBuild, "true or false") }},
	{"read_only", func(s *Settings, raw json.RawMessage) error { return decode(raw, &s.ReadOnly, "true or false") }},
	{"image_name", text(setImage)},
	{"container_name", text(setContainer)},
	{"network", text(setNetwork)},
	{"dockerfile", text(func(s *Settings, v string) error {
		if v != "" && !filepath.IsAbs(v) {
			return fmt.Errorf("%q is not an absolute path", v)
		}
		return setDockerfile(s, v)
	})},
	{"memory", memory},
	{"cpus", func(s *Settings, raw json.RawMessage) error {
		var n float64
		if err := decode(raw, &n, "a number"); err != nil {
			return err
		}
		return setCPUs(s, n)
	}},
	{"pids", func(s *Settings, raw json.RawMessage) error {
		var n int64
		if err := decode(raw, &n, "a whole number"); err != nil {
			return err
		}
		return setPids(s, n)
	}},
	{"writable", list(addWritable)},
	{"mounts", list(addMount)},
	{"env_pass", list(addEnvPass)},
}

// memory is a number of bytes, or a string with a unit.
func memory(s *Settings, raw json.RawMessage) error {
	var n float64
	if json.Unmarshal(raw, &n) == nil {
		if n != float64(int64(n)) {
			return fmt.Errorf("%s is not a whole number of bytes", raw)
		}
		return setBytes(s, string(raw), int64(n))
	}
	var v string
	if err := decode(raw, &v, `a size such as "2g", or a number of bytes`); err != nil {
		return err
	}
	return setMemory(s, v)
}

func text(set func(*Settings, string) error) func(*Settings, json.RawMessage) error {
	return func(s *Settings, raw json.RawMessage) error {
		var v string
		if err := decode(raw, &v, "a string"); err != nil {
			return err
		}
		return set(s, v)
	}
}

// list takes strings only; a null among them would else become "".
func list(add func(*Settings, string) error) func(*Settings, json.RawMessage) error {
	return func(s *Settings, raw json.RawMessage) error {
		var values []*string
		if err := decode(raw, &values, "a list of strings"); err != nil {
			return err
		}
		for i, v := range values {
			if v == nil {
				return fmt.Errorf("entry %d is null, not a string", i)
			}
			if err := add(s, *v); err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
		}
		return nil
	}
}

func decode(raw json.RawMessage, to any, want string) error {
	return plain(json.Unmarshal(raw, to), want)
}

// plain says what was wanted in the file's words, not in Go's.
func plain(err error, want string) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("it is a %s, not %s", wrong.Value, want)
	}
	return err
}
