//go:build unix

package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
)

var stopSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT}

// ignorePipe: a reader who is gone is seen by the write, and ends the run in
// order. A command on the host gets the signal as we did.
func ignorePipe() {
	if pipeIgnored = signal.Ignored(syscall.SIGPIPE); !pipeIgnored {
		signal.Ignore(syscall.SIGPIPE)
	}
}

var pipeIgnored bool

// claim takes a descriptor for ours alone, since a command on the host has no
// business there. It is false for those of the Go runtime, which are at the first
// free numbers, and for what can only be read.
func claim(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	mode, merr := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || merr != nil || flags&unix.FD_CLOEXEC != 0 || mode&unix.O_ACCMODE == unix.O_RDONLY {
		return false
	}
	if fd > 2 {
		unix.CloseOnExec(fd)
	}
	return true
}

func signalName(n int) string { return unix.SignalName(syscall.Signal(n)) }

// resizes tells when the terminal has another size.
func resizes() (<-chan struct{}, func()) {
	signals, out := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
				select {
				case out <- struct{}{}:
				default:
				}
			case <-done:
				return
			}
		}
	}()
	return out, func() { signal.Stop(signals); close(done) }
}

// readerGone tells when nobody can read what is written to f any more: of a
// command that says nothing for an hour, no write would find that out.
func readerGone(f *os.File) <-chan struct{} {
	info, err := f.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeCharDevice) == 0 {
		return nil
	}
	gone := make(chan struct{})
	go func() {
		for {
			fds := []unix.PollFd{{Fd: int32(f.Fd())}}
			n, err := unix.Poll(fds, -1)
			switch {
			case errors.Is(err, unix.EINTR):
			case err != nil || n == 0 || fds[0].Revents&unix.POLLNVAL != 0:
				return
			default:
				close(gone)
				return
			}
		}
	}()
	return gone
}

// become turns this process into the command.
func become(_ *cli.IO, path string, argv, env []string) error {
	signal.Reset()
	restorePipe()
	err := syscall.Exec(path, argv, env)
	return exitcode.Errorf(exitcode.CannotExec, "execute %q: %w", path, err)
}

// restorePipe: what is caught is not caught after exec, what is ignored stays so.
func restorePipe() {
	if !pipeIgnored {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

func codeOf(st *os.ProcessState) int {
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return exitcode.SignalBase + int(ws.Signal())
	}
	return st.ExitCode()
}

func ownedByRoot(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == 0
}

// isMine reports whether the file is that of who runs us.
func isMine(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(st.Uid) == os.Geteuid()
}
