package install

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ductor/internal/common/exitcode"
)

// Frozen lists what lies in a folder of packages, as name==version, sorted: what
// `pip freeze` would say, without Python. What has no readable version is left
// out, because nobody could install it by that.
func Frozen(sitePackages string) []string {
	var all []string
	for _, name := range listNames(sitePackages) {
		stem, ok := strings.CutSuffix(name, ".dist-info")
		if !ok || strings.HasPrefix(name, "~") {
			continue
		}
		head, err := readHead(filepath.Join(sitePackages, name, "METADATA"), maxHeader)
		pkg, version := parseMetadata(head)
		if _, derr := os.Lstat(filepath.Join(sitePackages, name, "direct_url.json")); derr == nil {
			continue
		}
		if err == nil && pkg != "" && version != "" && mayBe(stem+".dist-info", pkg) {
			all = append(all, Spec(pkg, version))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Spec names one version of a package, as Frozen does.
func Spec(pkg, version string) string { return normal(pkg) + "==" + version }

// Undo is the command that puts back versions, which the caller appends to Argv
// as name==version. It looks at no dependency: the caller names them all. Errors
// are those of Upgrade.
func (in Install) Undo() (Command, error) {
	if err := in.can(); err != nil {
		return Command{}, err
	}
	if in.hasPip {
		return Command{Argv: in.pip("--no-deps", "--force-reinstall")}, nil
	}
	uv := in
	if in.Mode == Pipx {
		uv.Installer = in.uv
	}
	return uv.tool("uv", []string{uv.Installer, "pip", "install", "--python", in.Python, "--no-deps", "--reinstall", "--refresh"})
}

// Parts are what an installer changes in the environment, relative to Prefix. It
// is nil where the environment is not the package's own: other programs of the
// system or of the user may live in it.
func (in Install) Parts() []string {
	packages, err := filepath.Rel(in.Prefix, in.SitePackages)
	if in.User || !slices.Contains([]Mode{Pipx, UvTool, Venv, UvPip}, in.Mode) || err != nil || !filepath.IsLocal(packages) || packages == "." {
		return nil
	}
	bin := "bin"
	if strings.EqualFold(strings.Split(filepath.ToSlash(packages), "/")[0], "Lib") && !strings.Contains(filepath.ToSlash(packages), "/python") {
		bin = "Scripts" // the layout of Windows
	}
	return []string{packages, bin, "pipx_metadata.json", "uv-receipt.toml"}
}

// Writable checks that the user may change what an installer would. Errors:
// NoPerm.
func (in Install) Writable() error {
	folders := []string{in.SitePackages}
	if parts := in.Parts(); parts != nil { // they are replaced as a whole
		folders = append(folders, in.Prefix)
		for _, p := range parts[:2] {
			folders = append(folders, filepath.Join(in.Prefix, p), filepath.Dir(filepath.Join(in.Prefix, p)))
		}
	}
	for _, dir := range folders {
		if _, err := os.Stat(dir); dir != "" && err == nil && !writable(dir) {
			return exitcode.Errorf(exitcode.NoPerm, "%q is not yours to change", dir).
				WithHint("run it as the user who installed %s", in.Package)
		}
	}
	return nil
}
