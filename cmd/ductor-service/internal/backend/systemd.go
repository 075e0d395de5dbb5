package backend

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

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
			return nil, exitcode.File(exitcode.Config, err).WithHint("look what it is: ls -l %s", shellQuote(s.path(name)))
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
			return exitcode.Errorf(exitcode.Config, "%q is a link to %q", s.path(name), to).WithHint("remove it: rm %s", shellQuote(s.path(name)))
		}
	}
	return nil
}

// maxDefinition is far more than any definition has, in bytes.
const maxDefinition = 1 << 20

// Install places the units, and lets the manager run without a session.
func (s *Systemd) Install(ctx context.Context, p Plan) (Installed, error) {
	if err := s.booted(); err != nil {
		return Installed{}, err
	}
	have, err := s.stored()
	if err = errors.Join(err, s.plain()); err != nil {
		return Installed{}, err
	}
	if _, err := judge(s.Platform(), have, p); err != nil {
		return Installed{}, err
	}
	s.modes = map[string]os.FileMode{}
	for name := range have {
		if info, err := os.Stat(s.path(name)); err == nil {
			s.modes[name] = info.Mode().Perm()
		}
	}
	turnedOn, problems, err := s.linger(ctx, p.Linger)
	if err != nil {
		return Installed{}, err
	}
	p.Service.Linger = turnedOn || s.keepsLinger() // judge adds what the unit has
	done, err := s.place(ctx, p, have)
	if err != nil && turnedOn {
		s.noLinger()
	}
	done.Problems = append(problems, done.Problems...)
	return done, err
}

// place writes what differs, tells the manager, and starts.
func (s *Systemd) place(ctx context.Context, p Plan, have stored) (Installed, error) {
	v, err := judge(s.Platform(), have, p)
	if err != nil {
		return Installed{}, err
	}
	done := Installed{Action: v.action, Definition: s.path(s.unit())}
	before, err := s.Status(ctx)
	if err != nil {
		return done, err
	}
	again := before.Runs() && (v.action != Unchanged || s.outdated(before))
	if again && s.inside() {
		return done, exitcode.Errorf(exitcode.NoPerm, "this runs inside the service that it would restart").
			WithHint("systemd-run --user %s", reinstall(p.Service))
	}
	if err := s.verify(ctx, v.write); err != nil {
		return done, err
	}
	if v.action != Unchanged || !s.known(ctx, p, before) {
		err = s.change(ctx, v, p, have, &done)
	}
	if err == nil {
		err = s.begin(ctx, p, before, again)
	}
	if err != nil {
		s.restore(v, have, before, done.Backups)
	}
	return done, err
}

// known reports whether the manager has all of it. Who was killed in the middle
// of an installation may have told it nothing.
func (s *Systemd) known(ctx context.Context, p Plan, before Status) bool {
	if !before.Enabled || slices.ContainsFunc(before.Problems, func(p Problem) bool { return p.Code == "reload-needed" }) {
		return false
	}
	return p.Service.Updater == "" || s.systemctl(ctx, "is-enabled", s.timer()) == nil && s.systemctl(ctx, "is-active", s.timer()) == nil
}

// outdated reports whether it runs since before its unit was written, in
// seconds, which is as well as systemd tells.
func (s *Systemd) outdated(before Status) bool {
	info, err := os.Stat(s.path(s.unit()))
	return err == nil && before.started != nil && info.ModTime().Unix() > before.started.Unix()
}

// verify lets systemd read the units before they are anywhere. It is silent
// about what it does not know, and so are we: older ones know less.
func (s *Systemd) verify(ctx context.Context, files []definition.File) error {
	dir, err := os.MkdirTemp("", "ductor-verify-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args := []string{"--user", "verify"}
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			return err
		}
		if !strings.HasSuffix(path, "-update.timer") || len(files) > 1 {
			args = append(args, path)
		}
	}
	if len(args) == 2 {
		return nil
	}
	_, err = s.program.must(ctx, "systemd-analyze", args...)
	var e *exitcode.Error
	if errors.As(err, &e) && e.Code == exitcode.Unavailable {
		return nil // it is a package of its own in places
	}
	return err
}

// change makes the units what the verdict says.
func (s *Systemd) change(ctx context.Context, v verdict, p Plan, have stored, done *Installed) error {
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	for _, name := range v.backup {
		kept, err := keepCopy(s.path(name), have[name])
		if err != nil {
			return exitcode.File(exitcode.CantCreat, err)
		}
		done.Backups = append(done.Backups, kept)
	}
	if slices.Contains(v.remove, s.timer()) {
		if err := s.systemctl(ctx, "disable", "--now", s.timer()); err != nil {
			return err
		}
	}
	for _, f := range v.write {
		if err := atomicfile.Write(s.path(f.Name), f.Data, mode(f.Data)); err != nil {
			return exitcode.File(exitcode.CantCreat, err)
		}
	}
	for _, name := range v.remove {
		if err := os.Remove(s.path(name)); err != nil {
			return err
		}
	}
	if err := s.systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	return s.enable(ctx, p)
}

// mode is for everybody to read, unless there may be secrets in it.
func mode(definitionData []byte) os.FileMode {
	if strings.Contains(string(definitionData), `"env":[`) {
		return 0o600
	}
	return 0o644
}

func (s *Systemd) enable(ctx context.Context, p Plan) error {
	if err := s.systemctl(ctx, "enable", s.unit()); err != nil {
		return err
	}
	if p.Service.Updater != "" {
		if err := s.systemctl(ctx, "enable", s.timer()); err != nil {
			return err
		}
		if err := s.systemctl(ctx, "restart", s.timer()); err != nil {
			return err
		}
	}
	found, err := s.show(ctx)
	if err == nil && !sameFolder(found["FragmentPath"], s.path(s.unit())) {
		err = exitcode.Errorf(exitcode.Config, "systemd does not read %q, but %q", s.path(s.unit()), found["FragmentPath"]).
			WithHint("set XDG_CONFIG_HOME to what it is for the user manager: systemctl --user show-environment")
	}
	return err
}

// restore puts back what was there. It goes on where it can: there is already
// an error to tell of.
func (s *Systemd) restore(v verdict, have stored, before Status, copies []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if !before.Enabled {
		_ = s.systemctl(ctx, "disable", s.unit())
	}
	if _, there := have[s.timer()]; !there {
		_ = s.systemctl(ctx, "disable", "--now", s.timer())
	}
	for _, f := range v.write {
		s.putBack(have, f.Name)
	}
	for _, name := range v.remove {
		s.putBack(have, name)
	}
	_ = s.systemctl(ctx, "daemon-reload")
	if _, there := have[s.timer()]; there {
		_ = s.systemctl(ctx, "enable", "--now", s.timer())
	}
	if before.Runs() {
		_ = s.systemctl(ctx, "start", "--no-block", s.unit()) // nothing happens if it still does
	}
	removeCopies(copies)
}

func (s *Systemd) putBack(have stored, name string) {
	if data, there := have[name]; there {
		_ = atomicfile.Write(s.path(name), data, s.modes[name])
		return
	}
	_ = os.Remove(s.path(name))
}

// begun is how long a start is waited for. What takes longer goes on without us.
const begun = 30 * time.Second

// begin starts what does not run, and what runs from an older unit once more.
// That it does not stay up is for who installs to see: it is installed either
// way. It is an error that the manager did not even try.
func (s *Systemd) begin(ctx context.Context, p Plan, before Status, again bool) error {
	verb := ""
	switch {
	case again:
		verb = "restart"
	case !before.Runs() && p.Start:
		verb = "start"
		_, _ = s.program.ask(ctx, "systemctl", "--user", "reset-failed", s.unit())
	default:
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, begun)
	defer cancel()
	o, err := s.program.ask(limited, "systemctl", "--user", verb, s.unit())
	switch {
	case exitcode.Of(err) == exitcode.Timeout && ctx.Err() == nil:
		return nil
	case err != nil || o.code == 0:
		return err
	}
	after, err := s.Status(ctx)
	if err == nil && (after.State == Stopped || after.PID != 0 && after.PID == before.PID) {
		err = exitcode.Errorf(exitcode.OSErr, "systemctl --user %s %s: %s", verb, s.unit(), o.words())
	}
	return err
}

// Uninstall stops the service and removes its units.
func (s *Systemd) Uninstall(ctx context.Context, keepLinger bool) (Removed, error) {
	if err := s.booted(); err != nil {
		return Removed{}, err
	}
	have, err := s.stored()
	if err = errors.Join(err, s.plain()); err != nil {
		return Removed{}, err
	}
	var done Removed
	lingered, names, edited := false, []string{}, []string{}
	for _, name := range (definition.Service{Name: s.name}).Names(s.Platform()) {
		old, err := ours(s.Platform(), have, name, definition.Service{Name: s.name, Home: s.home})
		switch {
		case old == nil && err == nil:
			continue
		case err != nil && !errors.Is(err, errEdited):
			if name == s.unit() {
				return done, exitcode.Errorf(exitcode.Config, "%q %w", s.path(name), err).WithHint("remove it yourself: systemctl --user disable --now %s", s.unit())
			}
			continue
		case err != nil:
			edited = append(edited, name)
		}
		lingered = lingered || old.Linger
		names = append(names, name)
	}
	if len(names) == 0 {
		return done, nil
	}
	if s.inside() {
		return done, exitcode.Errorf(exitcode.NoPerm, "this runs inside the service that it would stop").
			WithHint("systemd-run --user ductor-service uninstall --name %s", s.name)
	}
	done.Definition = s.path(s.unit())
	if err := s.forget(ctx, names); err != nil {
		return done, err
	}
	for _, name := range edited {
		kept, err := keepCopy(s.path(name), have[name])
		if err != nil {
			return done, exitcode.File(exitcode.CantCreat, err)
		}
		done.Kept = append(done.Kept, Kept{kept, "it was edited by hand"})
	}
	if err := s.remove(ctx, names); err != nil {
		return done, err
	}
	if dir := s.path(s.unit() + ".d"); isFolder(dir) {
		done.Kept = append(done.Kept, Kept{dir, "it is yours"})
	}
	if lingered && !keepLinger && !s.keepsLinger() {
		s.noLinger()
	}
	return done, nil
}

// forget stops and disables the units; without a manager systemctl disables too.
func (s *Systemd) forget(ctx context.Context, names []string) error {
	units := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.HasSuffix(n, "-update.service") })
	slices.Reverse(units) // the timer first
	for _, unit := range units {
		if !s.answers() {
			break
		}
		o, err := s.program.ask(ctx, "systemctl", "--user", "stop", unit)
		const notLoaded = 5 // it is broken, or was never read
		if err == nil && o.code != 0 && o.code != notLoaded {
			err = exitcode.Errorf(exitcode.OSErr, "systemctl --user stop %s: %s", unit, o.words())
		}
		if err != nil {
			return err
		}
	}
	return s.systemctl(ctx, append([]string{"disable"}, units...)...)
}

func (s *Systemd) remove(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := os.Remove(s.path(name)); err != nil {
			return err
		}
	}
	if !s.answers() {
		return nil
	}
	_ = s.systemctl(ctx, append([]string{"reset-failed"}, names...)...) // it fails when nothing had
	return s.systemctl(ctx, "daemon-reload")
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

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
		WithHint("sudo loginctl enable-linger %s", shellQuote(s.user))
}
