package backend

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/exitcode"
)

// judged is a service with a timer; nothing looks whether its programs are there.
func judged(name string) definition.Service {
	return definition.Service{Name: name, Home: "/home/u/.ductor", DefaultHome: true, Command: []string{"/usr/bin/bot", "--now"}, Runner: "/usr/bin/ductor-service",
		Updater: "/usr/bin/ductor-update", Path: "/usr/bin:/bin", Dir: "/home/u", User: "u", StopSeconds: 45}
}

// partOf is the name of a service whose own definition would have the name
// that a part of nas has.
var partOf = map[definition.Platform]string{definition.SystemdUser: "nas-update", definition.LaunchdAgent: "nas.update", definition.Task: "nas-update"}

func storedOf(t *testing.T, p definition.Platform, s definition.Service) stored {
	t.Helper()
	files, err := s.Render(p)
	if err != nil {
		t.Fatal(err)
	}
	have := stored{}
	for _, f := range files {
		have[f.Name] = f.Data
	}
	return have
}

// editedByHand is a definition that means something else now.
func editedByHand(t *testing.T, p definition.Platform, data []byte) []byte {
	t.Helper()
	edited := append(slices.Clone(data), '\n')
	if p == definition.Task {
		utf16 := func(text string) []byte { return definition.UTF16(text)[2:] }
		edited = bytes.Replace(data, utf16("<Priority>4"), utf16("<Priority>5"), 1)
	}
	if st, err := definition.Read(p, edited); err != nil || !st.Edited {
		t.Fatalf("it is not edited: %v", err)
	}
	return edited
}

// judgement is what is expected of judge.
type judgement struct {
	action  Action
	write   []string
	remove  []string
	backup  []string
	refused string // a part of the error
}

func (w judgement) check(t *testing.T, what string, v verdict, err error) {
	t.Helper()
	if w.refused != "" {
		var e *exitcode.Error
		if !errors.As(err, &e) || e.Code != exitcode.Config || !strings.Contains(e.Error(), w.refused) || e.Hint == "" {
			t.Errorf("%s: not refused because it %s, but %+v, %v", what, w.refused, v, err)
		}
		return
	}
	var names []string
	for _, f := range v.write {
		names = append(names, f.Name)
	}
	if err != nil || v.action != w.action || !slices.Equal(names, w.write) || !slices.Equal(v.remove, w.remove) || !slices.Equal(v.backup, w.backup) {
		t.Errorf("%s: %s, writes %q, removes %q, backs up %q, %v; want %+v", what, v.action, names, v.remove, v.backup, err, w)
	}
}

// TestJudge is the table of what may lie there, and of what is done about it.
func TestJudge(t *testing.T) {
	for _, p := range []definition.Platform{definition.SystemdUser, definition.LaunchdAgent, definition.Task} {
		s := judged("nas")
		ours := storedOf(t, p, s)
		names := s.Names(p)
		main, parts := names[0], names[1:]
		with := func(name string, data []byte) stored {
			have := maps.Clone(ours)
			have[name] = data
			return have
		}
		made := func(change func(*definition.Service)) stored {
			other := judged("nas")
			change(&other)
			return storedOf(t, p, other)
		}
		unchanged, all := judgement{action: Unchanged}, judgement{action: Updated, write: names}
		byForce := judgement{action: Updated, write: names[:1], backup: names[:1]}
		edited, foreign := judgement{refused: "was edited by hand"}, judgement{refused: "was not written by ductor-service"}
		home, name := judgement{refused: "belongs to another home"}, judgement{refused: "belongs to another name"}
		// A task that is cut off is no XML any more.
		cut := map[bool]judgement{false: edited, true: foreign}[p == definition.Task]
		for _, c := range []struct {
			what          string
			have          stored
			plain, forced judgement
		}{
			{"nothing", nil, judgement{action: Created, write: names}, judgement{action: Created, write: names}},
			{"the same", ours, unchanged, unchanged},
			{"the same from a shell with another PATH", made(func(s *definition.Service) { s.Path, s.Managers = "/bin", []string{"NVM_DIR=/x"} }), unchanged, unchanged},
			{"the same that lingers", made(func(s *definition.Service) { s.Linger = true }), unchanged, unchanged},
			{"another command", made(func(s *definition.Service) { s.Command = []string{"/usr/bin/other"} }), all, all},
			{"another variable", made(func(s *definition.Service) { s.Env = []string{"A=1"} }), all, all},
			{"one that takes upgrades back", made(func(s *definition.Service) {
				s.Command, s.Rollback = []string{"/usr/bin/bot", "--on-crash", "/usr/bin/ductor-update rollback --if-pending", "--now"}, "/usr/bin/ductor-update"
			}), all, all},
			{"one without a timer", made(func(s *definition.Service) { s.Updater = "" }), all, all},
			{"edited", with(main, editedByHand(t, p, ours[main])), edited, byForce},
			{"foreign", with(main, []byte("somebody's")), foreign, byForce},
			{"empty", with(main, nil), foreign, byForce},
			{"truncated in the stamp", with(main, ours[main][:len(ours[main])/4]), foreign, byForce},
			{"truncated near its end", with(main, ours[main][:len(ours[main])-24]), cut, byForce},
			{"of another home", made(func(s *definition.Service) { s.Home = "/srv/bot" }), home, home},
			{"of another home, and edited", stored{main: editedByHand(t, p, made(func(s *definition.Service) { s.Home = "/srv/bot" })[main])}, home, home},
			{"another name's own", with(parts[0], storedOf(t, p, judged(partOf[p]))[parts[0]]), name, name},
			{"the timer edited", with(parts[len(parts)-1], editedByHand(t, p, ours[parts[len(parts)-1]])), edited, judgement{action: Updated, write: parts[len(parts)-1:], backup: parts[len(parts)-1:]}},
			{"the timer foreign", with(parts[0], []byte("somebody's")), foreign, judgement{action: Updated, write: parts[:1], backup: parts[:1]}},
			{"only a timer", stored{parts[0]: ours[parts[0]]}, judgement{action: Created, write: slices.Concat(names[:1], parts[1:])}, judgement{action: Created, write: slices.Concat(names[:1], parts[1:])}},
		} {
			for force, want := range map[bool]judgement{false: c.plain, true: c.forced} {
				v, err := judge(p, c.have, Plan{Service: s, Force: force})
				want.check(t, string(p)+", "+c.what+map[bool]string{true: ", by force"}[force], v, err)
			}
		}
		// The other way round: what would be ours is a part of another's.
		for _, force := range []bool{false, true} {
			v, err := judge(p, ours, Plan{Service: judged(partOf[p]), Force: force})
			name.check(t, string(p)+", a part of another's", v, err)
		}
	}
}

// TestJudgeWithoutTimer: what is not asked for any more goes, if it is ours.
func TestJudgeWithoutTimer(t *testing.T) {
	for p, other := range partOf {
		plain := judged("nas")
		plain.Updater = ""
		main, parts := plain.Names(p)[:1], plain.Names(p)[1:]
		before := storedOf(t, p, judged("nas"))
		v, err := judge(p, before, Plan{Service: plain})
		judgement{action: Updated, write: main, remove: parts}.check(t, string(p)+", with a timer", v, err)

		before[parts[0]] = editedByHand(t, p, before[parts[0]])
		v, err = judge(p, before, Plan{Service: plain})
		judgement{action: Updated, write: main, remove: parts, backup: parts[:1]}.check(t, string(p)+", with one that was edited", v, err)

		before[parts[0]] = []byte("somebody's")
		v, err = judge(p, before, Plan{Service: plain})
		judgement{action: Updated, write: main, remove: parts[1:]}.check(t, string(p)+", with somebody's", v, err)

		beside := storedOf(t, p, plain)
		beside[parts[0]] = storedOf(t, p, judged(other))[parts[0]]
		v, err = judge(p, beside, Plan{Service: plain})
		judgement{action: Unchanged}.check(t, string(p)+", beside another's own", v, err)
	}
}

// TestJudgeKeepsWhatTheShellLeft: PATH alone is no change, or a reinstallation
// from cron would restart the bot; with another change the new one comes.
func TestJudgeKeepsWhatTheShellLeft(t *testing.T) {
	s := judged("nas")
	have := storedOf(t, definition.SystemdUser, s)
	s.Path = "/opt/bin"
	s.StopSeconds++
	v, err := judge(definition.SystemdUser, have, Plan{Service: s})
	if err != nil || !bytes.Contains(v.write[0].Data, []byte(`"PATH=/opt/bin"`)) {
		t.Errorf("a change brings the new PATH: %v\n%s", err, v.write[0].Data)
	}
	s = judged("nas")
	s.Linger = true
	if v, err = judge(definition.SystemdUser, have, Plan{Service: s}); err != nil || v.action != Updated {
		t.Errorf("linger has to be remembered: %+v, %v", v, err)
	}
}

func TestJudgeWordsThatNothingCarries(t *testing.T) {
	s := judged("nas")
	s.Env = []string{"A=\x00"}
	if _, err := judge(definition.SystemdUser, nil, Plan{Service: s}); exitcode.Of(err) != exitcode.Usage {
		t.Error(err)
	}
}
