package mount

import (
	"path/filepath"

	"ductor/internal/common/exitcode"
)

// base is the home, the workspace and the container's own home.
func (b *builder) base() (err error) {
	b.forbid()
	if b.home, err = b.folder(b.Home); err != nil {
		return err
	}
	if err := b.refuseHome(); err != nil {
		return err
	}
	if b.work, err = b.folder(filepath.Join(b.Home, workspace)); err != nil {
		return err
	}
	if err := b.refuseWorkspace(); err != nil {
		return err
	}
	node, err := b.folder(filepath.Join(b.Home, "sandbox", "home"))
	if err != nil {
		return err
	}
	b.put(Mount{Source: b.home.path, Target: homeAlias, ReadOnly: true})
	b.put(Mount{Source: node.path, Target: homeInside})
	b.owned(b.work, node)
	b.plan.WorkDir = homeAlias + "/" + workspace
	b.put(Mount{Source: b.work.path, Target: b.plan.WorkDir})
	if b.GOOS != "windows" {
		b.put(Mount{Source: b.work.path, Target: filepath.Join(b.Home, workspace)})
		b.put(Mount{Source: b.work.path, Target: b.work.path})
		b.plan.WorkDir = b.work.path // what getcwd says on the host
	}
	b.guard(b.work, project, b.work.path == filepath.Join(b.home.path, workspace)) // not what a link leads to
	return nil
}

// refuseHome: all of a home can be read inside.
func (b *builder) refuseHome() error {
	if filepath.Dir(b.home.path) == b.home.path {
		return exitcode.Errorf(exitcode.NoPerm, "mount the home folder %q: it is the root of a file system", b.Home).WithID("mount_refused")
	}
	if b.UserHome == "" || b.Dangerous {
		return nil
	}
	if user, err := b.disk.locate(b.UserHome); err != nil || !user.within(b.home) {
		return err
	}
	return exitcode.Errorf(exitcode.NoPerm, "mount the home folder %q: it holds the user's home %q", b.Home, b.UserHome).
		WithID("mount_refused").WithHint("let DUCTOR_HOME be a folder of its own")
}

// refuseWorkspace looks where a link leads, and at what lies in the workspace:
// it is writable as a whole.
func (b *builder) refuseWorkspace() error {
	given := filepath.Join(b.Home, workspace)
	if b.work.path != filepath.Join(b.home.path, workspace) {
		if err := b.refuse(given, b.work); err != nil {
			return err
		}
	}
	for _, name := range hidden {
		p, err := b.folder(filepath.Join(b.Home, name)) // what is not there cannot be hidden
		switch {
		case err != nil:
			return err
		case p.within(b.work) || b.home.within(b.work):
			return exitcode.Errorf(exitcode.NoPerm, "mount %q: it holds %q", given, p.path).WithID("mount_refused")
		}
	}
	return nil
}
