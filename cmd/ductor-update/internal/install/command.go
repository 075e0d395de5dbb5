package install

import (
	"ductor/internal/common/exitcode"
)

// Command is a program to run, as data.
type Command struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env,omitempty"` // K=V, to be added to the environment
}

// Upgrade is the command that brings the newest version. It works in the bare
// environment of a service. Errors: the install cannot be upgraded (78), or its
// installer is not there (69).
//
// PIPX_HOME says the same as pipx's --global, which old versions do not know;
// --force only lets pipx replace what it exposed before.
func (in Install) Upgrade() (Command, error) {
	if err := in.can(); err != nil {
		return Command{}, err
	}
	switch in.Mode {
	case Pipx:
		argv := []string{in.Installer, "upgrade", "--force"}
		if in.inject {
			argv = append(argv, "--include-injected")
		}
		return in.tool("pipx", append(argv, in.Tool))
	case UvTool:
		return in.tool("uv", []string{in.Installer, "tool", "upgrade", in.Tool})
	case UvPip:
		return in.tool("uv", []string{in.Installer, "pip", "install", "--python", in.Python, "--upgrade",
			"--refresh-package", in.Package, in.Package})
	}
	return Command{Argv: append(in.pip("--upgrade"), in.Package)}, nil
}

// Exact is the command that brings one version into the environment, for
// upgrades to a version and for the way back. It goes by pip or uv pip in every
// mode: `pipx install` and `uv tool install` of one version would leave a pin
// behind, which later upgrades obey. Errors are those of Upgrade, and a string
// that is no version (64).
func (in Install) Exact(version string) (Command, error) {
	if !isVersion(version) {
		return Command{}, exitcode.Errorf(exitcode.Usage, "%q is no version", version)
	}
	if err := in.can(); err != nil {
		return Command{}, err
	}
	want := in.Package + "==" + version
	if in.hasPip {
		return Command{Argv: append(in.pip(), want)}, nil
	}
	uv := in
	if in.Mode == Pipx { // an environment of pipx's uv back end
		uv.Installer = in.uv
	}
	return uv.tool("uv", []string{uv.Installer, "pip", "install", "--python", in.Python, "--refresh-package", in.Package, want})
}

func (in Install) can() error {
	if in.Upgradeable {
		return nil
	}
	return exitcode.Errorf(exitcode.Config, "%q cannot be upgraded: %s", in.Package, in.Reason).WithHint("%s", in.Fix)
}

func (in Install) tool(name string, argv []string) (Command, error) {
	if argv[0] == "" {
		return Command{}, exitcode.Errorf(exitcode.Unavailable, "%s is not on PATH, and it is what %q was installed with", name, in.Package).
			WithHint("install %s, or add its folder to PATH", name)
	}
	return Command{Argv: argv, Env: in.env}, nil
}

func (in Install) pip(more ...string) []string {
	argv := append([]string{in.Python, "-m", "pip", "install"}, more...)
	if in.User {
		argv = append(argv, "--user")
	}
	return append(argv, "--no-cache-dir", "--disable-pip-version-check", "--no-input")
}
