package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"ductor/cmd/ductor-supervise/internal/policy"
	"ductor/cmd/ductor-supervise/internal/supervisor"
	"ductor/cmd/ductor-supervise/internal/watch"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
)

// Run supervises until the end, and returns the code of the end.
func (c *runCmd) Run(std *cli.IO) error {
	cfg, closeEvents, err := c.config(std)
	if err != nil {
		return err
	}
	defer closeEvents()
	if c.DryRun {
		return c.dryRun(std, cfg)
	}
	if err := openConsole(); err != nil {
		cli.Warn(std, "no console, so the command will be killed where it could be asked to end: %v", err)
	}
	debug.SetGCPercent(heapGrowth)
	end, err := supervisor.Run(cfg)
	if err != nil {
		return err
	}
	return exitcode.Status(end)
}

// heapGrowth lets a supervisor's heap grow to 2 MB, where Go would let it to 4:
// after 1,500 restarts it weighs 9.5 and not 12 MB. Less than 50 makes the
// first collection, which costs half a megabyte, happen at the start already.
const heapGrowth = 50

func (c *runCmd) config(std *cli.IO) (cfg supervisor.Config, closeEvents func(), err error) {
	dir, err := home.Find(std.Getenv)
	if err != nil {
		return cfg, nil, exitcode.Errorf(exitcode.Config, "%w", err)
	}
	command := c.Command.Words()
	if len(command) == 0 {
		command = defaultCommand(std.Getenv)
	}
	cfg = supervisor.Config{
		Name: c.Name, Home: dir, Command: command,
		Policy: policy.Config{
			StopCodes: ints(c.StopCode), RestartCodes: ints(c.RestartCode), FatalCodes: ints(c.FatalCode),
			BackoffMin: c.Backoff.min, BackoffMax: c.Backoff.max, ResetAfter: c.ResetAfter,
			Budget: policy.Rate(c.RestartBudget), MaxCrashes: policy.Rate(c.MaxCrashes), StopTimeout: c.StopTimeout,
			HangTimeout: c.HeartbeatTimeout, CrashHook: c.OnCrash != "",
		},
		Notify: c.Notify, Getenv: std.Getenv,
		Preflight: c.Preflight, PreflightTimeout: c.PreflightTimeout, HoldMax: c.HoldMax,
		OnEvent: c.OnEvent, OnCrash: c.OnCrash, HookTimeout: c.HookTimeout,
		LockTool: findTool("ductor-lock"), NoLock: c.NoLock, KillExisting: c.KillExisting,
		StopSignal: c.StopSignal.signal(), LeaderOnly: c.Tree == "leader", RelayStdin: c.Stdin,
		Dir: c.Chdir, Env: os.Environ(), EnvFile: c.EnvFile,
		WatchDirs: c.Watch, WatchMode: watch.Mode(c.WatchMode), WatchFilter: watch.Filter{Ext: c.Ext, Ignore: c.Ignore, NoGitignore: c.NoGitignore},
		ChildStdout: os.Stdout, Log: std.Err, Dim: terminal(os.Stderr) && std.Getenv("NO_COLOR") == "", Stderr: os.Stderr, Stdin: std.In,
	}
	if cfg.LockTool == "" && !c.NoLock {
		return cfg, nil, exitcode.Errorf(exitcode.Unavailable, "ductor-lock is neither beside this program nor on PATH").
			WithHint("install ductor-lock, or do without it: --no-lock")
	}
	if err := c.checkFiles(&cfg); err != nil {
		return cfg, nil, err
	}
	if err := c.checkLog(&cfg); err != nil {
		return cfg, nil, err
	}
	if c.DryRun {
		return cfg, func() {}, nil
	}
	closeEvents, err = c.openEvents(&cfg)
	return cfg, closeEvents, err
}

// checkFiles refuses paths that could never work, before anything starts.
func (c *runCmd) checkFiles(cfg *supervisor.Config) error {
	for _, m := range c.Marker {
		abs, err := controlFile("--marker", m, cfg)
		if err != nil {
			return err
		}
		cfg.Markers = append(cfg.Markers, abs)
	}
	cfg.Hold = cfg.Home.Run(cfg.Name).CtlHold()
	if c.Hold != "" {
		abs, err := controlFile("--hold", c.Hold, cfg)
		if err != nil {
			return err
		}
		cfg.Hold = abs
	}
	if err := cfg.WatchFilter.Check(); err != nil {
		return exitcode.Errorf(exitcode.Usage, "--ignore: %w", err)
	}
	cfg.WatchFilter.Own = []string{cfg.Home.RunRoot(), cfg.Home.Logs(), cfg.Home.RestartRequested(), cfg.Home.RestartSentinel(),
		filepath.Join(string(cfg.Home), "upgrade-sentinel.json"), cfg.Hold}
	for _, fd := range []int{1, 2} { // or a line of ours would restart the bot, of which we would write a line
		if name := openName(fd); isRegular(name) {
			ownLog(&cfg.WatchFilter, name)
		}
	}
	if c.Heartbeat != "" {
		cfg.Heartbeat, _ = filepath.Abs(c.Heartbeat)
		cfg.WatchFilter.Own = append(cfg.WatchFilter.Own, cfg.Heartbeat)
	}
	if c.EnvFile != "" {
		if err := supervisor.CheckEnvFile(c.EnvFile); err != nil {
			return err
		}
		cfg.EnvFile, _ = filepath.Abs(c.EnvFile)
	}
	if c.Chdir != "" {
		cfg.Dir, _ = filepath.Abs(c.Chdir)
	}
	return nil
}

// controlFile makes a path absolute that will be watched, by its folder.
func controlFile(flag, path string, cfg *supervisor.Config) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if !isFolder(filepath.Dir(abs)) {
		return "", exitcode.Errorf(exitcode.Usage, "%s=%q: its folder does not exist", flag, path)
	}
	if filepath.Dir(abs) == string(cfg.Home.Run(cfg.Name)) {
		return "", exitcode.Errorf(exitcode.Usage, "%s=%q: that folder holds locks and must not be watched; use its ctl/", flag, path)
	}
	return abs, nil
}

// openEvents opens what --events names. On stdout, events and the command's
// own words would mix, so the command's go to stderr.
func (c *runCmd) openEvents(cfg *supervisor.Config) (func(), error) {
	switch c.Events {
	case "":
		return func() {}, nil
	case "-":
		cfg.EventSinks, cfg.ChildStdout = []io.Writer{os.Stdout}, os.Stderr
		return func() {}, nil
	}
	f, err := os.OpenFile(c.Events, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, exitcode.File(exitcode.CantCreat, fmt.Errorf("--events: %w", err))
	}
	if abs, err := filepath.Abs(c.Events); err == nil {
		cfg.WatchFilter.Own = append(cfg.WatchFilter.Own, abs)
	}
	cfg.EventSinks = []io.Writer{f}
	return func() { f.Close() }, nil
}

// terminal reports whether f is one (or another character device, where
// decoration does no harm).
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// findTool looks beside our own executable, then on PATH; "" is nowhere.
func findTool(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		real, _ := filepath.EvalSymlinks(self)
		for _, dir := range []string{filepath.Dir(self), filepath.Dir(real)} {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path
			}
		}
	}
	path, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return ""
	}
	path, _ = filepath.Abs(path)
	return path
}

// defaultCommand is PYTHON -m ductor_bot with the Python that has ductor.
func defaultCommand(getenv func(string) string) []string {
	return append(python(getenv), "-m", "ductor_bot")
}

// python picks, in this order: $DUCTOR_PYTHON, the active virtual environment,
// the interpreter that the `ductor` on PATH was installed for (pipx, uv), and
// the system's.
func python(getenv func(string) string) []string {
	if p := getenv("DUCTOR_PYTHON"); p != "" {
		return []string{p}
	}
	bin := filepath.Join("bin", "python")
	if runtime.GOOS == "windows" {
		bin = filepath.Join("Scripts", "python.exe")
	}
	if venv := getenv("VIRTUAL_ENV"); venv != "" {
		if p := filepath.Join(venv, bin); executable(p) {
			return []string{p}
		}
	}
	if script, err := exec.LookPath("ductor"); err == nil {
		if p := interpreter(script); strings.Contains(filepath.Base(p), "python") && executable(p) {
			return []string{p}
		}
	}
	if runtime.GOOS == "windows" {
		return []string{"py", "-3"}
	}
	return []string{"python3"}
}

func executable(path string) bool {
	_, err := exec.LookPath(path)
	return err == nil
}

// interpreter returns what a script is executed by, or "": the program of its
// first line, the one that env(1) is to find, or the one that pip has /bin/sh
// execute because its path is too long for that line or has a space in it.
func interpreter(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, _ := io.ReadFull(f, head)
	first, rest, _ := strings.Cut(string(head[:n]), "\n")
	line, ok := strings.CutPrefix(first, "#!")
	words := strings.Fields(line)
	if !ok || len(words) == 0 {
		return ""
	}
	switch filepath.Base(words[0]) {
	case "env":
		return envCommand(words[1:])
	case "sh":
		second, _, _ := strings.Cut(rest, "\n")
		return pipTarget(second)
	}
	return words[0]
}

// envCommand passes over what env(1) takes for itself.
func envCommand(words []string) string {
	for _, w := range words {
		if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
			return w
		}
	}
	return ""
}

// pipTarget reads a second line that is shell and Python at once: an exec,
// behind three quotes, of the interpreter, between two if it has a space.
func pipTarget(line string) string {
	target, ok := strings.CutPrefix(line, "'''exec' ")
	if !ok {
		return ""
	}
	end := " "
	if strings.HasPrefix(target, `"`) {
		target, end = target[1:], `"`
	}
	path, _, _ := strings.Cut(target, end)
	return path
}

// noSupervisor is the well-formed no of restart and stop.
func noSupervisor(name home.Name) error {
	return exitcode.Errorf(exitcode.No, "no supervisor of %q runs", name)
}
