package main

import (
	"context"
	"os"
	"strings"

	"ductor/cmd/ductor-update/internal/index"
	"ductor/cmd/ductor-update/internal/install"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// asker asks for the version of one package, again and again.
type asker struct {
	flags  askFlags
	in     install.Install
	client *index.Client
	repo   *index.Repo   // in place of the index
	config *index.Config // of the index
}

func (f askFlags) asker(std *cli.IO) (*asker, error) {
	a := &asker{flags: f, client: newClient(std)}
	var err error
	if a.in, err = f.find(std); err != nil {
		return nil, err
	}
	switch {
	case f.Source == "pypi":
		cfg, err := index.Discover(f.settings(std, a.in))
		if err != nil {
			return nil, err
		}
		a.config = &cfg
	case f.Index != "":
		return nil, exitcode.Errorf(exitcode.Usage, "--index is for --source=pypi")
	case strings.HasPrefix(f.Source, "github:"):
		repo, err := index.ParseRepo(f.Source)
		if err != nil {
			return nil, err
		}
		a.repo = &repo
	default:
		return nil, exitcode.Errorf(exitcode.Usage, "--source=%q: is neither pypi nor github:OWNER/REPO", f.Source)
	}
	return a, nil
}

// settings are those of the installer that would be run.
func (f askFlags) settings(std *cli.IO, in install.Install) index.Settings {
	s := index.Settings{Kind: index.Pip, Index: f.Index, Prefix: in.Prefix, Getenv: std.Getenv}
	switch in.Mode {
	case install.Pipx:
		s.Kind = index.Pipx
	case install.UvTool, install.UvPip:
		s.Kind = index.UV
	}
	s.Home, _ = os.UserHomeDir() // without one there are no files of the user's
	if in.Sources.Index != "" {
		s.Args = append(s.Args, "--index-url", in.Sources.Index)
	}
	for _, e := range in.Sources.Extra {
		s.Args = append(s.Args, "--extra-index-url", e)
	}
	if in.Sources.NoIndex {
		s.Args = append(s.Args, "--no-index")
	}
	if in.Sources.Pre {
		s.Args = append(s.Args, "--pre")
	}
	return s
}

// unknownVersion is what an install has whose version cannot be read.
const unknownVersion = "0.0.0"

func (a *asker) ask(ctx context.Context, validator string) (index.Answer, error) {
	q := index.Query{Package: a.flags.Package, Python: a.in.PythonVersion, Pre: a.flags.Pre, Validator: validator}
	if a.in.Version != unknownVersion {
		q.Installed = a.in.Version
	}
	if a.repo != nil {
		return a.client.AskGitHub(ctx, *a.repo, q)
	}
	return a.client.Ask(ctx, *a.config, q)
}
