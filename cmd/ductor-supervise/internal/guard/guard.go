//go:build unix

// Package guard ends a bot whose supervisor was killed, where the system has no
// parent-death signal.
//
// A guard is a small process in the bot's own group. It waits, without waking,
// for the end of the supervisor or of the bot, whichever comes first. Being in
// the group it is ended with it like anything else, and keeps the group's
// number from being given to another one for as long as it may signal that.
package guard

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ductor/internal/common/exitcode"
	"ductor/internal/common/process"
)

// Name is argv[0] of a guard: no verb of the command line, which is the bot's,
// and it tells in ps(1) what that process is.
const Name = "ductor-guard"

// Start starts a guard over a child of this process that leads its group. With
// alone only the leader is asked to end.
func Start(leader int, alone bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Args = []string{Name, strconv.Itoa(os.Getpid()), strconv.Itoa(leader), strconv.FormatBool(alone)}
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: leader}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the guard of PID %d: %w", leader, err)
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

// Run is a guard's life, and returns its exit code.
func Run(args []string) int {
	if len(args) != 3 {
		return exitcode.Usage
	}
	supervisor, err1 := strconv.Atoi(args[0])
	leader, err2 := strconv.Atoi(args[1])
	alone, err3 := strconv.ParseBool(args[2])
	if err1 != nil || err2 != nil || err3 != nil || unix.Getpgrp() != leader {
		return exitcode.Usage
	}
	bot, err := process.Of(leader)
	if err != nil {
		return exitcode.OK
	}
	over, orphaned := make(chan struct{}), make(chan struct{})
	go await(bot, over)
	go func() {
		// Asked for after it was looked at: if our parent is still the
		// supervisor then, it is the process that was looked at.
		if id, err := process.Of(supervisor); err == nil && os.Getppid() == supervisor {
			await(id, orphaned)
		} else {
			close(orphaned)
		}
	}()
	select {
	case <-over:
	case <-orphaned:
		end(bot, alone)
	}
	return exitcode.OK
}

// await closes done when the process has ended.
func await(id process.Identity, done chan<- struct{}) {
	defer close(done)
	h, err := process.Open(id)
	if err != nil {
		return
	}
	defer h.Close()
	for h.Wait(24*time.Hour) == process.ErrTimeout {
	}
}

// end asks the bot to end, once, as a parent-death signal does: the next
// supervisor kills what does not obey.
func end(bot process.Identity, alone bool) {
	if alone {
		if h, err := process.Open(bot); err == nil {
			_ = h.Terminate()
			h.Close()
		}
		return
	}
	signal.Ignore(unix.SIGTERM) // of the group that we are in
	_ = unix.Kill(0, unix.SIGTERM)
	_ = unix.Kill(0, unix.SIGCONT)
}
