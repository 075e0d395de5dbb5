//go:build linux

// Command fakecli plays an AI CLI in a container that holds nothing else.
// It is static, and does what its first argument says:
//
//	args …            print the arguments as a JSON array
//	both              write "out" to standard output and "err" to standard error
//	cat               copy standard input to standard output
//	dial ADDR         connect to HOST:PORT or unix:PATH, and print "connected"
//	die N             die of signal N, such as 15
//	eat BYTES         take memory and touch it, then print "ate BYTES"
//	env NAME          print a variable; exit 1 if it is not set
//	exit N            exit with N
//	flood BYTES       write BYTES bytes, which are numbered lines of 16 bytes
//	forkbomb N        start N processes that stay; print how many; exit 1 if it was fewer
//	fountain FILE     start short-lived children for ever, ignoring TERM; FILE holds our PID
//	headless FILE     let the first thread end and go on without it; FILE holds our PID
//	hydra FILE        a chain of processes, each of which ignores TERM, starts the next and ends; FILE appears
//	                  at the third, and removing it ends the chain
//	id                print the user as JSON: uid, gid, groups, name ("" without a passwd entry), home
//	idle              what PID 1 of a container runs: wait until TERM, reaping who is left to us
//	orphan SECONDS    leave a child that keeps standard output open and writes "late" at its end; exit 7 at once
//	pwd               print the working directory
//	read PATH         print a file
//	sigs FILE         write "ready", and the name of each signal that comes; only KILL ends us
//	sleep             wait for ever; any signal ends us
//	swap PATH TARGET  make a folder with a file config, and exchange it with a link to TARGET for ever
//	tick              print a number every 10 ms
//	tree FILE         leave a child, and that one a grandchild in a session of its own; both ignore TERM;
//	                  FILE is a JSON object of the PIDs main, child, grandchild; wait for ever
//	winsize           print rows and columns of the terminal, and again when they change
//	wiped FILE        like tree, but the child has no environment; FILE holds main and child
//	write PATH TEXT   create a file
//
// FILE may be - for standard output. Files appear whole. A call that fails
// exits 1 with the system's own words on standard error.
// Called sh it succeeds at once: it stands in for a shell in images without one.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

type verb struct {
	args int // that it needs
	do   func(args []string)
}

func verbs() map[string]verb {
	return map[string]verb{
		"args": {0, printArgs}, "both": {0, both}, "cat": {0, cat}, "dial": {1, dial}, "die": {1, die}, "eat": {1, eat}, "env": {1, env},
		"exit": {1, exit}, "flood": {1, flood}, "forkbomb": {1, forkbomb}, "fountain": {1, fountain}, "headless": {1, headless},
		"hydra": {1, hydra}, "id": {0, id}, "idle": {0, idle}, "orphan": {1, orphan}, "pwd": {0, pwd}, "read": {1, read}, "sigs": {1, sigs},
		"sleep": {0, sleep}, "swap": {2, swap}, "tick": {0, tick}, "tree": {1, tree}, "winsize": {0, winsize}, "wiped": {1, wiped}, "write": {2, write},
		// What the verbs above start.
		"-brief": {0, func([]string) {}}, "-late": {1, late}, "-leaf": {0, leaf}, "-branch": {0, branch}, "-head": {1, head},
	}
}

func die(args []string) {
	n, err := strconv.Atoi(args[0])
	if err == nil {
		err = unix.Kill(os.Getpid(), unix.Signal(n))
	}
	if err != nil {
		fail("%v", err)
	}
	select {}
}

func swap(args []string) {
	link := args[0] + ".link"
	err := os.Mkdir(args[0], 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(args[0], "config"), nil, 0o600)
	}
	if err == nil {
		err = os.Symlink(args[1], link)
	}
	for err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, args[0], unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
		time.Sleep(time.Millisecond)
	}
	fail("%v", err)
}

func main() {
	if filepath.Base(os.Args[0]) == "sh" {
		return
	}
	if len(os.Args) < 2 {
		fail("fakecli: a verb is missing")
	}
	v, ok := verbs()[os.Args[1]]
	if !ok || len(os.Args)-2 < v.args {
		fail("fakecli: what is %q?", os.Args[1:])
	}
	if os.Args[1] != "headless" {
		runtime.UnlockOSThread()
	}
	v.do(os.Args[2:])
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		fail("fakecli: %v", err)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	check(err)
	return n
}

// put writes a file that appears whole.
func put(path, text string) {
	if path == "-" {
		fmt.Print(text)
		return
	}
	check(os.WriteFile(path+".new", []byte(text), 0o644))
	check(os.Rename(path+".new", path))
}

func printJSON(v any) string {
	data, err := json.Marshal(v)
	check(err)
	return string(data) + "\n"
}

func printArgs(args []string) { fmt.Print(printJSON(append([]string{}, args...))) }

func both([]string) {
	fmt.Fprintln(os.Stdout, "out")
	fmt.Fprintln(os.Stderr, "err")
}

func cat([]string) {
	_, err := io.Copy(os.Stdout, os.Stdin)
	check(err)
}

func dial(args []string) {
	network, addr := "tcp", args[0]
	if path, isUnix := strings.CutPrefix(addr, "unix:"); isUnix {
		network, addr = "unix", path
	}
	conn, err := net.DialTimeout(network, addr, 5*time.Second)
	check(err)
	conn.Close()
	fmt.Println("connected")
}

// eat maps the memory itself: what Go allocates is not touched until it is used.
func eat(args []string) {
	n := number(args[0])
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	check(err)
	for i := 0; i < n; i += os.Getpagesize() {
		mem[i] = 1
	}
	fmt.Println("ate", n)
}

func env(args []string) {
	value, ok := os.LookupEnv(args[0])
	if !ok {
		os.Exit(1)
	}
	fmt.Println(value)
}

func exit(args []string) { os.Exit(number(args[0])) }

func flood(args []string) {
	var block strings.Builder
	for i := range 4096 {
		fmt.Fprintf(&block, "%015d\n", i)
	}
	for left := number(args[0]); left > 0; left -= min(left, block.Len()) {
		_, err := io.WriteString(os.Stdout, block.String()[:min(left, block.Len())])
		check(err)
	}
}

func id([]string) {
	groups, err := os.Getgroups()
	check(err)
	name := ""
	// Without cgo, user.Current answers from $USER where passwd has no line.
	if u, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil {
		name = u.Username
	}
	fmt.Print(printJSON(map[string]any{"uid": os.Getuid(), "gid": os.Getgid(), "groups": append([]int{}, groups...), "name": name, "home": os.Getenv("HOME")}))
}

func pwd([]string) {
	dir, err := os.Getwd()
	check(err)
	fmt.Println(dir)
}

func read(args []string) {
	f, err := os.Open(args[0])
	check(err)
	_, err = io.Copy(os.Stdout, f)
	check(err)
}

func write(args []string) { check(os.WriteFile(args[0], []byte(args[1]), 0o644)) }

func tick([]string) {
	for i := 0; ; i++ {
		_, err := fmt.Println(i)
		check(err)
		time.Sleep(10 * time.Millisecond)
	}
}

func winsize([]string) {
	changed := make(chan os.Signal, 8)
	signal.Notify(changed, unix.SIGWINCH)
	for {
		size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		check(err)
		fmt.Println(size.Row, size.Col)
		<-changed
	}
}

// self is another copy of us, with our streams.
func self(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "fakecli"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	return cmd
}
