package watch

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

// TestMain lets this binary run again in a user namespace whose limits are
// reached.
func TestMain(m *testing.M) {
	if what := os.Getenv("WATCH_TEST_LIMIT"); what != "" {
		if err := underLimit[what](os.Getenv("WATCH_TEST_DIR")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // they wait more than they work
	clitest.Main(m)
}

var underLimit = map[string]func(dir string) error{
	"files without instances": func(dir string) error {
		var w warnings
		path := filepath.Join(dir, "m")
		f := NewFiles([]string{path}, w.add)
		defer f.Close()
		if !strings.Contains(w.String(), "sysctl fs.inotify.max_user_instances") || !strings.Contains(w.String(), "each second") {
			return fmt.Errorf("warnings: %s", &w)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
		select {
		case <-f.Look():
			return nil
		case <-time.After(clitest.Patience):
			return fmt.Errorf("polling did not find the marker")
		}
	},
	"files without watches": func(dir string) error {
		var w warnings
		NewFiles([]string{filepath.Join(dir, "m")}, w.add).Close()
		if !strings.Contains(w.String(), "sysctl fs.inotify.max_user_watches") {
			return fmt.Errorf("warnings: %s", &w)
		}
		return nil
	},
	"trees without instances": func(dir string) error { return pollsInstead(dir, "fs.inotify.max_user_instances") },
	"trees without watches":   func(dir string) error { return pollsInstead(dir, "fs.inotify.max_user_watches") },
	"native without instances": func(dir string) error {
		return refused(dir, "sysctl fs.inotify.max_user_instances")
	},
	"native without watches": func(dir string) error {
		return refused(dir, "sysctl fs.inotify.max_user_watches")
	},
	"trees that grow": growsOver,
}

// refused: without a look instead a limit is an error.
func refused(dir, text string) error {
	tr, err := NewTrees([]string{dir}, Filter{}, Options{Mode: native})
	if err == nil {
		tr.Close()
	}
	return mentions(err, text)
}

// watchHere starts a watch that falls back, and tells its modes.
func watchHere(dir string, w *warnings) (tr *Trees, modes chan string, err error) {
	modes = make(chan string, 9)
	opt := Options{Mode: Mode{Auto, 5 * time.Millisecond}, Warn: w.add, Watching: func(mode string, n int) { modes <- fmt.Sprint(mode, " ", n) }}
	tr, err = openTrees([]string{dir}, Filter{}, opt, patientLooks)
	if err == nil {
		go tr.run()
	}
	return tr, modes, err
}

func wantMode(modes chan string, want string) error {
	select {
	case got := <-modes:
		if got != want {
			return fmt.Errorf("watching %s, not %s", got, want)
		}
		return nil
	case <-time.After(clitest.Patience):
		return fmt.Errorf("never watching %s", want)
	}
}

func wantChange(tr *Trees, path string) error {
	select {
	case c := <-tr.Changes():
		if c.Path != path {
			return fmt.Errorf("change of %q, not %q", c.Path, path)
		}
		return nil
	case <-time.After(clitest.Patience):
		return fmt.Errorf("no change of %q", path)
	}
}

func pollsInstead(dir, limit string) error {
	for _, sub := range []string{"a/b/c", "node/x", "node/y/1", "node/y/2"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	var w warnings
	tr, modes, err := watchHere(dir, &w)
	if err != nil {
		return err
	}
	defer tr.Close()
	if err := wantMode(modes, "poll 9"); err != nil {
		return err
	}
	for _, part := range []string{"(sysctl " + limit + ")", "looking for changes every 5ms instead", "'sysctl " + limit + "=",
		"of 9 folders", fmt.Sprintf("%q (5), %q (3)", filepath.Join(dir, "node"), filepath.Join(dir, "a"))} {
		if err := mentions(errors.New(w.String()), part); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, "node/y/1/x.py")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		return err
	}
	if err := wantChange(tr, path); err != nil {
		return err
	}
	if n := len(w.texts); n != 1 {
		return fmt.Errorf("%d warnings: %s", n, &w)
	}
	return nil
}

// growsOver reaches the limit while a tree is watched. What made it grow is a
// change, and so is what comes after.
func growsOver(dir string) error {
	var w warnings
	tr, modes, err := watchHere(dir, &w)
	if err != nil {
		return err
	}
	defer tr.Close()
	if err := wantMode(modes, "native 1"); err != nil {
		return err
	}
	for i := range 20 {
		sub := filepath.Join(dir, fmt.Sprint("grown/", i))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(sub, "x.py"), []byte("x"), 0o600); err != nil {
			return err
		}
	}
	total, polls := 0, false
	for total < 20 || !polls {
		select {
		case c := <-tr.Changes():
			total += c.Count
		case mode := <-modes:
			if polls = mode == "poll 22"; !polls {
				return fmt.Errorf("watching %s", mode)
			}
		case <-time.After(clitest.Patience):
			return fmt.Errorf("%d files have changed, and it polls: %v", total, polls)
		}
	}
	if n := len(w.texts); n != 1 || !strings.Contains(w.String(), fmt.Sprintf("%q (21)", filepath.Join(dir, "grown"))) {
		return fmt.Errorf("%d warnings: %s", n, &w)
	}
	return changesAgain(tr, filepath.Join(dir, "grown/19/x.py"))
}

// changesAgain writes until it is told. The first look may tell once more of
// what the system had told already.
func changesAgain(tr *Trees, path string) error {
	for text := "xyz"; len(text) < 100; text += "." {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		for quiet := time.After(time.Second); quiet != nil; {
			select {
			case c := <-tr.Changes():
				if c.Path == path {
					return nil
				}
			case <-quiet:
				quiet = nil
			}
		}
	}
	return fmt.Errorf("no change of %q alone", path)
}

func mentions(err error, text string) error {
	if err == nil || !strings.Contains(err.Error(), text) {
		return fmt.Errorf("%q does not name %q", err, text)
	}
	return nil
}

// TestLimits: both of these limits belong to the namespace, so that nobody else
// feels them.
func TestLimits(t *testing.T) {
	clitest.Need(t, "namespaces")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for what, limit := range map[string]string{
		"files without instances":  "0 >/proc/sys/user/max_inotify_instances",
		"files without watches":    "0 >/proc/sys/user/max_inotify_watches",
		"trees without instances":  "0 >/proc/sys/user/max_inotify_instances",
		"trees without watches":    "3 >/proc/sys/user/max_inotify_watches",
		"native without instances": "0 >/proc/sys/user/max_inotify_instances",
		"native without watches":   "0 >/proc/sys/user/max_inotify_watches",
		"trees that grow":          "8 >/proc/sys/user/max_inotify_watches",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c", `echo `+limit+` && exec "$0"`, self)
			cmd.Env = append(os.Environ(), "WATCH_TEST_LIMIT="+what, "WATCH_TEST_DIR="+t.TempDir())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}
