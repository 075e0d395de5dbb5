// Package record knows which commands run in the container, by a file for each.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"time"

	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/jsonout"
	"ductor/internal/common/process"
)

// Run is a command in the container. It is written before the command is, so
// that one whose caller was killed leaves a trace. No argument of the command is
// in it: they can be secret.
type Run struct {
	ID        string            `json:"id"`
	Owner     process.Identity  `json:"owner"` // the ductor-sandbox exec
	Tags      map[string]string `json:"tags,omitempty"`
	Command   string            `json:"command"`
	Since     time.Time         `json:"since"`
	Container string            `json:"container,omitempty"`
	Engine    string            `json:"engine,omitempty"` // the daemon's address
}

// Alive reports whether whoever runs it lives, or may live: a process of another
// PID namespace cannot be looked at. After a boot nobody lives.
func (r Run) Alive() bool {
	err := r.Owner.Check()
	if errors.Is(err, process.ErrGone) || errors.Is(err, process.ErrReused) {
		return false
	}
	self, serr := process.Self()
	return err == nil || serr != nil || self.Boot == "" || r.Owner.Boot == self.Boot
}

// Dir is the folder of the files.
type Dir string

var id = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Z2-7]{26}$`) })

// IsID reports whether that can be the ID of a run.
func IsID(s string) bool { return id().MatchString(s) }

func (d Dir) path(id string) string { return filepath.Join(string(d), id+".json") }

// Write makes the folder, too.
func (d Dir) Write(r Run) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	line, err := jsonout.Line(r)
	if err == nil {
		err = atomicfile.Write(d.path(r.ID), line, 0o600)
	}
	if err != nil {
		return exitcode.File(exitcode.CantCreat, fmt.Errorf("note the run: %w", err))
	}
	return nil
}

// Remove ends a run; one that is gone is as good.
func (d Dir) Remove(id string) error {
	if err := atomicfile.Remove(d.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return exitcode.File(exitcode.CantCreat, err)
	}
	return nil
}

// List returns the runs, the oldest first. What cannot be read is no run.
func (d Dir) List() ([]Run, error) {
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, exitcode.File(exitcode.IOErr, err)
	}
	var all []Run
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !IsID(name) {
			continue
		}
		data, err := atomicfile.Read(d.path(name), 64<<10)
		var r Run
		if err != nil || json.Unmarshal(data, &r) != nil || r.ID != name {
			continue
		}
		all = append(all, r)
	}
	// Not slices.SortFunc, which would be 20 kB more of program.
	sort.Slice(all, func(i, j int) bool { return all[i].Since.Before(all[j].Since) })
	return all, nil
}

// Clean removes what cannot be read as a run, and has not been written just now.
func (d Dir) Clean() {
	entries, _ := os.ReadDir(string(d))
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if info, err := e.Info(); !ok || !IsID(name) || err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		var r Run
		data, err := atomicfile.Read(d.path(name), 64<<10)
		if errors.Is(err, atomicfile.ErrNoFile) || err == nil && (json.Unmarshal(data, &r) != nil || r.ID != name) {
			_ = d.Remove(name)
		}
	}
}
