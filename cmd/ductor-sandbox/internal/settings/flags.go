package settings

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"ductor/cmd/ductor-sandbox/internal/mount"
	"ductor/internal/common/exitcode"
)

// Flags is what the command line says; nil is not given. Numbers are text, so
// that one place judges them.
type Flags struct {
	Image, Container, Dockerfile, Network *string
	Memory, CPUs, Pids                    *string
	AutoBuild, ReadOnly                   *bool
	Writable, Mounts, EnvPass             []string
}

// With returns the settings with the flags on top. Lists are added to those of
// the file; a mount replaces the file's of the same path. What is malformed is
// USAGE, quoted with the name of its flag. s stays as it is.
func (s Settings) With(f Flags) (Settings, error) {
	s.Writable, s.EnvPass = slices.Clone(s.Writable), slices.Clone(s.EnvPass)
	if f.AutoBuild != nil {
		s.AutoBuild = *f.AutoBuild
	}
	if f.ReadOnly != nil {
		s.ReadOnly = *f.ReadOnly
	}
	given, err := f.mounts()
	if err != nil {
		return Settings{}, err
	}
	kept := slices.DeleteFunc(slices.Clone(s.Mounts), func(e mount.Extra) bool {
		return slices.ContainsFunc(given, func(g mount.Extra) bool { return g.Path == e.Path })
	})
	s.Mounts = append(kept, given...)
	for _, v := range f.values() {
		if err := v.set(&s, v.value); err != nil {
			return Settings{}, usage(v.flag, err)
		}
	}
	return s, nil
}

type value struct {
	flag, value string
	set         func(*Settings, string) error
}

func (f Flags) values() (all []value) {
	one := func(flag string, v *string, set func(*Settings, string) error) {
		if v != nil {
			all = append(all, value{flag, *v, set})
		}
	}
	one("--image", f.Image, setImage)
	one("--container", f.Container, setContainer)
	one("--dockerfile", f.Dockerfile, setDockerfile)
	one("--network", f.Network, setNetwork)
	one("--memory", f.Memory, setMemory)
	one("--cpus", f.CPUs, parseCPUs)
	one("--pids", f.Pids, parsePids)
	for _, v := range f.Writable {
		one("--rw", &v, addWritable)
	}
	for _, v := range f.EnvPass {
		one("--env-pass", &v, addEnvPass)
	}
	return all
}

func (f Flags) mounts() ([]mount.Extra, error) {
	var s Settings
	for _, v := range f.Mounts {
		if err := addMount(&s, v); err != nil {
			return nil, usage("--mount", err)
		}
	}
	return s.Mounts, nil
}

// usage keeps a hint that the value's own parser gave.
func usage(flag string, err error) error {
	e := exitcode.Errorf(exitcode.Usage, "%s: %w", flag, err)
	if inner, ok := errors.AsType[*exitcode.Error](err); ok {
		e.Hint = inner.Hint
	}
	return e
}

func parseCPUs(s *Settings, v string) error {
	n, err := strconv.ParseFloat(v, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", v)
	}
	return setCPUs(s, n)
}

func parsePids(s *Settings, v string) error {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a whole number", v)
	}
	return setPids(s, n)
}
