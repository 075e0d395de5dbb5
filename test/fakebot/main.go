// Command fakebot is a bot that does what its arguments say, in order: the
// child of the tests. It fails loudly when a second copy lives.
//
//	alone FILE        fail (exit 99, and a line in FILE.twins) if another process holds FILE
//	log FILE          append "start PID RESTARTS REASON" to FILE
//	exit N            exit with N
//	exits FILE        exit with the Nth word of FILE at the Nth start (counted in FILE.n); "run" goes on, "wait" waits
//	pick FILE         go on with a line of FILE, the next one at each start (counted in FILE.n)
//	after D           wait for D
//	ignore SIG        ignore TERM, INT, HUP …
//	on SIG N          exit with N on that signal
//	group D           leave a child in our group that lives for D
//	setsid D          leave a child in a session of its own that lives for D
//	wiped D           the same, without any environment
//	leave HOW FILE    leave a descendant that writes its PID to FILE; HOW is any of group, setsid, daemon (orphaned
//	                  already), wiped, stubborn (ignores TERM), stdout (holds ours open), separated by commas
//	pid FILE          write our PID to FILE
//	fds FILE          write the list of open descriptors to FILE
//	console FILE      write the PIDs of all that share our console (Windows)
//	closeall          close every descriptor from 3 upward
//	env FILE          write the environment to FILE
//	touch FILE        create FILE
//	beat FILE N D     touch FILE, as a sign of life, N times with D in between
//	notify TEXT       send TEXT, in which \n is a new line, to $NOTIFY_SOCKET
//	marker FILE       create FILE with "1"
//	echo FILE         append each line of standard input to FILE, until its end
//	say TEXT          write a line to standard output
//	cry TEXT          write a line to standard error
//	mutter TEXT       write to standard error, and do not end the line
//	count N           write N numbered lines to standard output
//	spew N            write N bytes to standard output
//	consume FILE N    wait for FILE, remove it, exit with N
//	sigs FILE         append the name of each signal to FILE; TERM ends us with 0
//	wait              until a signal ends us
//
// Called true or echo it is that program, for systems that lack them.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	switch strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") {
	case "true":
		return
	case "echo":
		fmt.Println(strings.Join(args, " "))
		return
	}
	for len(args) > 0 {
		verb := args[0]
		n, ok := arity[verb]
		if !ok || len(args) < n+1 {
			fail("fakebot: what is %q?", args)
		}
		if verb == "pick" {
			args = pick(args[1])
			continue
		}
		do(verb, args[1:n+1])
		args = args[n+1:]
	}
}

var arity = map[string]int{"alone": 1, "log": 1, "exit": 1, "exits": 1, "pick": 1, "after": 1, "ignore": 1, "on": 2, "group": 1, "setsid": 1,
	"wiped": 1, "pid": 1, "fds": 1, "console": 1, "closeall": 0, "env": 1, "touch": 1, "marker": 1, "echo": 1, "spew": 1, "wait": 0,
	"beat": 3, "notify": 1, "leave": 2, "say": 1, "cry": 1, "mutter": 1, "count": 1, "consume": 2, "sigs": 1}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(98)
}

func check(err error) {
	if err != nil {
		fail("fakebot: %v", err)
	}
}

func do(verb string, a []string) {
	switch verb {
	case "alone":
		alone(a[0])
	case "log":
		appendLine(a[0], fmt.Sprintf("start %d %s %s", os.Getpid(), os.Getenv("DUCTOR_RESTARTS"), os.Getenv("DUCTOR_RESTART_REASON")))
	case "exit":
		n, err := strconv.Atoi(a[0])
		check(err)
		os.Exit(n)
	case "exits":
		exits(a[0])
	case "after":
		d, err := time.ParseDuration(a[0])
		check(err)
		time.Sleep(d)
	case "ignore":
		ignore(signals[a[0]])
	case "on":
		n, err := strconv.Atoi(a[1])
		check(err)
		c := make(chan os.Signal, 1)
		signal.Notify(c, signals[a[0]])
		handled()
		go func() { <-c; os.Exit(n) }()
	case "group", "setsid", "wiped":
		leaveFor(verb, a[0])
	case "leave":
		leave(a[0], a[1])
	case "pid":
		writePID(a[0])
	case "fds":
		check(os.WriteFile(a[0]+".tmp", []byte(descriptors()), 0o600))
		check(os.Rename(a[0]+".tmp", a[0]))
	case "console":
		check(os.WriteFile(a[0], []byte(fmt.Sprintln(console())), 0o600))
	case "closeall":
		closeAll()
	case "env":
		check(os.WriteFile(a[0]+".tmp", []byte(strings.Join(os.Environ(), "\n")+"\n"), 0o600))
		check(os.Rename(a[0]+".tmp", a[0]))
	case "touch":
		check(os.WriteFile(a[0], nil, 0o600))
	case "notify":
		tellSocket(a[0])
	case "beat":
		beat(a[0], a[1], a[2])
	case "marker":
		check(os.WriteFile(a[0], []byte("1"), 0o600))
	case "echo":
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			appendLine(a[0], lines.Text())
		}
	case "spew":
		n, err := strconv.Atoi(a[0])
		check(err)
		_, _ = os.Stdout.Write(bytes.Repeat([]byte("x"), n))
	case "say":
		fmt.Println(a[0])
	case "cry":
		fmt.Fprintln(os.Stderr, a[0])
	case "mutter":
		fmt.Fprint(os.Stderr, a[0])
	case "count":
		n, err := strconv.Atoi(a[0])
		check(err)
		for i := range n {
			fmt.Println("line", i+1)
		}
	case "consume":
		n, err := strconv.Atoi(a[1])
		check(err)
		for os.Remove(a[0]) != nil {
			time.Sleep(time.Millisecond)
		}
		os.Exit(n)
	case "sigs":
		recordSignals(a[0])
	case "wait":
		for {
			time.Sleep(time.Hour)
		}
	}
}

// descriptors lists ours, a line each: "fd 3 -> /where". One that is closed
// while we look (the list's own) is left out.
func descriptors() string {
	entries, err := os.ReadDir("/proc/self/fd")
	check(err)
	var list strings.Builder
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			fmt.Fprintf(&list, "fd %s -> %s\n", e.Name(), target)
		}
	}
	return list.String()
}

func appendLine(path, line string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	check(err)
	defer f.Close()
	_, err = f.WriteString(line + "\n")
	check(err)
}

// exits takes the code of this start from a script of codes.
func exits(path string) {
	words, err := os.ReadFile(path)
	check(err)
	count, _ := os.ReadFile(path + ".n")
	n, _ := strconv.Atoi(strings.TrimSpace(string(count)))
	check(os.WriteFile(path+".n", []byte(strconv.Itoa(n+1)), 0o600))
	codes := strings.Fields(string(words))
	if n >= len(codes) || codes[n] == "run" {
		return
	}
	if codes[n] == "wait" {
		time.Sleep(time.Hour)
	}
	code, err := strconv.Atoi(codes[n])
	check(err)
	os.Exit(code)
}

func pick(path string) []string {
	text, err := os.ReadFile(path)
	check(err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	count, _ := os.ReadFile(path + ".n")
	n, _ := strconv.Atoi(strings.TrimSpace(string(count)))
	check(os.WriteFile(path+".n", []byte(strconv.Itoa(n+1)), 0o600))
	return strings.Fields(lines[n%len(lines)])
}

func tellSocket(text string) {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	check(err)
	defer c.Close()
	_, err = c.Write([]byte(strings.ReplaceAll(text, `\n`, "\n")))
	check(err)
}

func beat(path, times, every string) {
	n, err := strconv.Atoi(times)
	check(err)
	d, err := time.ParseDuration(every)
	check(err)
	for range n {
		now := time.Now()
		if os.Chtimes(path, now, now) != nil {
			check(os.WriteFile(path, nil, 0o600))
		}
		time.Sleep(d)
	}
}

func writePID(path string) {
	check(os.WriteFile(path+".tmp", []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600))
	check(os.Rename(path+".tmp", path))
}

// recordSignals returns when the signals that can be caught are.
func recordSignals(path string) {
	c := make(chan os.Signal, 16)
	for _, sig := range signals {
		signal.Notify(c, sig)
	}
	handled()
	go func() {
		for sig := range c {
			for name, s := range signals {
				if s == sig {
					appendLine(path, name)
				}
			}
			if sig == signals["TERM"] {
				os.Exit(0)
			}
		}
	}()
}

// leave starts a descendant that outlives us unless somebody ends it, and
// returns when its PID is in the file.
func leave(how, file string) {
	_ = os.Remove(file)
	self, err := os.Executable()
	check(err)
	args := []string{"pid", file, "after", "10m"}
	cmd := exec.Command(self)
	for _, h := range strings.Split(how, ",") {
		switch h {
		case "setsid":
			cmd.SysProcAttr = newSession()
		case "wiped":
			cmd.Env = []string{}
		case "stubborn":
			args = append([]string{"ignore", "TERM"}, args...)
		case "stdout":
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		case "daemon":
			rest := strings.Join(slices.DeleteFunc(strings.Split(how, ","), func(h string) bool { return h == "daemon" }), ",")
			cmd := exec.Command(self, "leave", rest+",setsid", file)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			check(cmd.Run())
			return
		}
	}
	cmd.Args = append(cmd.Args, args...)
	check(cmd.Start())
	for {
		if _, err := os.Stat(file); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// leaveFor does the same for a time, without waiting.
func leaveFor(how, d string) {
	self, err := os.Executable()
	check(err)
	cmd := exec.Command(self, "after", d)
	if how != "group" {
		cmd.SysProcAttr = newSession()
	}
	if how == "wiped" {
		cmd.Env = []string{}
	}
	check(cmd.Start())
}

// signals by the names that scripts have for them.
var signals = map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP}
