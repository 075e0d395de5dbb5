//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// updateRounds are few, because pip and pipx take their time.
const updateRounds = 25

// installed is the bot as one installer left it, and what is measured there.
type installed struct {
	name      string // of the installer
	version   string // such as "pip 23.0"
	env       []string
	ask, mode []contender
	err       error
}

// update is what it costs to hear of a new version, and to know how a bot was
// installed, beside what pip and pipx have for that.
func (b *bench) update() []section {
	ask := section{what: "ask for the newest version", unit: "ms", digits: 1, ref: "pip index versions",
		note: fmt.Sprintf("of %d versions, on an index on this machine; the newest is installed", releases)}
	mode := section{what: "how it is installed", unit: "ms", digits: 2, ref: "pip show", budget: fixed("≤ 10 ms", 10)}
	index, stop, err := serveIndex()
	if err != nil {
		ask.rows = []row{{name: "index", err: err}}
		return []section{ask}
	}
	defer stop()
	var asking, looking []contender
	for _, i := range []installed{b.byPip(index), b.byPipx(index)} {
		switch {
		case i.err != nil:
			ask.rows = append(ask.rows, row{name: i.name, err: i.err})
		case len(i.ask) > 0:
			asking, looking = append(asking, i.ask...), append(looking, i.mode...)
			ask.note += "; " + i.version
		}
	}
	ask.rows = append(ask.rows, b.compare(updateRounds, asking)...)
	mode.rows = b.compare(updateRounds, looking)
	return []section{ask, mode, b.startedBy(append(asking, looking...))}
}

// byPip installs the bot in a venv.
func (b *bench) byPip(index string) (i installed) {
	i.name = "pip"
	python := b.find("python3")
	if python == "" {
		return i
	}
	dir := b.folder("venv")
	bin := filepath.Join(dir, "bin")
	pip := filepath.Join(bin, "pip")
	i.env = b.pythonEnv(index, bin)
	i.version, i.err = b.setUp(i.env, []string{python, "-m", "venv", dir}, []string{pip, "install", "ductor"}, []string{pip, "--version"})
	i.version, _, _ = strings.Cut(i.version, " from ") // a path that means nothing
	i.ask = []contender{
		{"ductor-update check, pip", true, []string{b.helper("ductor-update"), "check"}, i.env},
		{"pip index versions", false, []string{pip, "index", "versions", "ductor"}, i.env},
	}
	i.mode = []contender{
		{"ductor-update mode, pip", true, []string{b.helper("ductor-update"), "mode"}, i.env},
		{"pip show", false, []string{pip, "show", "ductor"}, i.env},
		{"python -c pass", false, []string{filepath.Join(bin, "python"), "-c", "pass"}, i.env},
	}
	return i
}

// byPipx installs it with pipx, which cannot only ask (1.1 has no list
// --outdated): what it has is an upgrade of what is up to date, and its pip.
func (b *bench) byPipx(index string) (i installed) {
	i.name = "pipx"
	pipx := b.find("pipx")
	if pipx == "" {
		return i
	}
	dir := b.folder("pipx")
	bin := filepath.Join(dir, "bin")
	i.env = append(b.pythonEnv(index, bin), "PIPX_HOME="+dir, "PIPX_BIN_DIR="+bin)
	i.version, i.err = b.setUp(i.env, []string{pipx, "install", "ductor"}, []string{pipx, "upgrade", "ductor"}, []string{pipx, "--version"})
	i.version = "pipx " + i.version
	i.ask = []contender{
		{"ductor-update check, pipx", true, []string{b.helper("ductor-update"), "check"}, i.env},
		{"pipx upgrade", false, []string{pipx, "upgrade", "ductor"}, i.env},
		{"pipx runpip index versions", false, []string{pipx, "runpip", "ductor", "index", "versions", "ductor"}, i.env},
	}
	i.mode = []contender{
		{"ductor-update mode, pipx", true, []string{b.helper("ductor-update"), "mode"}, i.env},
		{"pipx list", false, []string{pipx, "list"}, i.env},
	}
	return i
}

// pythonEnv keeps pip to the index and the temporary folder. bin has the bot's
// command and comes first: the machine may have a bot of its own. Two things are
// left out in pip's favour: it asks now and then for a newer pip, and runs rustc,
// if it finds one, to tell the index its version.
func (b *bench) pythonEnv(index, bin string) []string {
	return []string{"PATH=" + bin + ":/usr/bin:/bin", "TMPDIR=" + b.tmp, "PIP_INDEX_URL=" + index,
		"PIP_CONFIG_FILE=" + os.DevNull, "PIP_DISABLE_PIP_VERSION_CHECK=1"}
}

// setUp runs commands to their ends, and returns the last line of the last.
func (b *bench) setUp(env []string, commands ...[]string) (words string, err error) {
	for _, argv := range commands {
		said, _ := b.log.Seek(0, io.SeekEnd)
		_, err = b.timeRun(spec{argv: argv, env: env})
		if words = b.lastWords(said); err != nil {
			return words, fmt.Errorf("%w; it said %q", err, words)
		}
	}
	return words, nil
}

// startedBy counts the programs that each starts, itself included: with one of
// ours, no Python can be among them.
func (b *bench) startedBy(all []contender) section {
	s := section{what: "programs started", budget: fixed("exactly 1", 1)}
	strace := b.find("strace")
	if strace == "" {
		s.note = "not counted, for want of strace"
		return s
	}
	for _, c := range all {
		r := row{name: c.name, ours: c.ours}
		n, err := b.count(strace, c)
		if r.err = err; err == nil {
			r.values = []float64{float64(n)}
		}
		s.rows = append(s.rows, r)
	}
	return s
}

// count counts the calls of execve that succeeded. Each process has a file of
// its own, so that no call is cut in two by another.
func (b *bench) count(strace string, c contender) (n int, err error) {
	trace := filepath.Join(b.folder("strace"), "of")
	argv := append([]string{strace, "-ff", "-e", "trace=execve,execveat", "-o", trace, "--"}, c.argv...)
	if _, err := b.setUp(c.env, argv); err != nil {
		return 0, err
	}
	files, err := filepath.Glob(trace + ".*")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "execve") && strings.HasSuffix(line, " = 0\n") {
				n++
			}
		}
	}
	if n == 0 {
		err = errors.Join(err, errors.New("strace saw nothing start"))
	}
	return n, err
}
