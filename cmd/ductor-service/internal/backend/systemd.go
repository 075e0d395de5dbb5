package backend

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
)

// Systemd is the user manager of systemd.
type Systemd struct {
	name, home string
	uid        int
	user       string
	folder     string // of units
	run        string // the manager's own folder, XDG_RUNTIME_DIR
	root       string // "" but in tests of what a system lacks
	program    program
	modes      map[string]os.FileMode // of the units as Install found them
}

// SystemdOptions says whose manager it is.
type SystemdOptions struct {
	Name, Home string // of the service
	UID        int
	User       string
	UserHome   string
	ConfigHome string // XDG_CONFIG_HOME, "" for the default
	Root       string // in place of /, for tests
}

// NewSystemd returns the user manager for the service of one name.
func NewSystemd(o SystemdOptions) *Systemd {
	config := o.ConfigHome
	if !filepath.IsAbs(config) {
		config = filepath.Join(o.UserHome, ".config")
	}
	s := &Systemd{name: o.Name, home: o.Home, uid: o.UID, user: o.User, root: o.Root,
		folder: filepath.Join(config, "systemd", "user"), run: filepath.Join(o.Root, "/run/user", strconv.Itoa(o.UID))}
	// su, cron and ssh lose these, or have kept those of another user.
	s.program.env = []string{"XDG_RUNTIME_DIR=" + s.run, "DBUS_SESSION_BUS_ADDRESS=unix:path=" + s.run + "/bus"}
	return s
}

// Platform is systemd-user: what is system-wide is an administrator's to place.
func (s *Systemd) Platform() definition.Platform { return definition.SystemdUser }

func (s *Systemd) unit() string  { return s.name + ".service" }
func (s *Systemd) timer() string { return s.name + "-update.timer" }

func (s *Systemd) path(name string) string { return filepath.Join(s.folder, name) }

// booted is sd_booted(3): systemctl is there in many a container in which
// systemd does not run.
func (s *Systemd) booted() error {
	const sign = "/run/systemd/system"
	if info, err := os.Stat(filepath.Join(s.root, sign)); err == nil && info.IsDir() {
		return nil
	}
	return exitcode.Errorf(exitcode.Unavailable, "systemd does not run here: no %s (a container, or WSL without systemd?)", sign).
		WithHint("ductor-supervise runs a bot without a service manager; ductor-service render prints the unit")
}

// answers reports whether the user's own manager runs.
func (s *Systemd) answers() bool {
	_, err := os.Stat(filepath.Join(s.run, "systemd", "private"))
	return err == nil
}

func (s *Systemd) lingers() bool {
	// logind escapes what a user of a domain has in the name.
	_, err := os.Stat(filepath.Join(s.root, "/var/lib/systemd/linger", strings.ReplaceAll(s.user, `\`, `\\`)))
	return err == nil
}

func (s *Systemd) systemctl(ctx context.Context, args ...string) error {
	_, err := s.program.must(ctx, "systemctl", append([]string{"--user"}, args...)...)
	return err
}

// stored reads the units of the service.
func (s *Systemd) stored() (stored, error) {
	have := stored{}
	for _, name := range (definition.Service{Name: s.name}).Names(s.Platform()) {
		data, err := atomicfile.Read(s.path(name), maxDefinition)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case masked(s.path(name)):
			data = nil
		case err != nil:
			return nil, exitcode.File(exitcode.Config, err).WithHint("look what it is: ls -l %s", ShellQuote(s.path(name)))
		}
		have[name] = data
	}
	return have, nil
}

// masked is a unit that somebody forbade.
func masked(path string) bool {
	to, err := os.Readlink(path)
	return err == nil && to == os.DevNull
}

// plain refuses links: what they lead to is somebody's own way to keep units,
// and a rename would replace the link.
func (s *Systemd) plain() error {
	for _, name := range (definition.Service{Name: s.name}).Names(s.Platform()) {
		to, err := os.Readlink(s.path(name))
		switch {
		case err != nil:
		case to == os.DevNull:
			return exitcode.Errorf(exitcode.Config, "%q is masked", name).WithHint("systemctl --user unmask %s", name)
		default:
			return exitcode.Errorf(exitcode.Config, "%q is a link to %q", s.path(name), to).WithHint("remove it: rm %s", ShellQuote(s.path(name)))
		}
	}
	return nil
}

// maxDefinition is far more than any definition has, in bytes.
const maxDefinition = 1 << 20

// inside reports whether we are a part of the service.
func (s *Systemd) inside() bool {
	cgroups, _ := os.ReadFile("/proc/self/cgroup")
	return strings.Contains(string(cgroups), "/"+s.unit())
}

// Start waits until the command runs, or says why it does not.
func (s *Systemd) Start(ctx context.Context) error {
	return s.control(ctx, "start")
}

// Stop lasts until the next boot or login.
func (s *Systemd) Stop(ctx context.Context) error {
	return s.control(ctx, "stop")
}

// Restart starts the service if it does not run.
func (s *Systemd) Restart(ctx context.Context) error {
	return s.control(ctx, "restart")
}

func (s *Systemd) control(ctx context.Context, verb string) error {
	if err := s.reachable(); err != nil {
		return err
	}
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if !st.Installed {
		return notInstalled(s.name)
	}
	have, err := s.stored()
	if err != nil {
		return err
	}
	want := definition.Service{Name: s.name, Home: s.home}
	if _, err := ours(s.Platform(), have, s.unit(), want); err != nil && !errors.Is(err, errEdited) {
		return exitcode.Errorf(exitcode.Config, "%q %w", s.path(s.unit()), err).WithHint("systemctl --user %s %s", verb, s.unit())
	}
	if verb != "stop" && st.State == Failed {
		_ = s.systemctl(ctx, "reset-failed", s.unit())
	}
	err = s.systemctl(ctx, verb, s.unit())
	var e *exitcode.Error
	if errors.As(err, &e) && e.Code == exitcode.OSErr {
		return e.WithHint("ductor-service logs --name %s", s.name)
	}
	return err
}

// reachable says why the user's manager cannot be asked, if it cannot.
func (s *Systemd) reachable() error {
	if err := s.booted(); err != nil || s.answers() {
		return err
	}
	return exitcode.Errorf(exitcode.Unavailable, "the user manager of %q does not run: no %s", s.user, filepath.Join(s.run, "systemd/private")).
		WithHint("sudo loginctl enable-linger %s", ShellQuote(s.user))
}
