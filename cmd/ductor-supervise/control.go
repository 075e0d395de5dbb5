package main

import (
	"errors"
	"os"
	"syscall"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/holder"
	"ductor/internal/common/home"
	"ductor/internal/common/process"
)

// lookInterval is how often a verb that waits looks at the files.
const lookInterval = 20 * time.Millisecond

// ask writes a request. On a full disk, when one may need it most, there is room
// for a file without content, which asks whoever runs.
func ask(path string, write func() error) error {
	err := write()
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return os.WriteFile(path, nil, 0o600)
	}
	return err
}

// findRun returns the bot's folder without creating it.
func findRun(std *cli.IO, name home.Name) (home.Home, home.Run, error) {
	dir, err := home.Find(std.Getenv)
	if err != nil {
		return "", "", exitcode.Errorf(exitcode.Config, "%w", err)
	}
	return dir, dir.Run(name), nil
}

// supervisorOf returns who supervises. Its record follows its lock by a
// moment, which is waited for.
func supervisorOf(run home.Run) (id process.Identity, ok bool, err error) {
	for deadline := time.Now().Add(time.Second); ; time.Sleep(lookInterval) {
		s, err := holder.Inspect(run.SupervisePID(), false)
		if err != nil || !s.Held() {
			return process.Identity{}, false, err
		}
		if id, ok := s.Identity(); ok {
			return id, true, nil
		}
		if time.Now().After(deadline) {
			return process.Identity{}, false, errors.New("the supervisor cannot be identified (another PID namespace?)")
		}
	}
}

// whoSupervises is for verbs that need somebody to ask; nobody is a no.
func whoSupervises(std *cli.IO, name home.Name) (home.Run, process.Identity, error) {
	_, run, err := findRun(std, name)
	if err != nil {
		return "", process.Identity{}, err
	}
	id, ok, err := supervisorOf(run)
	if err == nil && !ok {
		err = noSupervisor(name)
	}
	return run, id, err
}

// waitFor looks until done says so or the time is over.
func waitFor(limit time.Duration, what string, done func() (bool, error)) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(lookInterval) {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return exitcode.Errorf(exitcode.Timeout, "%s: not within %s", what, limit)
		}
	}
}

// running reports whether the command runs, and is ready if it says when it is.
func running(s journal.Status) bool { return s.State == "ready" || s.State == "up" && !s.Readiness }
