package backend

import (
	"errors"
	"fmt"
	"os"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/exitcode"
)

// stored are the definitions that are there, by their names.
type stored map[string][]byte

// verdict is what is to be done with what is stored.
type verdict struct {
	action Action
	write  []definition.File // those that differ
	remove []string          // those that the plan does not have
	backup []string          // those of both whose content would be lost
}

// judge compares what is stored with a plan. Nothing that is not ours, or that
// belongs to another home, is ever replaced but by force; what belongs to
// another home not even then, because it would be taken from a bot that runs.
func judge(p definition.Platform, have stored, plan Plan) (verdict, error) {
	s := plan.Service
	v := verdict{action: Created}
	old, err := ours(p, have, s.Main(p), s)
	switch {
	case err != nil && !replaceable(err, plan.Force):
		return v, refusal(err, s.Main(p))
	case err != nil:
		v.action = Updated
	case old != nil:
		v.action = Updated
		if s.Same(old.Service) {
			s.Path, s.Managers = old.Path, old.Managers // those alone are no change
		}
	}
	if old != nil {
		s.Linger = s.Linger || old.Linger
	}
	files, err := s.Render(p)
	if err != nil {
		return v, exitcode.Errorf(exitcode.Usage, "%w", err)
	}
	names := map[string]bool{}
	for _, f := range files {
		names[f.Name] = true
		switch _, err := ours(p, have, f.Name, s); {
		case err != nil && !replaceable(err, plan.Force):
			return v, refusal(err, f.Name)
		case err != nil:
			v.backup = append(v.backup, f.Name)
		}
		if data, there := have[f.Name]; !there || !definition.Equal(p, data, f.Data) {
			v.write = append(v.write, f)
		}
	}
	for _, name := range s.Names(p) {
		// A file beside ours that somebody else wrote is none of our business.
		old, err := ours(p, have, name, s)
		if names[name] || old == nil || err != nil && !errors.Is(err, errEdited) {
			continue
		}
		v.remove = append(v.remove, name)
		if err != nil {
			v.backup = append(v.backup, name)
		}
	}
	if v.action == Updated && len(v.write)+len(v.remove) == 0 {
		v.action = Unchanged
	}
	return v, nil
}

var (
	errEdited = errors.New("was edited by hand")
	errTaken  = errors.New("belongs to another")
)

// ours reads a definition. nil without an error means that there is none.
func ours(p definition.Platform, have stored, name string, want definition.Service) (*definition.Stored, error) {
	data, there := have[name]
	if !there {
		return nil, nil
	}
	s, err := definition.Read(p, data)
	switch {
	case err != nil:
		return nil, err
	case !sameFolder(s.Home, want.Home):
		return &s, fmt.Errorf("%w home, %q", errTaken, s.Home)
	case s.Name != want.Name:
		return &s, fmt.Errorf("%w name, %q", errTaken, s.Name)
	case s.Edited:
		return &s, errEdited
	}
	return &s, nil
}

// sameFolder also sees through links.
func sameFolder(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return a == b || err1 == nil && err2 == nil && os.SameFile(x, y)
}

func replaceable(err error, force bool) bool { return force && !errors.Is(err, errTaken) }

func refusal(err error, name string) error {
	e := exitcode.Errorf(exitcode.Config, "%q %w", name, err)
	if errors.Is(err, errTaken) {
		return e.WithHint("choose another --name, or set DUCTOR_HOME to that home")
	}
	return e.WithHint("--force replaces it and keeps a copy")
}
