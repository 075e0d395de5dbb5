package home

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var grammar = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z`)

func FuzzName(f *testing.F) {
	for _, s := range []string{"ductor", "a", "0", "A.b_c-d", strings.Repeat("x", 64), strings.Repeat("x", 65),
		"", ".", "..", "-x", "_x", "a/b", `a\b`, "a b", "a\n", "ä", "a\x00", "../../etc", "con:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := Name("before")
		err := n.UnmarshalText([]byte(s))
		if ok := grammar.MatchString(s); ok != (err == nil) {
			t.Fatalf("%q: %v", s, err)
		}
		if err != nil {
			if !errors.Is(err, ErrName) || n != "before" {
				t.Fatalf("%q: %v, and the name is %q", s, err, n)
			}
			return
		}
		run := Home("/h").Run(n)
		if string(n) != s || filepath.Dir(string(run)) != filepath.Join("/h", "run") || filepath.Base(string(run)) != s {
			t.Fatalf("%q leads to %q", s, run)
		}
	})
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{dir: dir, "sub/../rel": filepath.Join(wd, "rel")} {
		h, err := Find(func(key string) string { return map[string]string{"DUCTOR_HOME": value}[key] })
		if err != nil || string(h) != want {
			t.Errorf("DUCTOR_HOME=%s: %q, %v; want %q", value, h, err, want)
		}
	}
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	if h, err := Find(func(string) string { return "" }); err != nil || string(h) != filepath.Join(dir, ".ductor") {
		t.Errorf("without DUCTOR_HOME: %q, %v", h, err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("Find created %v", left)
	}
}

// TestNothingButControlFilesInCtl: a watcher of ctl/ may open and close all
// that lies there, which would drop a lock.
func TestNothingButControlFilesInCtl(t *testing.T) {
	r := Home("/h").Run(DefaultName)
	for _, p := range []string{r.BotPID(), r.SupervisePID(), r.Status(), r.Events(), r.UpdateState(), r.UpdateLock()} {
		if filepath.Dir(p) != string(r) {
			t.Errorf("%s is not in %s", p, r)
		}
	}
	for _, p := range []string{r.CtlRestart(), r.CtlStop()} {
		if filepath.Dir(p) != r.Ctl() {
			t.Errorf("%s is not in %s", p, r.Ctl())
		}
	}
}

func TestMakeIsPrivate(t *testing.T) {
	h := Home(filepath.Join(t.TempDir(), "home"))
	if err := h.Run("x").Make(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{string(h), h.RunRoot(), string(h.Run("x")), h.Run("x").Ctl()} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Separator == '/' && info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", p, info.Mode())
		}
	}
}
