package main

import (
	"os"
	"path/filepath"

	"ductor/cmd/ductor-supervise/internal/capture"
	"ductor/cmd/ductor-supervise/internal/supervisor"
	"ductor/cmd/ductor-supervise/internal/watch"
	"ductor/internal/common/exitcode"
)

// Sizes of --tail, in bytes.
const (
	defaultTail = 4 << 10
	maxTail     = 64 << 10 // in an event, which may be six times as long as JSON, and must fit into events.jsonl
)

// checkLog says what is to be taken of the command's output, and keeps what we
// write there from being taken for a change.
func (c *runCmd) checkLog(cfg *supervisor.Config) error {
	out := capture.Config{Size: int64(c.LogSize), Keep: c.LogKeep, Time: c.LogTime}
	if c.LogKeep < 0 {
		return exitcode.Errorf(exitcode.Usage, "--log-keep=%d: must not be negative", c.LogKeep)
	}
	if c.Tail != nil && *c.Tail > maxTail {
		return exitcode.Errorf(exitcode.Usage, "--tail=%d: 64kB are the most", *c.Tail)
	}
	if c.Log != "" {
		path, err := filepath.Abs(c.Log)
		if err != nil {
			return err
		}
		// Under its own name, so that a rotation does not rename a link to it.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		if filepath.Dir(path) == cfg.Home.Run(cfg.Name).Ctl() {
			return exitcode.Errorf(exitcode.Usage, "--log=%q: that folder is watched for control files", c.Log)
		}
		out.File, out.Tail = path, defaultTail
		ownLog(&cfg.WatchFilter, path)
	}
	if c.Tail != nil {
		out.Tail = int(*c.Tail)
	}
	cfg.Output = out
	return nil
}

// ownLog keeps a file to which we write, and what it is renamed to, from being
// taken for a change.
func ownLog(f *watch.Filter, path string) {
	f.Own = append(f.Own, path)
	f.Ignore = append(f.Ignore, capture.Globs(path)...)
}

func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
