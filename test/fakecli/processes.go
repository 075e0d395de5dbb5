//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// forever is for select{}, which a runtime without other goroutines calls a
// deadlock.
func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

func sleep([]string) { forever() }

// idle reaps, because PID 1 inherits every orphan of its container.
func idle([]string) {
	got := make(chan os.Signal, 8)
	signal.Notify(got, unix.SIGTERM, unix.SIGINT, unix.SIGCHLD)
	for sig := range got {
		if sig != unix.SIGCHLD {
			return
		}
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && err != unix.EINTR {
				break
			}
		}
	}
}

// sigs leaves out URG, by which Go's runtime interrupts itself.
func sigs(args []string) {
	out := os.Stdout
	if args[0] != "-" {
		f, err := os.OpenFile(args[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		check(err)
		out = f
	}
	got := make(chan os.Signal, 64)
	signal.Notify(got)
	fmt.Fprintln(out, "ready")
	for sig := range got {
		if sig != unix.SIGURG {
			fmt.Fprintln(out, unix.SignalName(sig.(syscall.Signal)))
		}
	}
}

// started runs a copy of us and returns what it says, by descriptor 3, once it
// ignores TERM.
func started(cmd *exec.Cmd) string {
	r, w, err := os.Pipe()
	check(err)
	cmd.ExtraFiles = []*os.File{w}
	check(cmd.Start())
	w.Close()
	line, err := bufio.NewReader(r).ReadString('\n')
	check(err)
	r.Close()
	return strings.TrimSpace(line)
}

func tell(words ...any) {
	pipe := os.NewFile(3, "pipe")
	fmt.Fprintln(pipe, words...)
	pipe.Close()
}

func tree(args []string) {
	child := self("-branch")
	grandchild := number(started(child))
	put(args[0], printJSON(map[string]int{"main": os.Getpid(), "child": child.Process.Pid, "grandchild": grandchild}))
	forever()
}

func branch([]string) {
	signal.Ignore(unix.SIGTERM)
	leaf := self("-leaf")
	leaf.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	tell(started(leaf))
	forever()
}

func leaf([]string) {
	signal.Ignore(unix.SIGTERM)
	tell(os.Getpid())
	forever()
}

func wiped(args []string) {
	child := self("-leaf")
	child.Env = []string{}
	started(child)
	put(args[0], printJSON(map[string]int{"main": os.Getpid(), "child": child.Process.Pid}))
	forever()
}

func orphan(args []string) {
	check(self("-late", args[0]).Start())
	os.Exit(7)
}

func late(args []string) {
	time.Sleep(time.Duration(number(args[0])) * time.Second)
	fmt.Println("late")
}

// forkbomb starts no more than it was told to, so that a limit that is missing
// costs nothing but a failed test.
func forkbomb(args []string) {
	var children []*exec.Cmd
	var err error
	for range number(args[0]) {
		child := self("sleep")
		if err = child.Start(); err != nil {
			break
		}
		children = append(children, child)
	}
	fmt.Println("started", len(children))
	for _, c := range children {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	check(err)
}

func fountain(args []string) {
	signal.Ignore(unix.SIGTERM)
	put(args[0], strconv.Itoa(os.Getpid())+"\n")
	for {
		child := self("-brief")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if child.Start() == nil {
			go func() { _ = child.Wait() }()
		}
	}
}

// hydra's first process ends as well: nobody waits for the others. Nothing that
// lists processes ever sees it, so it ends by itself when its file is removed.
func hydra(args []string) { check(self("-head", "3", args[0]).Start()) }

func head(args []string) {
	signal.Ignore(unix.SIGTERM)
	n := number(args[0])
	if n == 0 {
		put(args[1], "there\n")
	}
	if _, err := os.Stat(args[1]); n < 0 && err != nil {
		return
	}
	next := self("-head", strconv.Itoa(n-1), args[1])
	next.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	check(next.Start())
}

// headless: /proc shows a zombie without an environment, and yet it lives.
func headless(args []string) {
	if unix.Gettid() != os.Getpid() {
		fail("fakecli: not on the first thread")
	}
	go func() {
		stat := fmt.Sprintf("/proc/%d/stat", os.Getpid())
		for {
			data, err := os.ReadFile(stat)
			check(err)
			if strings.Contains(string(data), ") Z ") {
				break
			}
			time.Sleep(time.Millisecond)
		}
		put(args[0], strconv.Itoa(os.Getpid())+"\n")
		forever()
	}()
	_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
}

// init keeps main on the first thread, for headless; main lets go of it for the
// other verbs.
func init() { runtime.LockOSThread() }
