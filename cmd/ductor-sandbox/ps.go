package main

import (
	"context"
	"errors"
	"fmt"
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
}

// Run lists the commands whose callers live.
func (c *psCmd) Run(std *cli.IO) error {
	s, err := configure(std, c.nameFlags, specFlags{})
	if err != nil {
		return err
	}
	runs, err := s.live()
	for _, r := range runs {
		v := runView{r.ID, r.Owner.PID, r.Command, r.Tags, r.Since, time.Since(r.Since).Round(time.Millisecond).Seconds()}
		if c.JSON {
			err = printJSON(std, v)
		} else {
			_, err = fmt.Fprintf(std.Out, "%s  %-8s %q %s\n", v.ID, time.Since(r.Since).Round(time.Second), v.Command, tagText(r.Tags))
		}
		if err != nil {
			return err
		}
	}
	return err
}

func (s *sandbox) live() (live []record.Run, err error) {
	runs, err := s.runs.List()
	for _, r := range runs {
		if r.Alive() {
			live = append(live, r)
		}
	}
	return live, err
}

func tagText(tags map[string]string) string {
	var all []string
	for k, v := range tags {
		all = append(all, fmt.Sprintf("%q", k+"="+v))
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
	runs, err := s.live()
	if err != nil {
		return err
	}
	var chosen []record.Run
	for _, r := range runs {
		k, v, _ := strings.Cut(c.Tag, "=")
		if has, ok := r.Tags[k]; c.All || r.ID == c.ID || c.Tag != "" && ok && has == v {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return exitcode.Errorf(exitcode.No, "no such command runs").WithHint("ductor-sandbox ps")
	}
	if err := s.attach(ctx, c.Host); err != nil {
		return err
	}
	errs := make([]error, len(chosen))
	var all sync.WaitGroup
	for i, r := range chosen {
		all.Go(func() { _, errs[i] = s.end(ctx, r.Container, r.ID, c.Grace) })
	}
	all.Wait()
	return errors.Join(errs...)
}
