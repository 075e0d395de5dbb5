//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// program makes an executable file with this text.
func program(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPythonOrder: each stage is tried with all later ones there.
func TestPythonOrder(t *testing.T) {
	t.Setenv("DUCTOR_HOME", t.TempDir())
	dir, path := t.TempDir(), t.TempDir()
	t.Setenv("PATH", path)
	venv := filepath.Join(dir, "venv")
	env := map[string]string{}
	want := func(what string, words ...string) {
		t.Helper()
		if got := python(func(key string) string { return env[key] }); !slices.Equal(got, words) {
			t.Errorf("%s: %q, want %q", what, got, words)
		}
	}
	want("nothing", "python3")
	pipx := program(t, filepath.Join(dir, "pipx", "bin", "python"), "")
	program(t, filepath.Join(path, "ductor"), "#!"+pipx+"\nimport x\n")
	want("the shebang of ductor", pipx)
	env["VIRTUAL_ENV"] = venv
	want("a virtual environment that is gone", pipx)
	inVenv := program(t, filepath.Join(venv, "bin", "python"), "")
	want("a virtual environment", inVenv)
	env["DUCTOR_PYTHON"] = "/opt/my python"
	want("DUCTOR_PYTHON", "/opt/my python")
	if got := defaultCommand(func(key string) string { return env[key] }); !slices.Equal(got, []string{"/opt/my python", "-m", "ductor_bot"}) {
		t.Errorf("default command %q", got)
	}
}

func TestShebangs(t *testing.T) {
	dir, path := t.TempDir(), t.TempDir()
	t.Setenv("PATH", path)
	py := program(t, filepath.Join(dir, "bin", "python3.12"), "")
	spaced := program(t, filepath.Join(dir, "Application Support", "bin", "python"), "")
	program(t, filepath.Join(path, "python3.12"), "")
	program(t, filepath.Join(path, "python3"), "")
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "#!" + py + "\n", py},
		{"with an option", "#!" + py + " -sE\n", py},
		{"with a space in front", "#! " + py + "\n", py},
		{"with a carriage return", "#!" + py + "\r\n", py},
		{"without an end", "#!" + py, py},
		// env(1) is no Python: the one that it would find is.
		{"env", "#!/usr/bin/env python3\n", "python3"},
		{"env, another", "#!/usr/bin/env python3.12\n", "python3.12"},
		{"env -S", "#!/usr/bin/env -S python3.12 -I\n", "python3.12"},
		{"env with a variable", "#!/usr/bin/env -S A=b python3.12\n", "python3.12"},
		{"env, not there", "#!/usr/bin/env python9\n", "python3"},
		{"env alone", "#!/usr/bin/env\n", "python3"},
		// pip's way around spaces and long paths; macOS has such a one.
		{"pip", "#!/bin/sh\n'''exec' \"" + spaced + "\" \"$0\" \"$@\"\n' '''\n", spaced},
		{"pip, no quotes", "#!/bin/sh\n'''exec' " + py + " \"$0\" \"$@\"\n' '''\n", py},
		{"a shell script", "#!/bin/sh\nexec x\n", "python3"},
		{"another language", "#!/usr/bin/perl\n", "python3"},
		{"an interpreter that is gone", "#!" + filepath.Join(dir, "gone", "python") + "\n", "python3"},
		{"a binary", "\x7fELF\x02\x01\x01", "python3"},
		{"empty", "", "python3"},
		{"only the mark", "#!\n", "python3"},
		{"a long line", fmt.Sprintf("#!/%08000d\n", 1), "python3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			program(t, filepath.Join(path, "ductor"), tt.text)
			if got := python(func(string) string { return "" }); !slices.Equal(got, []string{tt.want}) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
