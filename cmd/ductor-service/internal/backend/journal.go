package backend

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"ductor/internal/common/exitcode"
)

// Logs is journalctl's. --user-unit finds the lines in the user's own journal
// and, for who may read it, in the system's: not everywhere are they split.
func (s *Systemd) Logs(ctx context.Context, out, errs io.Writer, q Lines) error {
	if err := s.booted(); err != nil { // journalctl would be silent
		return err
	}
	if q.Follow { // journalctl writes itself, and so learns when nobody reads any more
		return s.logs(ctx, out, errs, q)
	}
	c := &counter{w: out}
	err := s.logs(ctx, c, errs, q)
	if _, serr := os.Lstat(s.path(s.unit())); err == nil && c.n == 0 && serr != nil {
		return notInstalled(s.name)
	}
	return err
}

// counter tells whether anything was written.
type counter struct {
	w io.Writer
	n int
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += n
	return n, err
}

func (s *Systemd) logs(ctx context.Context, out, errs io.Writer, q Lines) error {
	var args []string
	if !q.Since.IsZero() {
		args = append(args, "--since", "@"+strconv.FormatInt(q.Since.Unix(), 10))
	}
	switch {
	case q.Since.IsZero() && q.Last >= 0:
		args = append(args, "-n", strconv.Itoa(q.Last))
	case q.Last >= 0: // with --since journalctl would print the first ones
		cursor, err := s.lastOf(ctx, out, errs, q.Last, args)
		if err != nil || !q.Follow {
			return err
		}
		if cursor != "" {
			args = []string{"--after-cursor", cursor}
		}
	case q.Follow:
		args = append(args, "--no-tail")
	}
	if q.Follow {
		args = append(args, "-f")
	}
	return s.journalctl(ctx, out, errs, args...)
}

// lastOf prints the last lines of those that journalctl finds, and tells where
// the journal ended.
func (s *Systemd) lastOf(ctx context.Context, out, errs io.Writer, n int, args []string) (cursor string, err error) {
	var all bytes.Buffer
	if err := s.journalctl(ctx, &all, errs, append(args, "--show-cursor")...); err != nil {
		return "", err
	}
	lines := strings.SplitAfter(all.String(), "\n")
	lines = lines[:len(lines)-1] // what follows the last end of a line
	if len(lines) > 0 {
		if c, is := strings.CutPrefix(lines[len(lines)-1], "-- cursor: "); is {
			cursor, lines = strings.TrimSpace(c), lines[:len(lines)-1]
		}
	}
	_, err = io.WriteString(out, strings.Join(lines[max(0, len(lines)-n):], ""))
	return cursor, err
}

func (s *Systemd) journalctl(ctx context.Context, out, errs io.Writer, args ...string) error {
	args = append([]string{"--user-unit", s.unit(), "-o", "short-iso", "--no-pager", "-q"}, args...)
	cmd := exec.CommandContext(ctx, "journalctl", args...)
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	err := cmd.Run()
	switch {
	case ctx.Err() != nil || err == nil:
		return nil
	case cmd.ProcessState == nil:
		return exitcode.Errorf(exitcode.Unavailable, "run journalctl: %w", err)
	case !s.journalReadable():
		p := s.noJournal()
		return exitcode.Errorf(exitcode.NoPerm, "%s", p.Message).WithHint("%s", p.Fix)
	}
	return exitcode.Errorf(exitcode.OSErr, "journalctl: %w", err)
}
