// Package hold is the file that makes restarts by file changes wait while work
// is done that they would cut short.
//
// Anybody may hold by creating the file, and touching it again; it then counts
// by its age alone. A process that says who it is, by a line "PID START",
// stops counting when it ends, even if it could not remove its line.
package hold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
)

// TouchEvery is how often whoever holds by name touches the file.
const TouchEvery = 5 * time.Second

// forgotten is when a file whose holders all seem dead counts for nothing. One
// in another PID namespace seems dead too, but goes on touching.
const forgotten = time.Minute

// maxFile bounds what is read, in bytes.
const maxFile = 64 << 10

// Hold looks at one hold file.
type Hold struct {
	Path string
	Max  time.Duration // an older file counts for nothing

	touched time.Time // the file's time at the last look
	since   time.Time // when it was first seen to be so
}

// Held reports whether restarts have to wait. A file from the future (a clock
// that was set back) counts from when it was first seen.
func (h *Hold) Held(now time.Time) bool {
	info, err := os.Stat(h.Path)
	if err != nil || info.IsDir() {
		h.touched = time.Time{}
		return false
	}
	if !info.ModTime().Equal(h.touched) {
		h.touched, h.since = info.ModTime(), now
	}
	age := max(now.Round(0).Sub(h.touched), now.Sub(h.since))
	return age < h.Max && (age < forgotten || !abandoned(h.Path))
}

// abandoned reports whether all who said who they are have ended. A file
// without names, or that cannot be read, is nobody's to abandon.
func abandoned(path string) bool {
	data, err := atomicfile.Read(path, maxFile)
	lines := strings.Fields(string(data))
	if err != nil || len(lines) == 0 {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if pid, start, ok := parse(line); !ok || alive(pid, start) {
			return false
		}
	}
	return true
}

func parse(line string) (pid int, start string, ok bool) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return 0, "", false
	}
	pid, err := strconv.Atoi(words[0])
	return pid, words[1], err == nil && pid > 0
}

func alive(pid int, start string) bool {
	id, err := process.Of(pid)
	return err == nil && id.Start == start
}

func line(id process.Identity) string { return fmt.Sprintf("%d %s\n", id.PID, id.Start) }

// Take adds this process to those who hold. guard names the lock (guard.lock)
// under which the file is changed.
func Take(path, guard string) error {
	return edit(path, guard, func(lines []string, self string) []string { return append(lines, self) })
}

// Release takes this process away again, and the file with the last one.
func Release(path, guard string) error {
	return edit(path, guard, func(lines []string, _ string) []string { return lines })
}

// Touch says that the work goes on. It reports false when the file is gone:
// somebody has let go of it for all.
func Touch(path string) bool {
	now := time.Now()
	return os.Chtimes(path, now, now) == nil
}

func edit(path, guard string, change func(lines []string, self string) []string) error {
	id, err := process.Self()
	if err != nil {
		return fmt.Errorf("identify this process: %w", err)
	}
	lock, err := lockfile.Wait(guard)
	if err != nil {
		return err
	}
	defer lock.Close()
	data, err := atomicfile.Read(path, maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && len(data) == 0 { // somebody touched it, and is no less a holder
		data = []byte("held\n")
	}
	var lines []string
	for l := range strings.Lines(string(data)) {
		if pid, start, ok := parse(l); !ok || pid != id.PID && alive(pid, start) {
			lines = append(lines, strings.TrimRight(l, "\n")+"\n")
		}
	}
	if lines = change(lines, line(id)); len(lines) > 0 {
		return atomicfile.Write(path, []byte(strings.Join(lines, "")), 0o600)
	}
	if err := atomicfile.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
