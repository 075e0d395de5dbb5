package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/distribution/reference"
	"github.com/docker/go-units"

	"ductor/cmd/ductor-sandbox/internal/mount"
)

// Limits. The least memory is Docker's own, and so are the least CPUs. Threads
// count as processes: with 20 a Go program cannot start a child. The upper ends
// are the kernel's, or keep a number from overflowing.
const (
	minMemory = 6 << 20
	maxMemory = 1 << 50
	minCPUs   = 0.01
	maxCPUs   = 1 << 16
	minPids   = 32
	maxPids   = 4 << 20
)

var (
	containerName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`) }) // the daemon wants two characters
	variableName  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) })
)

func setImage(s *Settings, v string) error {
	if _, err := reference.ParseNormalizedNamed(v); err != nil {
		return fmt.Errorf("%q is not the name of an image: %w", v, err)
	}
	s.Image = v
	return nil
}

func setContainer(s *Settings, v string) error {
	if !containerName().MatchString(v) {
		return fmt.Errorf("%q is not the name of a container (letters, digits, '_', '.', '-', at first a letter or digit)", v)
	}
	s.Container = v
	return nil
}

func setDockerfile(s *Settings, v string) error {
	if strings.ContainsAny(v, "\x00\n") || !utf8.ValidString(v) {
		return fmt.Errorf("%q is not a path", v)
	}
	s.Dockerfile = v
	return nil
}

func setNetwork(s *Settings, v string) error {
	if v != "bridge" && v != "none" {
		return fmt.Errorf("%q is not a network that is supported yet: use \"bridge\" or \"none\"", v)
	}
	s.Network = v
	return nil
}

func setMemory(s *Settings, v string) error {
	n, err := units.RAMInBytes(v)
	if err != nil {
		return fmt.Errorf("%q is not a size: use a number with b, k, m, g or t", v)
	}
	return setBytes(s, v, n)
}

func setBytes(s *Settings, v string, n int64) error {
	if n < minMemory || n > maxMemory {
		return fmt.Errorf("%q is out of range: at least 6m, at most 1024t", v)
	}
	s.Memory = n
	return nil
}

func setCPUs(s *Settings, n float64) error {
	if !(n >= minCPUs && n <= maxCPUs) { // not a number, too
		return fmt.Errorf("%v is out of range: from %v to %d", n, minCPUs, maxCPUs)
	}
	s.CPUs = n
	return nil
}

func setPids(s *Settings, n int64) error {
	if n < minPids || n > maxPids {
		return fmt.Errorf("%d is out of range: from %d to %d", n, minPids, maxPids)
	}
	s.Pids = n
	return nil
}

func addWritable(s *Settings, v string) error {
	if v == "" || strings.ContainsAny(v, "\x00\n") || !utf8.ValidString(v) {
		return fmt.Errorf("%q is not a path", v)
	}
	if !slices.Contains(s.Writable, v) {
		s.Writable = append(s.Writable, v)
	}
	return nil
}

func addMount(s *Settings, v string) error {
	e, err := mount.ParseExtra(v)
	if err == nil {
		s.Mounts = append(s.Mounts, e)
	}
	return err
}

func addEnvPass(s *Settings, v string) error {
	if !variableName().MatchString(v) {
		return fmt.Errorf("%q is not the name of a variable", v)
	}
	if !slices.Contains(s.EnvPass, v) {
		s.EnvPass = append(s.EnvPass, v)
	}
	return nil
}
