package backend

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/exitcode"
)

// managerWait is how long a user manager may take to come up.
const managerWait = 10 * time.Second

// linger turns linger on if it is wanted and off, and waits for the user's
// manager. That it is refused is only a problem while there is a manager now.
func (s *Systemd) linger(ctx context.Context, wanted bool) (turnedOn bool, problems []Problem, err error) {
	if wanted && !s.lingers() {
		// Without sudo: polkit lets everybody do that for themselves, where it is there.
		o, err := s.program.ask(ctx, "loginctl", "enable-linger", s.user)
		switch {
		case exitcode.Of(err) == exitcode.Unavailable, err == nil && o.code != 0:
			problems = append(problems, s.lingerOff(o.words()))
		case err != nil:
			return false, nil, err
		default:
			turnedOn = true
		}
	}
	for deadline := time.Now().Add(managerWait); !s.answers() && s.lingers() && time.Now().Before(deadline); {
		select {
		case <-ctx.Done():
			deadline = time.Time{}
		case <-time.After(50 * time.Millisecond):
		}
	}
	if s.answers() {
		return turnedOn, problems, nil
	}
	if turnedOn {
		s.noLinger()
	}
	err = s.reachable()
	var e *exitcode.Error
	if len(problems) > 0 && errors.As(err, &e) {
		e.Code = exitcode.NoPerm // a human with more rights can
	}
	return false, nil, err
}

func (s *Systemd) lingerOff(why string) Problem {
	p := Problem{Code: "linger-off", Message: "the bot is stopped when you log out, and starts when you log in", Fix: "loginctl enable-linger " + ShellQuote(s.user)}
	if why != "" {
		p.Message += ": linger was refused: " + oneLine(why)
		p.Fix = "sudo " + p.Fix
	}
	return p
}

func (s *Systemd) noLinger() {
	ctx, cancel := context.WithTimeout(context.Background(), managerWait)
	defer cancel()
	_, _ = s.program.ask(ctx, "loginctl", "disable-linger", s.user)
}

// keepsLinger reports whether linger was turned on for a service of ours of
// another name that is still there: the last one to go turns it off.
func (s *Systemd) keepsLinger() bool {
	return slices.ContainsFunc(s.others(), func(st definition.Stored) bool { return st.Linger })
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
