// Package install finds out how a Python program was installed, by reading
// files: no Python is started, nothing is written, and no file can make it wait.
//
// Strings in an Install come from files that anybody may have written: print
// them quoted.
package install

import (
	"runtime"

	"ductor/internal/common/exitcode"
)

// Mode says what put the package there.
type Mode string

// The modes of ductor-update(1), in the order in which they are looked for; but
// venv, pip and uv-pip depend on what the environment can run.
const (
	Docker    Mode = "docker"
	None      Mode = "none"  // no such program, or not installed for that interpreter
	Dev       Mode = "dev"   // a source tree: editable, or never installed
	Local     Mode = "local" // from a file or folder, which an index knows nothing of
	VCS       Mode = "vcs"
	Pipx      Mode = "pipx"
	UvTool    Mode = "uv-tool"
	Uvx       Mode = "uvx" // an environment that uv or pipx made for one run
	Conda     Mode = "conda"
	Distro    Mode = "distro" // apt, dnf, Homebrew, Nix, snap …
	Venv      Mode = "venv"   // has pip
	UvPip     Mode = "uv-pip" // an environment without pip, and uv is there
	Managed   Mode = "externally-managed"
	PlainPip  Mode = "pip"
	noVersion      = "0.0.0"
)

// Class is what bots knew before there were modes. They refuse to upgrade
// nothing but dev, so that every mode that cannot be upgraded has that class.
type Class string

// The classes of the Python original.
const (
	ClassPipx Class = "pipx"
	ClassPip  Class = "pip"
	ClassDev  Class = "dev"
)

// Query says what to look for.
type Query struct {
	Package string // the name on the index
	Program string // its script, a name or a path; "" is Package
	Python  string // an interpreter, in place of the one that the script names
	Getenv  func(string) string
	GOOS    string // "" is the system that we run on
	Root    string // in place of / where the system itself is looked at: for tests
}

// Install is what was found.
type Install struct {
	Mode        Mode   `json:"mode"`
	Class       Class  `json:"class"`
	Upgradeable bool   `json:"upgradeable"`
	Reason      string `json:"reason,omitempty"` // why it is not, or what will keep an upgrade from having an effect
	Fix         string `json:"fix,omitempty"`    // what to type instead

	Package       string `json:"package"`
	Version       string `json:"version"`                  // "0.0.0" when unknown
	Program       string `json:"program,omitempty"`        // the script, as PATH leads to it
	Python        string `json:"python,omitempty"`         // the interpreter, not resolved: a venv's is a link
	PythonVersion string `json:"python_version,omitempty"` // 3.11.2, or 3.11 where no file has more
	Prefix        string `json:"prefix,omitempty"`         // sys.prefix
	SitePackages  string `json:"site_packages,omitempty"`
	DistInfo      string `json:"dist_info,omitempty"`
	Source        string `json:"source,omitempty"` // URL of a direct install, without a password
	User          bool   `json:"user,omitempty"`   // pip install --user
	Global        bool   `json:"global,omitempty"` // pipx install --global

	Pinned    bool     `json:"pinned,omitempty"`    // the installer would say "done" and change nothing
	Specifier string   `json:"specifier,omitempty"` // what was asked for, such as <2: an upgrade stays in it
	Injected  []string `json:"injected,omitempty"`  // packages that the user added to a pipx environment
	Suffix    string   `json:"suffix,omitempty"`    // of the name that pipx knows it by
	Tool      string   `json:"tool,omitempty"`      // the name that pipx or uv tool knows it by
	Warnings  []string `json:"warnings,omitempty"`  // files that could not be understood
	Installer string   `json:"installer,omitempty"` // path of pipx or uv; absent when it was not found, and for pip

	// Sources are the index settings that pipx or uv recorded and will use
	// again. They may hold passwords, and are never printed.
	Sources Sources `json:"-"`

	env    []string // for the installer; see Command
	hasPip bool     // the environment can run pip
	inject bool     // the package itself is an injected one
	uv     string   // path of uv, in an environment of pipx without pip
}

// Sources are recorded settings of an installer.
type Sources struct {
	Index   string
	Extra   []string
	NoIndex bool
	Pre     bool // pre-releases were asked for
}

// Find looks for the package. What is not there or cannot be upgraded is no
// error but a mode with a reason; errors are a malformed name (64) and an
// explicit interpreter that is not there (69).
func Find(q Query) (Install, error) {
	if !isName(q.Package) {
		return Install{}, exitcode.Errorf(exitcode.Usage, "%q is no name of a package", q.Package)
	}
	if q.Program == "" {
		q.Program = q.Package
	}
	if q.GOOS == "" {
		q.GOOS = runtime.GOOS
	}
	f := &finder{Query: q, in: Install{Package: q.Package, Version: noVersion}}
	if err := f.locate(); err != nil {
		return Install{}, err
	}
	f.describe()
	f.in.Class = f.in.class()
	return f.in, nil
}

func (in *Install) class() Class {
	switch {
	case !in.Upgradeable:
		return ClassDev
	case in.Mode == Pipx:
		return ClassPipx
	}
	return ClassPip
}

// Version reads the version from the disk once more: after an upgrade this is
// the truth, whatever the installer said. "0.0.0" is what cannot be told, a torn
// METADATA included.
func Version(in Install) string {
	if in.SitePackages == "" {
		return noVersion
	}
	d, ok := findDist(in.SitePackages, in.Package)
	if !ok {
		return noVersion
	}
	return d.version
}
