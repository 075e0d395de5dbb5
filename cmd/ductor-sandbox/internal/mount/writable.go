package mount

import (
	"path"
	"path/filepath"

	"ductor/internal/common/exitcode"
)

// writable is what was named below the home.
func (b *builder) writable() error {
	for _, w := range b.Writable {
		lexical, p, err := b.below(w)
		if err != nil {
			return err
		}
		if err := b.refuseEscape(w, lexical, p); err != nil {
			return err
		}
		if rel, ok := below(p.path, b.work.path); ok {
			if rel != "." {
				b.listed = append(b.listed, p.path)
			}
			continue // it is writable already
		}
		b.listed = append(b.listed, p.path)
		if rel, ok := below(p.path, b.home.path); ok && p.exists() {
			b.put(Mount{Source: p.path, Target: path.Join(homeAlias, rel)})
			b.owned(p)
		}
		if p.exists() && !p.isDir() {
			b.warn("%q is a file: a program that replaces it by rename fails inside, and outside it cuts the connection; name its folder", w)
		}
	}
	return nil
}

// below resolves a writable path and refuses what is not the home's to give.
func (b *builder) below(w string) (lexical string, p place, err error) {
	if err := checkPath("writable path", w); err != nil {
		return "", p, err
	}
	if lexical = filepath.Clean(w); !filepath.IsAbs(lexical) {
		lexical = filepath.Join(b.Home, w)
	}
	if p, err = b.need(lexical); err != nil {
		return "", p, err
	}
	refused := func(why string) *exitcode.Error {
		return exitcode.Errorf(exitcode.NoPerm, "make %q writable: %s", w, why).WithID("mount_refused")
	}
	if b.home.within(p) {
		return "", p, refused("it holds the home folder")
	}
	if _, named := below(p.path, b.home.path); !p.within(b.work) && !(p.within(b.home) && named) {
		return "", p, refused("it is not below the home folder").WithHint("--mount PATH is for other folders")
	}
	for _, name := range hidden {
		if h, err := b.disk.locate(filepath.Join(b.Home, name)); err != nil || p.within(h) || h.within(p) {
			return "", p, refused("it is in " + name + "/, or holds it")
		}
	}
	return lexical, p, nil
}

// refuseEscape: below what the container may write a link is the agent's, and
// must not lead out.
func (b *builder) refuseEscape(given, lexical string, p place) error {
	roots := append([]string{workspace}, b.Writable...)
	for _, e := range b.Extra {
		if !e.ReadOnly {
			roots = append(roots, e.Path)
		}
	}
	for _, root := range roots {
		if !filepath.IsAbs(root) {
			root = filepath.Join(b.Home, root)
		}
		o, err := b.disk.locate(root)
		if err != nil {
			return err
		}
		if _, in := below(lexical, filepath.Clean(root)); in && !p.within(o) {
			return exitcode.Errorf(exitcode.NoPerm, "mount %q: a symbolic link leads out of %q, which the container may write", given, root).WithID("mount_refused")
		}
	}
	return nil
}
