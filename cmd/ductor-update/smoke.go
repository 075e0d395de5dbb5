package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"ductor/cmd/ductor-update/internal/installer"
)

// smokeTime is what one check may take: an import of a large bot takes seconds
// on a small machine.
const smokeTime = 30 * time.Second

// Checks, by their names in update.json. A version is held to those that the one
// before passes: what says nothing of a good version says nothing of a bad one.
const (
	checkImport  = "import"
	checkMain    = "main"    // python -m MODULE --version
	checkProgram = "program" // PROGRAM --version
)

// errUntested is no word against a version: the machine was too slow, or had no
// room.
var errUntested = errors.New("it could not be tested")

// defaultModule is what a package is imported by, if nobody says.
func defaultModule(pkg string) string {
	if pkg == "ductor" {
		return "ductor_bot"
	}
	return regexp.MustCompile(`[-.]+`).ReplaceAllString(pkg, "_")
}

// passed returns the checks that the installed version passes.
func (c *change) passed(ctx context.Context) []string {
	var all []string
	for _, check := range []string{checkImport, checkMain, checkProgram} {
		if check == checkProgram && c.Program == "" {
			continue
		}
		if c.smoke(ctx, check, c.Old) == nil {
			all = append(all, check)
		}
	}
	return all
}

// smoke runs one check in a fresh interpreter and an empty home: a program that
// knows no --version, and starts a bot instead, finds no configuration, and is
// ended.
func (c *change) smoke(ctx context.Context, check, version string) error {
	argv := map[string][]string{
		checkImport:  {c.Python, "-c", "import importlib, sys; importlib.import_module(sys.argv[1])", c.Module},
		checkMain:    {c.Python, "-m", c.Module, "--version"},
		checkProgram: {c.Program, "--version"},
	}[check]
	dir, err := os.MkdirTemp("", "ductor-update-")
	if err != nil {
		return fmt.Errorf("%w: %w", errUntested, err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(ctx, smokeTime)
	defer cancel()
	var out bytes.Buffer
	err = installer.Run(ctx, installer.Job{Argv: argv, Env: c.bareEnv(dir), Dir: dir, Mark: c.ID, Out: &limited{to: &out, left: 64 << 10}})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s %s: no answer in %s", errUntested, c.Pkg, version, smokeTime)
	case err != nil:
		return fmt.Errorf("%s %s: %s", c.Pkg, version, complaint(argv, err, out.String()))
	case check != checkImport && !says(out.String(), version):
		return fmt.Errorf("%s %s: asked for its version it says %q", c.Pkg, version, safe(firstLine(out.String())))
	}
	return nil
}

// bareEnv has what a Python needs to start, and no token.
func (c *change) bareEnv(dir string) []string {
	env := []string{"HOME=" + dir, "USERPROFILE=" + dir, "APPDATA=" + dir, "LOCALAPPDATA=" + dir, "DUCTOR_HOME=" + filepath.Join(dir, ".ductor"), "PYTHONDONTWRITEBYTECODE=1"}
	for _, k := range []string{"PATH", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SystemRoot", "LD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	if c.User {
		env = append(env, "PYTHONUSERBASE="+userBase(c.Packages))
	}
	return env
}

// userBase is what a user's site-packages are in: BASE/lib/pythonX.Y/…, or
// BASE\PythonXY\… on Windows.
func userBase(packages string) string {
	base := filepath.Dir(filepath.Dir(packages))
	if runtime.GOOS != "windows" {
		base = filepath.Dir(base)
	}
	return base
}

// complaint is the last line that a program says, as Python puts it there.
func complaint(argv []string, err error, out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return safe(last)
	}
	return installer.Why(argv, err)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

var word = regexp.MustCompile(`[0-9A-Za-z!+][0-9A-Za-z.!+_-]*`)

// says finds a version as a word, in any spelling: 2024.1.5 is also 2024.01.05,
// and 1.0 is not in 11.0 and not in 1.0.1.
func says(text, version string) bool {
	return slices.ContainsFunc(word.FindAllString(text, 100), func(w string) bool { return sameVersion(strings.TrimRight(w, ".-_"), version) })
}

// limited drops what is too much.
type limited struct {
	to   *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.to.Write(p[:n])
	l.left -= n
	return len(p), nil
}
