package watch

import (
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
	"trees without instances": func(dir string) error {
		var w warnings
		_, err := NewTrees([]string{dir}, Filter{}, w.add)
		return mentions(err, "sysctl fs.inotify.max_user_instances")
	},
	"trees without watches": func(dir string) error {
		var w warnings
		_, err := NewTrees([]string{dir}, Filter{}, w.add)
		return mentions(err, "sysctl fs.inotify.max_user_watches")
	},
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
		"files without instances": "max_inotify_instances",
		"files without watches":   "max_inotify_watches",
		"trees without instances": "max_inotify_instances",
		"trees without watches":   "max_inotify_watches",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c", `echo 0 >/proc/sys/user/`+limit+` && exec "$0"`, self)
			cmd.Env = append(os.Environ(), "WATCH_TEST_LIMIT="+what, "WATCH_TEST_DIR="+t.TempDir())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}
