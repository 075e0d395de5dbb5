package backend

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
)

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
		return done, errInside()
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
		if f.Name != s.timer() || len(files) > 1 { // alone it would miss its service
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
