package mount

import (
	"os"
	"path/filepath"
)

// logins mounts what the CLIs keep in the user's home: as folders, because a
// file would go stale when it is replaced, and writable, because tokens rotate.
func (b *builder) logins() error {
	if err := b.login("claude", ".claude", "CLAUDE_CONFIG_DIR", b.Claude, ".credentials.json", claudeRuns); err != nil {
		return err
	}
	if err := b.login("codex", ".codex", "CODEX_HOME", b.Codex, "auth.json", codexRuns); err != nil {
		return err
	}
	if b.GOOS == "darwin" && b.plan.Auth["claude"] == "none" {
		b.plan.Auth["claude"] = "keychain"
		b.warn("Claude Code's login is in the keychain of macOS, which a container cannot reach: run `claude setup-token`, put what it prints into CLAUDE_CODE_OAUTH_TOKEN, and name that in env_pass")
	}
	return nil
}

func (b *builder) login(cli, name, variable, given, credentials string, runs []rule) error {
	b.plan.Auth[cli] = "none"
	dir := given
	if dir == "" {
		if b.UserHome == "" {
			return nil
		}
		dir = filepath.Join(b.UserHome, name)
	}
	p, err := b.disk.locate(dir)
	switch {
	case err != nil:
		return err
	case !p.isDir():
		if given != "" {
			b.warn("%s %q is not a folder: nothing is mounted for %s", variable, given, cli)
		}
		return nil
	}
	if err := b.refuseLogin(dir, p); err != nil {
		return err
	}
	b.put(Mount{Source: p.path, Target: homeInside + "/" + name})
	b.owned(p)
	b.guard(p, runs, true)
	if cli == "claude" && given != "" { // the host's Claude starts the servers that it names, and writes it all the time
		b.unprotected(filepath.Join(p.path, ".claude.json"))
	}
	if info, err := os.Lstat(filepath.Join(p.path, credentials)); err == nil && info.Mode().IsRegular() {
		b.plan.Auth[cli] = "dir"
	} else if err == nil {
		b.warn("%q is not a plain file: the login does not reach the container", filepath.Join(p.path, credentials))
	}
	return nil
}

// refuseLogin lets the container's own home be shared with the host.
func (b *builder) refuseLogin(dir string, p place) error {
	own, err := b.disk.locate(filepath.Join(b.Home, "sandbox", "home"))
	if err == nil && p.path != own.path && p.within(own) {
		return nil
	}
	if err := b.refuseEscape(dir, dir, p); err != nil {
		return err
	}
	return b.refuse(dir, p)
}
