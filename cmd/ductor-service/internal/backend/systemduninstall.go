package backend

import (
	"context"
	"errors"
	"os"
	"slices"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/exitcode"
)

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
		return done, errInside()
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
	units := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == s.name+"-update.service" })
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
