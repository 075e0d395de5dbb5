//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/clitest"
)

// TestEditorsAndTools: what people really do to a folder is exactly one
// restart each. That there is no second one is shown by a restart that is asked
// for afterwards: it must be the next.
func TestEditorsAndTools(t *testing.T) {
	for name, tt := range map[string]struct {
		part    string
		prepare string
		do      string
	}{
		"vim":         {"vim", ``, `vim.tiny -u NONE -es -c 'normal ox = 2' -c wq src/a.py`},
		"vim, backup": {"vim", ``, `vim.tiny -u NONE -es -c 'set backup backupcopy=no' -c 'normal ox = 2' -c wq src/a.py`},
		"git checkout": {"git", `cd src && git init -q -b one . && git config user.name x && git config user.email x@localhost &&
			for i in $(seq 1000); do echo $i >m$i.py; done && git add . && git commit -qm one && git checkout -q -b two &&
			for i in $(seq 1000); do echo two $i >m$i.py; done && git commit -qam two && git checkout -q one`, `git -C src checkout -q two`},
		"rsync":           {"rsync", `mkdir new && for i in $(seq 20); do echo new $i >new/r$i.py; done`, `rsync -a new/ src/`},
		"sed -i":          {"", ``, `sed -i s/1/2/ src/a.py`},
		"mv of a folder":  {"", `mkdir -p new/deep && for i in $(seq 20); do echo $i >new/deep/d$i.py; done`, `mv new src/new`},
		"mv out of there": {"", `mkdir -p src/old/deep && for i in $(seq 20); do echo $i >src/old/deep/d$i.py; done`, `mv src/old gone`},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.part != "" {
				clitest.Need(t, tt.part)
			}
			s := newStage(t, clitest.Bin(t))
			s.shell(`mkdir src && echo 'x = 1' >src/a.py`)
			s.shell(tt.prepare)
			sup := s.supervise("--watch", "src", "--", "fakebot", "on", "TERM", "0", "alone", "lone", "wait")
			s.waitEvent("watching", func(e journal.Event) bool { return e.Type == journal.Watching })
			s.up(0)
			s.shell(tt.do)
			s.up(1)
			s.tool("restart", "--wait")
			s.up(2)
			sup.terminate()
			sup.ends(0)
			changes := 0
			_ = journal.Each(s.run().Events(), func(_ []byte, e journal.Event) {
				if e.Type == journal.Change {
					changes++
				}
			})
			if changes != 1 {
				t.Errorf("%d restarts by changes", changes)
			}
			s.noTwins("lone")
		})
	}
}

// shell runs a line in the stage's folder.
func (s *stage) shell(line string) {
	s.t.Helper()
	cmd := exec.Command("sh", "-ec", line)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "HOME="+s.dir, fmt.Sprint("GIT_CONFIG_GLOBAL=", filepath.Join(s.dir, "gitconfig")))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", line, err, out)
	}
}
