package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"ductor/cmd/ductor-sandbox/internal/record"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

// runView is a line of ps --json.
type runView struct {
	ID      string            `json:"id"`
	PID     int               `json:"pid"`
	Command string            `json:"command"`
	Tags    map[string]string `json:"tags,omitempty"`
	Since   time.Time         `json:"since"`
	Age     float64           `json:"age_seconds"`
	Orphan  bool              `json:"orphan,omitempty"` // its caller was killed
}

// Run lists the commands that run, also those whose callers were killed: kill, or
// the next exec or up, ends these.
func (c *psCmd) Run(std *cli.IO) error {
	s, err := configure(std, c.nameFlags, specFlags{})
	if err != nil {
		return err
	}
	runs, err := s.runs.List()
	for _, r := range runs {
		v := runView{r.ID, r.Owner.PID, r.Command, r.Tags, r.Since, time.Since(r.Since).Round(time.Millisecond).Seconds(), !r.Alive()}
		if c.JSON {
			err = printJSON(std, v)
		} else {
			_, err = fmt.Fprintf(std.Out, "%s  %-8s %q %s%s\n", v.ID, time.Since(r.Since).Round(time.Second), v.Command, tagText(r.Tags), map[bool]string{true: " (its caller was killed)"}[v.Orphan])
		}
		if err != nil {
			return err
		}
	}
	return err
}

func tagText(tags map[string]string) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		all = append(all, fmt.Sprintf("%q", k+"="+tags[k]))
	}
	return strings.Join(all, " ")
}

// Run ends the tree of each, in the container; who runs it sees that.
func (c *killCmd) Run(std *cli.IO) error {
	ctx, cancel := context.WithTimeout(context.Background(), downTime+c.Grace)
	defer cancel()
	s, err := configure(std, c.nameFlags, specFlags{})
	if err != nil {
		return err
	}
	defer s.close()
	runs, err := s.runs.List()
	if err != nil {
		return err
	}
	var chosen []record.Run
	for _, r := range runs {
		if c.means(r) {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return exitcode.Errorf(exitcode.No, "no such command runs").WithHint("ductor-sandbox ps")
	}
	host := c.Host
	if host == "" && strings.HasPrefix(chosen[0].Engine, "unix://") { // where it runs, whatever the default is by now
		host = chosen[0].Engine
	}
	if err := s.attach(ctx, host); err != nil {
		return err
	}
	errs := make([]error, len(chosen))
	var all sync.WaitGroup
	for i, r := range chosen {
		all.Go(func() {
			if s.isGone(ctx, r) {
				errs[i] = s.runs.Remove(r.ID)
				return
			}
			if _, errs[i] = s.end(ctx, r.Container, r.ID, c.Grace); errs[i] == nil && r.Owner.Check() != nil {
				errs[i] = s.runs.Remove(r.ID) // nobody else will
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// means reports whether a run is one of those that are to be ended.
func (c *killCmd) means(r record.Run) bool {
	for _, tag := range c.Tag {
		k, v, _ := strings.Cut(tag, "=")
		if has, ok := r.Tags[k]; !ok || has != v {
			return false
		}
	}
	return c.All || len(c.Tag) > 0 || r.ID == c.ID
}
