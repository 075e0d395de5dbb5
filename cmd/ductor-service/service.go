package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/cmd/ductor-service/internal/path"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
)

// owner is whose services these are.
type owner struct {
	uid    string // a SID on Windows
	name   string
	folder string // the home folder
	home   home.Home
}

func findOwner(std *cli.IO) (owner, error) {
	u, err := user.Current()
	if err != nil {
		return owner{}, fmt.Errorf("find out who you are: %w", err)
	}
	folder, err := os.UserHomeDir()
	if err != nil {
		return owner{}, exitcode.Errorf(exitcode.Config, "%w", err)
	}
	dir, err := home.Find(std.Getenv)
	if err != nil {
		return owner{}, exitcode.Errorf(exitcode.Config, "%w", err)
	}
	return owner{uid: u.Uid, name: u.Username, folder: folder, home: dir}, nil
}

// maker turns flags into a service.
type maker struct {
	std   *cli.IO
	owner owner
	flags serviceFlags
	// lenient is for definitions of another machine: what is not here may be there.
	lenient bool
}

// service makes what definitions are rendered from. Paths are not resolved
// further than PATH says: a link outlives the version that it leads to.
func (m maker) service() (definition.Service, error) {
	f, o := m.flags, m.owner
	s := definition.Service{
		Name:        string(f.Name),
		Home:        string(o.home),
		DefaultHome: string(o.home) == filepath.Join(o.folder, ".ductor"),
		Env:         f.Env,
		Runner:      runner(),
		Dir:         o.folder,
		User:        o.name,
		StopSeconds: leastStop,
	}
	if runtime.GOOS == "windows" {
		s.User = o.uid
	}
	err := m.command(&s)
	if f.AlsoSandbox && err == nil {
		s.Sandbox, err = m.tool("ductor-sandbox")
	}
	if f.Timer != "" && err == nil {
		s.Updater, err = m.tool("ductor-update")
	}
	s.Path = m.recipe(s).Path()
	for _, k := range path.Variables {
		if v := m.std.Getenv(k); runtime.GOOS != "windows" && filepath.IsAbs(v) && exists(v) && definition.Carries(v) == nil {
			s.Managers = append(s.Managers, k+"="+v)
		}
	}
	return s, err
}

func (m maker) recipe(s definition.Service) path.Recipe {
	r := path.Recipe{Home: m.owner.folder, Getenv: m.std.Getenv, GOOS: runtime.GOOS, Caller: m.std.Getenv("PATH")}
	for _, word := range []string{s.Runner, first(s.Command)} {
		if filepath.IsAbs(word) {
			r.Own = append(r.Own, filepath.Dir(word))
		}
	}
	return r
}

func first(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// leastStop is above the supervisor's own default, in seconds.
const leastStop = 45

// command fills in what is run, and how its kind wants to be run.
func (m maker) command(s *definition.Service) error {
	words := slices.Clone(m.flags.Command.Words())
	if len(words) == 0 {
		words = defaultCommand()
	}
	program, err := m.program(words[0])
	if err != nil {
		return err
	}
	words[0] = program
	if isSupervisor(program) {
		s.Notify = true
		if words, err = withName(words, m.flags.Name); err != nil {
			return err
		}
		s.StopSeconds = max(leastStop, int(stopTimeout(words).Seconds())+15)
	}
	s.Command = words
	for _, w := range words {
		if err := definition.Carries(w); err != nil {
			return exitcode.Errorf(exitcode.Usage, "%w", err).WithHint("put the command into a script")
		}
	}
	return nil
}

// program finds a command as the caller's shell would, or beside ourselves.
func (m maker) program(word string) (string, error) {
	if strings.HasPrefix(word, "ductor-") && filepath.Base(word) == word {
		if p, err := m.tool(word); err == nil {
			return p, nil
		}
	}
	found, err := exec.LookPath(word)
	if err == nil || errors.Is(err, exec.ErrDot) {
		return filepath.Abs(found)
	}
	switch {
	case m.lenient:
		return word, nil
	case isNoProgram(err):
		return "", exitcode.Errorf(exitcode.CannotExec, "%q cannot be executed", word)
	}
	return "", exitcode.Errorf(exitcode.NotFound, "%q cannot be found", word).WithHint("give its absolute path, or put its folder into PATH")
}

// tool finds a sibling of ours: on PATH, or beside us.
func (m maker) tool(name string) (string, error) {
	if found, err := exec.LookPath(name); err == nil {
		return filepath.Abs(found)
	}
	if found, err := exec.LookPath(filepath.Join(filepath.Dir(runner()), name)); err == nil {
		return found, nil
	}
	if m.lenient {
		return name, nil
	}
	return "", exitcode.Errorf(exitcode.Unavailable, "%s is not installed: neither on PATH nor in %q", name, filepath.Dir(runner()))
}

// runner is how a definition calls this program: by the name on PATH, if that
// is this program, because os.Executable resolves links.
func runner() string {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	if found, err := exec.LookPath(filepath.Base(os.Args[0])); err == nil && sameFile(found, self) {
		if abs, err := filepath.Abs(found); err == nil {
			self = abs
		}
	}
	return withoutConsole(self)
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

func isSupervisor(program string) bool {
	base := strings.TrimSuffix(strings.ToLower(filepath.Base(program)), ".exe")
	return base == "ductor-supervise" || base == "ductor-supervisew"
}

// switches are the flags of ductor-supervise that take no value.
var switches = []string{"--kill-existing", "--no-lock", "--stdin", "--notify", "--no-gitignore", "--log-time", "--dry-run", "--help", "--version"}

// ownWords are the words that ductor-supervise itself reads: up to its command,
// which "--" or the first word begins that is neither a flag nor a flag's value.
func ownWords(words []string) []string {
	for i := at(words); i < len(words); i++ {
		switch w := words[i]; {
		case w == "--" || !strings.HasPrefix(w, "-"):
			return words[:i]
		case !strings.Contains(w, "=") && !slices.Contains(switches, w):
			i++
		}
	}
	return words
}

// at is where flags of ductor-supervise can be put in.
func at(words []string) int {
	if len(words) > 1 && words[1] == "run" {
		return 2
	}
	return 1
}

// withName lets the supervisor have the name of the service.
func withName(words []string, name home.Name) ([]string, error) {
	for i, w := range ownWords(words) {
		given, has := strings.CutPrefix(w, "--name=")
		if w == "--name" && i+1 < len(words) {
			given, has = words[i+1], true
		}
		if has && given != string(name) {
			return nil, exitcode.Errorf(exitcode.Usage, "the supervisor is called %q and the service %q: they need one name", given, name).
				WithHint("ductor-service install --name %s …", given)
		}
		if has {
			return words, nil
		}
	}
	if name == home.DefaultName {
		return words, nil
	}
	return slices.Insert(words, at(words), "--name", string(name)), nil
}

// stopTimeout is how long the supervisor lets the bot end.
func stopTimeout(words []string) time.Duration {
	own := ownWords(words)
	for i, w := range own {
		text, has := strings.CutPrefix(w, "--stop-timeout=")
		if w == "--stop-timeout" && i+1 < len(own) {
			text, has = own[i+1], true
		}
		if d, err := time.ParseDuration(text); has && err == nil {
			return d
		}
	}
	return 0
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkEnv refuses what is no variable, and those that are ours to set.
func checkEnv(env []string, ours ...string) error {
	for _, e := range env {
		k, _, is := strings.Cut(e, "=")
		switch {
		case !is || !envName.MatchString(k):
			return fmt.Errorf("--env=%q: is not K=V", e)
		case k == "PATH" && slices.Contains(ours, k):
			return fmt.Errorf("--env=%q: PATH is made anew at each start; put a link into ~/.local/bin instead", e)
		case slices.Contains(ours, k):
			return fmt.Errorf("--env=%q: set %s for ductor-service itself", e, k)
		}
		if err := definition.Carries(e); err != nil {
			return err
		}
	}
	return nil
}

// rehearse asks the supervisor whether it could start, where and how the
// service manager would start it.
func rehearse(ctx context.Context, s definition.Service, starts bool) error {
	if !s.Notify {
		return nil
	}
	words := slices.Insert(slices.Clone(s.Command), at(s.Command), "--dry-run")
	words[0] = withConsole(words[0])
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir = s.Dir
	cmd.Env = startEnv(os.Environ(), s)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return exitcode.Errorf(exitcode.CannotExec, "%w", err)
	case exit.ExitCode() == exitcode.TempFail && starts:
		return exitcode.Errorf(exitcode.TempFail, "%q is supervised already, but not by this service", s.Name).WithHint("ductor-supervise stop --name %s --wait", s.Name)
	case exit.ExitCode() == exitcode.TempFail: // by this service
		return nil
	}
	return exitcode.Errorf(exit.ExitCode(), "the command could not be started in %q: %s", s.Dir, complaint(out.String(), errs.String()))
}

// complaint is what a rehearsal says is wrong, without its name in front.
func complaint(out, errs string) string {
	for line := range strings.Lines(out + errs) {
		for _, mark := range []string{" problem: ", ": error: "} {
			if _, text, found := strings.Cut(line, mark); found {
				return strings.TrimSpace(text)
			}
		}
	}
	return strings.TrimSpace(out + errs)
}

// relativeWords are those that name a file here which the service, which
// starts in the home folder, would not find.
func relativeWords(s definition.Service) (words []string) {
	for _, w := range s.Command[1:] {
		if w == "" || filepath.IsAbs(w) || strings.HasPrefix(w, "-") || !exists(w) || exists(filepath.Join(s.Dir, w)) {
			continue
		}
		words = append(words, w)
	}
	return words
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}
