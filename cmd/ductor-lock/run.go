package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/holder"
	"ductor/internal/common/home"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
)

// Run takes the lock and becomes the command, or tells std.Err and the status
// descriptor why not.
func (c *runCmd) Run(std *cli.IO) error {
	report, err := openStatusFD(c.StatusFD)
	if err != nil {
		return err
	}
	if report != nil {
		tellSignals(report)
	}
	err = c.run(std, report)
	report.failed(err)
	return err
}

func (c *runCmd) run(std *cli.IO, report *statusFD) error {
	argv := c.Command.Words()
	path, err := findCommand(argv[0])
	if err != nil {
		return err
	}
	pidfile, err := lockfile.Resolve(c.PIDFile)
	if err != nil {
		return err
	}
	lock, err := c.acquire(std, pidfile)
	if err != nil {
		return err
	}
	defer lock.Close() // and keeps it reachable until then
	rec, err := newRecord(std, pidfile, argv)
	if err != nil {
		return err
	}
	if err := holder.Write(lock, rec); err != nil {
		holder.Remove(pidfile)
		return err
	}
	if c.Stay || !execKeepsLock() {
		return stay(lock, rec, path, argv, report)
	}
	err = become(lock, path, argv)
	holder.Remove(pidfile)
	return executeError(argv[0], err)
}

// findCommand fails before anything is locked or written.
func findCommand(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) { // named as ./x by an empty PATH element
		return filepath.Abs(path)
	}
	if err != nil {
		return "", executeError(name, err)
	}
	return path, nil
}

// executeError keeps the shells' difference between 126 and 127.
func executeError(name string, err error) error {
	code := exitcode.CannotExec
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = exitcode.NotFound
	}
	var inner *exec.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return exitcode.Errorf(code, "execute %q: %w", name, err)
}

// acquire returns the lock with the second guard passed.
func (c *runCmd) acquire(std *cli.IO, pidfile string) (*lockfile.Lock, error) {
	if c.KillExisting {
		lock, err := takeOver(std, pidfile, c.KillWait, c.RespectPID)
		if errors.Is(err, errOutlived) {
			return nil, c.held(pidfile)
		}
		return lock, err
	}
	deadline := time.Now().Add(time.Duration(c.Wait))
	for {
		lock, err := c.kernelLock(pidfile, deadline)
		if err != nil {
			return nil, err
		}
		s, err := holder.Guard(pidfile, c.RespectPID)
		if err == nil && !s.Held() {
			return lock, nil
		}
		// Given back before we wait: as its holder without a record we would
		// keep others from replacing the one that we wait for.
		lock.Close()
		if err != nil {
			return nil, err
		}
		if !c.outlast(s, deadline) {
			return nil, c.heldBy(pidfile, s)
		}
	}
}

// kernelLock takes the kernel lock, waiting for it in the kernel if asked to.
func (c *runCmd) kernelLock(pidfile string, deadline time.Time) (*lockfile.Lock, error) {
	lock, err := lockfile.Try(pidfile)
	if !errors.Is(err, lockfile.ErrHeld) {
		return lock, err
	}
	if c.Wait == 0 {
		return nil, c.held(pidfile)
	}
	type result struct {
		lock *lockfile.Lock
		err  error
	}
	done := make(chan result, 1)
	// This goroutine cannot be called off: when the time is over, the end of
	// the process is what ends it.
	go func() {
		lock, err := lockfile.Wait(pidfile)
		done <- result{lock, err}
	}()
	var timeout <-chan time.Time
	if c.Wait != forever {
		timeout = time.After(time.Until(deadline))
	}
	select {
	case r := <-done:
		return r.lock, r.err
	case <-timeout:
		return nil, c.held(pidfile)
	}
}

// outlast waits for a holder that the kernel does not know as one.
func (c *runCmd) outlast(s holder.State, deadline time.Time) bool {
	id, known := s.Identity()
	if c.Wait == 0 {
		return false
	}
	if !known { // it is about to be gone: look again
		time.Sleep(10 * time.Millisecond)
		return c.Wait == forever || time.Now().Before(deadline)
	}
	h, err := process.Open(id)
	if err != nil {
		return errors.Is(err, process.ErrGone) || errors.Is(err, process.ErrReused)
	}
	defer h.Close()
	for c.Wait == forever {
		if err := h.Wait(time.Hour); !errors.Is(err, process.ErrTimeout) {
			return err == nil
		}
	}
	return h.Wait(time.Until(deadline)) == nil
}

// heldError is the failure that carries who is in the way.
type heldError struct {
	err   *exitcode.Error
	state holder.State
}

func (e *heldError) Error() string { return e.err.Error() }
func (e *heldError) Unwrap() error { return e.err }

// held looks once more at who holds the lock, to name it.
func (c *runCmd) held(pidfile string) error {
	s, err := holder.Inspect(pidfile, c.RespectPID)
	if err != nil {
		return err
	}
	return c.heldBy(pidfile, s)
}

func (c *runCmd) heldBy(pidfile string, s holder.State) error {
	still := ""
	if c.Wait != 0 || c.KillExisting {
		still = "still "
	}
	e := exitcode.Errorf(int(c.ConflictExit), "%q is %sheld by %s", c.PIDFile, still, describe(s, time.Now()))
	e.ID = "held"
	e.WithHint("ductor-lock status %q; --wait 30s waits for it, --kill-existing replaces it", c.PIDFile)
	return &heldError{e, s}
}

// newRecord describes this process, which is about to become the command.
func newRecord(std *cli.IO, pidfile string, argv []string) (holder.Record, error) {
	self, err := process.Self()
	if err != nil {
		return holder.Record{}, fmt.Errorf("identify this process: %w", err)
	}
	rec := holder.Record{Identity: self, Command: shown(argv), Since: time.Now()}
	if sup, ok := supervisorOf(std, pidfile); ok {
		rec.Supervisor = &process.Identity{PID: sup.PID, Start: sup.Start, Boot: sup.Boot, PIDNS: sup.PIDNS}
		rec.StopTimeoutSeconds = sup.StopTimeoutSeconds
	}
	return rec, nil
}

// maxShown bounds the command in the record, in bytes: a record must stay
// small enough to be read, and the command in it is for people.
const maxShown = 64 << 10

// shown is the command, cut off where it is longer than anybody reads.
func shown(argv []string) []string {
	size := 0
	for i, word := range argv {
		if size += len(word); size > maxShown {
			return append(slices.Clone(argv[:i]), "…")
		}
	}
	return argv
}

// supervisorOf returns the record of the supervisor that started us for its
// own bot. DUCTOR_SUPERVISOR_PID alone proves nothing: every descendant of the
// bot inherits it, and on Linux even an orphan of the bot has the supervisor
// as its parent. So the PID file must be that bot's, and the supervisor must
// be our parent and hold its own lock.
func supervisorOf(std *cli.IO, pidfile string) (holder.Record, bool) {
	if std.Getenv("DUCTOR_SUPERVISOR_PID") != fmt.Sprint(os.Getppid()) {
		return holder.Record{}, false
	}
	dir, err := home.Find(std.Getenv)
	var name home.Name
	if err != nil || name.UnmarshalText([]byte(std.Getenv("DUCTOR_NAME"))) != nil {
		return holder.Record{}, false
	}
	run := dir.Run(name)
	if own, err := lockfile.Resolve(run.BotPID()); err != nil || own != pidfile {
		return holder.Record{}, false
	}
	s, err := holder.Inspect(run.SupervisePID(), false)
	if err != nil || s.Record == nil || s.PID != os.Getppid() {
		return holder.Record{}, false
	}
	return *s.Record, true
}
