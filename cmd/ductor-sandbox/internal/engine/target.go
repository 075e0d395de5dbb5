package engine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"ductor/internal/common/exitcode"
)

const (
	defaultUnix = "unix:///var/run/docker.sock"
	defaultPipe = "npipe:////./pipe/docker_engine"
	defaultTLS  = "tcp://localhost:2376"
)

// target is a place to ask.
type target struct {
	host, source string
	tls          *tlsFiles // nil: no TLS
}

// targets returns one target if anything names one, else the usual places.
// The order is the docker command's.
func (o Options) targets() ([]target, error) {
	if o.Host != "" {
		return o.named("--host", o.Host)
	}
	if host := o.Getenv("DOCKER_HOST"); host != "" {
		return o.named("DOCKER_HOST", host)
	}
	if name := o.Getenv("DOCKER_CONTEXT"); name != "" {
		return o.contextFromEnv(name)
	}
	name, file, err := o.currentContext()
	if err != nil {
		return nil, err
	}
	if name != "" && name != defaultContext {
		return o.contextFromFile(name, file)
	}
	if t, ok := o.tlsDefault(); ok {
		return []target{t}, nil
	}
	return o.usual(), nil
}

// tlsDefault: the variables of TLS alone move the docker command's default to
// this host.
func (o Options) tlsDefault() (target, bool) {
	files := o.envTLS()
	return target{defaultTLS, "DOCKER_TLS_VERIFY", files}, files != nil
}

// named is a host from a flag or a variable.
func (o Options) named(source, host string) ([]target, error) {
	files := o.envTLS()
	clean, err := parseHost(host, files != nil, o.GOOS)
	if err != nil {
		return nil, prefixed(source, err)
	}
	return []target{{clean, source, files.unlessSocket(clean)}}, nil
}

// contextFromEnv: "default" there means the default host and no other,
// whatever config.json says.
func (o Options) contextFromEnv(name string) ([]target, error) {
	if name == defaultContext {
		if t, ok := o.tlsDefault(); ok {
			return []target{t}, nil
		}
		return []target{{o.defaultHost(), "context default", nil}}, nil
	}
	t, err := o.storedContext(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, exitcode.Errorf(exitcode.Usage, "find context %q (DOCKER_CONTEXT): %w", name, err).WithHint("unset DOCKER_CONTEXT")
	}
	return []target{t}, err
}

func (o Options) contextFromFile(name, file string) ([]target, error) {
	t, err := o.storedContext(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, exitcode.Errorf(exitcode.DataErr, "find context %q (named by %q): %w", name, file, err).WithHint("docker context use default")
	}
	return []target{t}, err
}

func (o Options) defaultHost() string {
	if o.GOOS == "windows" {
		return defaultPipe
	}
	return defaultUnix
}

// usual places: the default one, and of the others those that are there.
func (o Options) usual() []target {
	list := []target{{o.defaultHost(), "default", nil}}
	if o.GOOS == "windows" {
		return list
	}
	for _, s := range o.userSockets() {
		if info, err := os.Stat(s.host); err == nil && info.Mode().Type() == fs.ModeSocket {
			list = append(list, target{"unix://" + s.host, s.source, nil})
		}
	}
	return list
}

// userSockets lists where the daemons of one user listen, as paths.
func (o Options) userSockets() (list []target) {
	if dir := o.runtimeDir(); filepath.IsAbs(dir) {
		list = append(list, target{host: filepath.Join(dir, "docker.sock"), source: "rootless"})
	}
	if !filepath.IsAbs(o.HomeDir) {
		return list
	}
	for _, s := range []struct{ path, source string }{
		{".docker/run/docker.sock", "Docker Desktop"}, // rootless too, without XDG_RUNTIME_DIR
		{".docker/desktop/docker.sock", "Docker Desktop"},
		{".colima/default/docker.sock", "Colima"},
		{".colima/docker.sock", "Colima"}, // before 0.4
		{".orbstack/run/docker.sock", "OrbStack"},
		{".rd/docker.sock", "Rancher Desktop"},
	} {
		list = append(list, target{host: filepath.Join(o.HomeDir, filepath.FromSlash(s.path)), source: s.source})
	}
	return list
}

// runtimeDir is $XDG_RUNTIME_DIR, or what systemd makes it: cron does not set
// the variable.
func (o Options) runtimeDir() string {
	dir := o.Getenv("XDG_RUNTIME_DIR")
	if dir == "" && o.GOOS == "linux" {
		dir = filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
	}
	return dir
}
