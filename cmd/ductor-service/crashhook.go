package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"ductor/cmd/ductor-service/internal/backend"
	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/cli"
	"ductor/internal/common/home"
)

// crashFlag is what ductor-supervise runs between a crash and the next start.
const crashFlag = "--on-crash"

// withRollback lets a supervisor take back an upgrade that its bot does not
// survive, if ductor-update says that it can upgrade that bot. An --on-crash of
// the user's stays as it is, also an empty one, which is how to have none.
func (m maker) withRollback(ctx context.Context, s definition.Service) definition.Service {
	if !s.Notify || hasCrashHook(s.Command) {
		return s
	}
	m.lenient = false // it is asked, so it has to be here
	tool, err := m.tool("ductor-update")
	if err != nil {
		return s
	}
	hook, err := crashHook(ctx, tool, s)
	switch {
	case hook != "":
		s.Command = slices.Insert(slices.Clone(s.Command), at(s.Command), crashFlag, hook)
		s.Rollback = tool
	case err != nil && !errors.Is(err, context.Canceled):
		cli.Warn(m.std, "a bad upgrade will not be taken back by itself: %v", err)
	}
	return s
}

// crashHook is what to run, or "" if there is nothing to take back. An error
// means that nobody knows.
func crashHook(ctx context.Context, tool string, s definition.Service) (string, error) {
	b := botOf(s.Command)
	if yes, err := b.upgradeable(ctx, tool, s); err != nil || !yes {
		return "", err
	}
	return rollback(runtime.GOOS, tool, s.Name, b.pkg)
}

func hasCrashHook(words []string) bool {
	return slices.ContainsFunc(ownWords(words), func(w string) bool {
		return w == crashFlag || strings.HasPrefix(w, crashFlag+"=")
	})
}

// supervised is the bot of a supervisor's command line, as ductor-update may
// know it.
type supervised struct {
	pkg     string
	program string // "" where the name of the package says enough
	python  bool   // program is the interpreter, and runs a module
}

// defaultPackage is that of ductor-update, and of the bot that
// ductor-supervise runs if it is not told another.
const defaultPackage = "ductor"

func botOf(words []string) supervised {
	bot := words[len(ownWords(words)):]
	if first(bot) == "--" {
		bot = bot[1:]
	}
	if len(bot) == 0 {
		return supervised{pkg: defaultPackage}
	}
	name, module := baseName(bot[0]), moduleOf(bot)
	switch {
	case module == "ductor_bot" || module == "" && name == defaultPackage:
		return supervised{pkg: defaultPackage}
	case module != "":
		return supervised{module, bot[0], true}
	}
	return supervised{name, bot[0], false}
}

func baseName(program string) string {
	base := filepath.Base(program)
	if strings.HasSuffix(strings.ToLower(base), ".exe") {
		base = base[:len(base)-len(".exe")]
	}
	return base
}

var (
	pythonName = regexp.MustCompile(`^(?:python|pypy)[0-9.]*w?$|^pyw?$`)
	// pythonSwitch has no value behind it; the last form is of Windows' py.
	pythonSwitch = regexp.MustCompile(`^-(?:[bBdEIOPqsSuvx]+|[23](?:\.[0-9]+)?)$`)
)

// moduleOf is MODULE of "PYTHON -m MODULE", or "".
func moduleOf(words []string) string {
	if !pythonName.MatchString(strings.ToLower(baseName(words[0]))) {
		return ""
	}
	for i, w := range words[1:] {
		if w == "-m" && i+2 < len(words) {
			return words[i+2]
		}
		if !pythonSwitch.MatchString(w) {
			break
		}
	}
	return ""
}

// modeLimit is for ductor-update mode, which reads a few files.
const modeLimit = 10 * time.Second

// mode is the part that counts of what ductor-update mode --json prints.
type mode struct {
	Upgradeable bool   `json:"upgradeable"`
	Program     string `json:"program"`
	Python      string `json:"python"`
}

// upgradeable asks ductor-update whether it would upgrade this very bot: there
// may be another one of the same name.
func (b supervised) upgradeable(ctx context.Context, tool string, s definition.Service) (bool, error) {
	answer, err := askMode(ctx, tool, b.pkg, s)
	if err != nil || !answer.Upgradeable || b.program == "" {
		return answer.Upgradeable, err
	}
	found := lookIn(s.Path, b.program)
	if b.python {
		return sameInterpreter(withConsole(found), answer.Python), nil
	}
	return sameFile(found, answer.Program), nil
}

// askMode runs ductor-update mode as it would run at a crash: where the service
// starts, and with its environment.
func askMode(ctx context.Context, tool, pkg string, s definition.Service) (answer mode, err error) {
	ctx, cancel := context.WithTimeout(ctx, modeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, "mode", "--package", pkg, "--json")
	cmd.Dir, cmd.Env = s.Dir, startEnv(slices.DeleteFunc(os.Environ(), isOfShell), s)
	cmd.WaitDelay = time.Second // what it leaves behind may keep the pipe
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return answer, ctx.Err()
	case ctx.Err() != nil:
		return answer, fmt.Errorf("%q does not say in time whether the bot can be upgraded", tool)
	case errors.As(err, &exit) && exit.Exited():
		return answer, nil // no
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return answer, fmt.Errorf("run %q: %w", tool, err)
	}
	if json.Unmarshal(out, &answer) != nil {
		return mode{}, fmt.Errorf("what %q says cannot be read", tool)
	}
	return answer, nil
}

// startEnv is an environment with what the service has besides.
func startEnv(env []string, s definition.Service) []string {
	return slices.Concat(env, []string{"DUCTOR_HOME=" + s.Home, "PATH=" + s.Path}, s.Env)
}

// isOfShell: which Python a shell has active is of no account at a start, and
// the same installation must not be another one from the next terminal.
func isOfShell(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return name == "VIRTUAL_ENV" || name == "PYENV_VERSION"
}

// lookIn finds a program as the supervisor would, in the PATH of the service; ""
// is nowhere, or depends on the folder.
func lookIn(path, word string) string {
	if filepath.Base(word) != word {
		if found, err := exec.LookPath(word); err == nil && filepath.IsAbs(word) {
			return found
		}
		return ""
	}
	for _, dir := range filepath.SplitList(path) {
		if found, err := exec.LookPath(filepath.Join(dir, word)); err == nil {
			return found
		}
	}
	return ""
}

// sameInterpreter wants the same folder too: the interpreters of all virtual
// environments are links to one file, and the folder of the link is what tells
// Python which environment it is in.
func sameInterpreter(a, b string) bool {
	return sameFile(a, b) && sameFile(filepath.Dir(a), filepath.Dir(b))
}

// rollback is the command line for --on-crash. It fails if the shell or a
// definition cannot have the path of the tool.
func rollback(goos, tool, name, pkg string) (string, error) {
	words := []string{tool, "rollback", "--if-pending"}
	if name != string(home.DefaultName) {
		words = append(words, "--name", name)
	}
	if pkg != defaultPackage {
		words = append(words, "--package", pkg)
	}
	for i, w := range words {
		var err error
		if words[i], err = shellWord(goos, w); err != nil {
			return "", err
		}
	}
	line := strings.Join(words, " ")
	if err := definition.Carries(line); err != nil {
		return "", err
	}
	return line, nil
}

var plainForCmd = regexp.MustCompile(`^[A-Za-z0-9_.:\\-]+$`)

// shellWord writes a word for the shell of hooks: /bin/sh, or cmd.exe. The
// latter puts values of variables between quotes too, with no way to prevent it.
func shellWord(goos, word string) (string, error) {
	switch {
	case goos != "windows":
		return backend.ShellQuote(word), nil
	case strings.ContainsAny(word, `%"`):
		return "", fmt.Errorf("%q cannot be written for cmd.exe", word)
	case plainForCmd.MatchString(word):
		return word, nil
	}
	return `"` + word + `"`, nil
}
