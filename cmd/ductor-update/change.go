package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ductor/cmd/ductor-update/internal/install"
	"ductor/cmd/ductor-update/internal/state"
)

// phase is how far a change has come. What comes after a kill depends on it.
type phase string

const (
	copying  phase = "copying"  // nothing has changed: forget it
	changing phase = "changing" // the installer runs, or ran: go back
	changed  phase = "changed"  // the installer is done: test the new version
	undoing  phase = "undoing"  // go on going back
)

// change is one upgrade in update.json: "journal" while it is done, "probation"
// until the bot has proven that it runs, and "previous" after that.
type change struct {
	ID     string       `json:"id"` // in the environment of the installer
	Phase  phase        `json:"phase,omitempty"`
	Mode   install.Mode `json:"mode"`
	Pkg    string       `json:"package"`
	Module string       `json:"module,omitempty"`
	Old    string       `json:"old"`
	New    string       `json:"new,omitempty"`
	Target string       `json:"target,omitempty"` // what New is expected to be

	Python   string `json:"python"`
	Program  string `json:"program,omitempty"`
	Prefix   string `json:"prefix"`
	Packages string `json:"site_packages"`
	User     bool   `json:"user,omitempty"`

	Copy   string          `json:"copy,omitempty"`   // folder with what the installer changes, as it was
	Frozen []string        `json:"frozen,omitempty"` // name==version of all packages before
	After  []string        `json:"after,omitempty"`  // and after
	Undo   install.Command `json:"undo"`             // to be followed by what Frozen has
	Checks []string        `json:"checks,omitempty"` // what the old version passes, and so the new one must

	ChatID    int64     `json:"chat_id,omitempty"`
	Since     time.Time `json:"since,omitzero"` // of the probation
	Crashes   int       `json:"crashes,omitempty"`
	CrashedAt time.Time `json:"crashed_at,omitzero"`
}

// copyPrefix begins the name of the folder with the copy, which lies in the
// environment: on its file system, gone with it, and in nobody's list.
const copyPrefix = ".ductor-update-"

// decode returns nil for nothing. An error says that a record is damaged, and
// what it named cannot be trusted to be ours.
func decode(raw json.RawMessage) (*change, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var c change
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("the record of an upgrade is damaged: %w", err)
	}
	ours := c.Copy == "" || filepath.Dir(c.Copy) == filepath.Clean(c.Prefix) && strings.HasPrefix(filepath.Base(c.Copy), copyPrefix)
	if c.Old == "" || c.Pkg == "" || len(c.Undo.Argv) == 0 || !ours {
		return nil, fmt.Errorf("the record of an upgrade is damaged: it is incomplete")
	}
	return &c, nil
}

func encode(c *change) json.RawMessage {
	if c == nil {
		return nil
	}
	data, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and numbers can be encoded
	}
	return data
}

// version is what the disk says now.
func (c *change) version() string {
	return install.Version(install.Install{Package: c.Pkg, SitePackages: c.Packages})
}

func (c *change) frozen() []string { return install.Frozen(c.Packages) }

// missing are the packages that are not as they were. Where the upgrade was
// finished, only those count that it has changed: others are somebody else's.
func (c *change) missing() []string {
	now := c.frozen()
	return slices.DeleteFunc(slices.Clone(c.Frozen), func(p string) bool {
		return slices.Contains(now, p) || len(c.After) > 0 && slices.Contains(c.After, p)
	})
}

const (
	provenAfter = 2 * time.Minute // that a bot has run
	lastCrash   = 3               // on probation
)

// crash is the end of a run, as far as it is known.
type crash struct {
	at  time.Time
	ran time.Duration // negative: unknown
}

// verdict is what a crash means for an upgrade on probation.
type verdict int

const (
	notOurs verdict = iota // a run of the version before
	counted
	proven // the run was long enough
	bad
)

// judge counts a crash. A run that began before the upgrade says nothing of it;
// where its length is not known, the time since the crash before, or since the
// upgrade, is taken for it.
func (c *change) judge(k crash) verdict {
	ran := k.ran
	if ran < 0 {
		begin := c.Since
		if c.CrashedAt.After(begin) {
			begin = c.CrashedAt
		}
		ran = k.at.Sub(begin)
	}
	switch {
	case k.ran >= 0 && k.at.Add(-k.ran).Before(c.Since) && !k.at.Before(c.Since): // a clock that was set back proves nothing
		return notOurs
	case ran >= provenAfter:
		return proven
	}
	c.Crashes++
	c.CrashedAt = k.at
	if c.Crashes < lastCrash {
		return counted
	}
	return bad
}

// pass ends a probation: what is kept is the way back by the index.
func pass(s *state.State, c *change) {
	c.Copy, c.Phase, c.Crashes = "", "", 0
	s.Previous, s.Probation = encode(c), nil
}
