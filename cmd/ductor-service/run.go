package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"ductor/cmd/ductor-service/internal/backend"
	"ductor/cmd/ductor-service/internal/path"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// Run makes PATH anew, because version managers move what it leads to, and
// becomes the command: no process stays between.
func (c *runCmd) Run(std *cli.IO) error {
	for _, e := range c.Env {
		k, v, _ := strings.Cut(e, "=")
		if err := os.Setenv(k, v); err != nil {
			return err
		}
	}
	words := c.Command.Words()
	if len(words) == 0 {
		return exitcode.Errorf(exitcode.Usage, "there is no command")
	}
	if std.Getenv("DUCTOR_SERVICE") == "launchd" {
		if err := backend.TrimLogs(os.Stdout, os.Stderr); err != nil {
			cli.Warn(std, "%v", err)
		}
	}
	if err := os.Setenv("PATH", recipe(std, words[0]).Path()); err != nil {
		return err
	}
	program, err := exec.LookPath(words[0])
	switch {
	case errors.Is(err, exec.ErrDot): // as every shell, it runs what has a slash
	case isNoProgram(err):
		return exitcode.Errorf(exitcode.CannotExec, "%q cannot be executed", words[0])
	case err != nil:
		return exitcode.Errorf(exitcode.NotFound, "%q cannot be found", words[0])
	}
	return become(program, words)
}

// isNoProgram reports whether LookPath found something, but nothing to execute.
func isNoProgram(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EISDIR)
}

// recipe is what PATH is made of; what it was comes last.
func recipe(std *cli.IO, program string) path.Recipe {
	user, _ := os.UserHomeDir() // without one there are no version managers
	r := path.Recipe{Home: user, Getenv: std.Getenv, GOOS: runtime.GOOS, Caller: std.Getenv("PATH"), Keep: true}
	for _, p := range []string{runner(), program} {
		if filepath.IsAbs(p) {
			r.Own = append(r.Own, filepath.Dir(p))
		}
	}
	return r
}
