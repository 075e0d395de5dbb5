//go:build unix

package path

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestNvm(t *testing.T) {
	all := []string{"v0.12.18", "v9.11.2", "v18.20.4", "v20.9.0", "v20.18.1", "v22.1.0", "v22.9.0", "v22.14.0", "v23.0.0"}
	tests := map[string]struct {
		aliases   map[string]string
		installed []string
		want      string
	}{
		"numbers, not letters":     {installed: []string{"v9.11.2", "v22.14.0"}, want: "v22.14.0"},
		"within a major":           {installed: []string{"v22.9.0", "v22.14.0", "v22.14.0-rc.1"}, want: "v22.14.0"},
		"no alias":                 {installed: all, want: "v23.0.0"},
		"node":                     {aliases: map[string]string{"default": "node"}, installed: all, want: "v23.0.0"},
		"stable":                   {aliases: map[string]string{"default": "stable"}, installed: all, want: "v23.0.0"},
		"system":                   {aliases: map[string]string{"default": "system"}, installed: all},
		"system by an alias":       {aliases: map[string]string{"default": "mine", "mine": "system"}, installed: all},
		"major":                    {aliases: map[string]string{"default": "22\n"}, installed: all, want: "v22.14.0"},
		"major and minor":          {aliases: map[string]string{"default": "v22.1"}, installed: all, want: "v22.1.0"},
		"0.12":                     {aliases: map[string]string{"default": "0.12"}, installed: all, want: "v0.12.18"},
		"exact":                    {aliases: map[string]string{"default": "v20.9.0"}, installed: all, want: "v20.9.0"},
		"spaces and comments":      {aliases: map[string]string{"default": "\r\n# mine\n  v20.9.0\t# for the bot\r\nv22.14.0\n"}, installed: all, want: "v20.9.0"},
		"lts/*":                    {aliases: map[string]string{"default": "lts/*", "lts/*": "lts/jod", "lts/jod": "v22.14.0"}, installed: all, want: "v22.14.0"},
		"lts/name":                 {aliases: map[string]string{"default": "lts/iron", "lts/iron": "v20.18.1"}, installed: all, want: "v20.18.1"},
		"lts that is newer":        {aliases: map[string]string{"default": "lts/*", "lts/*": "lts/jod", "lts/jod": "v22.99.1"}, installed: all, want: "v22.14.0"},
		"lts without a file":       {aliases: map[string]string{"default": "lts/*"}, installed: all, want: "v23.0.0"},
		"the default went":         {aliases: map[string]string{"default": "16"}, installed: all, want: "v23.0.0"},
		"less than asked for":      {aliases: map[string]string{"default": "22.1"}, installed: []string{"v22", "v21.0.0"}, want: "v22"},
		"no major by its letters":  {aliases: map[string]string{"default": "2"}, installed: all, want: "v23.0.0"},
		"chain":                    {aliases: map[string]string{"default": "a", "a": "b", "b": "c", "c": "20"}, installed: all, want: "v20.18.1"},
		"loop":                     {aliases: map[string]string{"default": "a", "a": "b", "b": "a"}, installed: all, want: "v23.0.0"},
		"alias of itself":          {aliases: map[string]string{"default": "default"}, installed: all, want: "v23.0.0"},
		"out of the folder":        {aliases: map[string]string{"default": "../../outside"}, installed: all, want: "v23.0.0"},
		"empty":                    {aliases: map[string]string{"default": "\n\n"}, installed: all, want: "v23.0.0"},
		"binary":                   {aliases: map[string]string{"default": "\x00\xff\x7fELF"}, installed: all, want: "v23.0.0"},
		"huge":                     {aliases: map[string]string{"default": "v20.9.0\n" + strings.Repeat(" ", 1<<20)}, installed: all, want: "v23.0.0"},
		"a number out of bounds":   {aliases: map[string]string{"default": "99999999999999999999"}, installed: all, want: "v23.0.0"},
		"nothing is installed":     {aliases: map[string]string{"default": "22"}},
		"folders that are nothing": {installed: []string{"v", "22.1.0", "v22.x", "node", "v1.-2.0", "v+1", ".v1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.file("outside", "v20.9.0", 0o644)
			for _, v := range test.installed {
				u.has(".nvm/versions/node/" + v + "/bin/node")
			}
			for name, text := range test.aliases {
				u.file(".nvm/alias/"+name, text, 0o644)
			}
			want := ""
			if test.want != "" {
				want = ".nvm/versions/node/" + test.want + "/bin"
			}
			u.wants(want)
		})
	}
}

// TestNvmFollowsUpgrades: each start looks anew.
func TestNvmFollowsUpgrades(t *testing.T) {
	u := newUser(t)
	dir := func(v string) string { return ".nvm/versions/node/" + v + "/bin" }
	u.file(".nvm/alias/default", "lts/*\n", 0o644)
	u.file(".nvm/alias/lts/*", "lts/jod\n", 0o644)
	u.file(".nvm/alias/lts/jod", "v22.9.0\n", 0o644)
	u.has(dir("v22.9.0") + "/node")
	u.wants(dir("v22.9.0"))

	u.has(dir("v22.14.0") + "/node")
	u.file(".nvm/alias/lts/jod", "v22.14.0\n", 0o644)
	u.wants(dir("v22.14.0"))

	// An install that broke off has a folder, and no node.
	u.has(dir("v22.15.0") + "/npm")
	u.file(".nvm/alias/lts/jod", "v22.15.0\n", 0o644)
	u.wants(dir("v22.14.0"))

	if err := os.RemoveAll(u.path(".nvm/versions/node/v22.14.0")); err != nil {
		t.Fatal(err)
	}
	u.wants(dir("v22.9.0"))
}

// TestNoVersion: what lies in the folder of versions is none.
func TestNoVersion(t *testing.T) {
	u := newUser(t)
	u.has(".nvm/versions/node/bin/node", ".nvm/versions/node/v22.0.0/bin/node")
	u.wants(".nvm/versions/node/v22.0.0/bin")
	u.file(".nvm/alias/default", "system", 0o644)
	u.wants()
}

// TestNothingWaits: a pipe would keep whoever opens it waiting for a writer.
func TestNothingWaits(t *testing.T) {
	for _, p := range []string{".nvm/alias/default", ".nvm/alias", ".nvm/versions/node/v22.0.0/bin/node", ".nvm/versions/node", ".volta/bin", ".local/bin"} {
		t.Run(p, func(t *testing.T) {
			u := newUser(t)
			if err := errors.Join(os.MkdirAll(filepath.Dir(u.path(p)), 0o755), syscall.Mkfifo(u.path(p), 0o755)); err != nil {
				t.Fatal(err)
			}
			want := ""
			if strings.Contains(p, "alias") {
				u.has(".nvm/versions/node/v1.0.0/bin/node")
				want = ".nvm/versions/node/v1.0.0/bin"
			}
			u.wants(want)
		})
	}
}

// TestOddAliases are no files, or cannot be read.
func TestOddAliases(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"folder":     func(p string) error { return os.MkdirAll(p, 0o755) },
		"dead link":  func(p string) error { return os.Symlink("gone", p) },
		"link loop":  func(p string) error { return os.Symlink(filepath.Base(p), p) },
		"device":     func(p string) error { return os.Symlink("/dev/zero", p) },
		"unreadable": func(p string) error { return os.WriteFile(p, nil, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.has(".nvm/versions/node/v1.0.0/bin/node", ".nvm/alias/other")
			if err := make(u.path(".nvm/alias/default")); err != nil {
				t.Fatal(err)
			}
			u.wants(".nvm/versions/node/v1.0.0/bin")
		})
	}
}

// FuzzAlias: whatever stands in alias files, the answer is an installed version,
// or none for the system's; and it is the version asked for, if that is there.
func FuzzAlias(f *testing.F) {
	for _, s := range []string{"", "node", "stable", "system", "22", "v22.14.0", "lts/*", "a", "b", "default", "..", "../x", "/dev/zero", "\x00", "v", "-1", "9.", ".9",
		"99999999999999999999", "22 # x"} {
		f.Add(s, "lts/jod", "v22.9.0")
		f.Add("a", s, "b")
	}
	names := []string{"v9.11.2", "v22.9.0", "v22.14.0"}
	var have []version
	for _, n := range names {
		have = append(have, version{n, numbers(n)})
	}
	f.Fuzz(func(t *testing.T, byDefault, a, b string) {
		files := map[string]string{"default": byDefault, "lts/*": a, "a": a, "lts/jod": b, "b": b}
		word := follow(func(name string) string { return files[name] }, "default")
		if _, more := files[word]; more && files[word] != "" {
			t.Fatalf("%q is an alias", word)
		}
		got := choose(word, have).name
		want := "v22.14.0"
		switch n := numbers(word); {
		case word == "system":
			want = ""
		case len(n) > 0 && n[0] == 9:
			want = "v9.11.2"
		case len(n) > 1 && n[0] == 22 && n[1] == 9:
			want = "v22.9.0"
		}
		if got != want {
			t.Errorf("%q leads to %q, and that to %q, not %q", files, word, got, want)
		}
	})
}

// FuzzAliasFile: what a file says is one line without what surrounds it, and
// no name leads out of the folder.
func FuzzAliasFile(f *testing.F) {
	for _, s := range []string{"node\n", "# x\nnode", "\r\n\tv1 # x\r\n", "../../outside", "\x00", strings.Repeat("x", maxAlias+1)} {
		f.Add(s, "default")
		f.Add("v1", s)
	}
	root := f.TempDir()
	path := filepath.Join(root, "alias", "default")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(filepath.Join(root, "outside"), []byte("out"), 0o644)); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		got := alias(root, "default")
		if strings.ContainsAny(got, "\n#") || got != strings.TrimSpace(got) || !strings.Contains(text, got) || len(text) > maxAlias && got != "" {
			t.Errorf("%q says %q", text, got)
		}
		if out := alias(root, name); out != "" && out != got {
			t.Errorf("%q leads to %q", name, out)
		}
	})
}
