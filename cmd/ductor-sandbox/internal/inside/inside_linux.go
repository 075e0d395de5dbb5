// Package inside is what our program does in the container: it is the first
// process, it runs a command, and it ends what a command has left.
package inside

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ductor/cmd/ductor-sandbox/internal/marked"
	"ductor/internal/common/exitcode"
)

// leftGrace is what a command's background processes have to end, when it has
// ended itself.
const leftGrace = 200 * time.Millisecond

// Main is the program's main function in the container.
func Main(args []string) int {
	switch {
	case len(args) == 1 && args[0] == "idle":
		return idle()
	case len(args) == 1 && args[0] == "probe":
		return probe()
	case len(args) > 2 && args[0] == "run":
		return run(args[1], args[2:])
	}
	return marked.Main(args, os.Stdout)
}

// idle waits for the end. It has Docker's init above it, which reaps.
func idle() int {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	<-end
	return 0
}

// probe says who we are: a container in which that works can run commands.
func probe() int {
	_ = json.NewEncoder(os.Stdout).Encode(map[string]int{"uid": os.Getuid(), "gid": os.Getgid()})
	return 0
}

// run is between Docker and the command. It is there for what Docker does not
// do: background processes that hold the output open do not hold up the end, and
// are ended with it; a command that is not there is 127, and one that cannot be
// executed, or not in that folder, is 126.
func run(dir string, argv []string) int {
	// They come from the terminal or from our own end of the run, and reach the
	// command by themselves.
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	if err := os.Chdir(dir); err != nil {
		return say(exitcode.CannotExec, err)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return notStarted(argv[0], err)
	}
	p, err := start(path, argv)
	if err != nil {
		return notStarted(argv[0], err)
	}
	code, sig := wait(p.Pid)
	_, _, _ = marked.Kill("/proc", os.Getenv(marked.Env), syscall.SIGTERM, leftGrace)
	endChildren()
	how := Ended
	if sig != 0 {
		how = Signal + cmp.Or(unix.SignalName(sig), fmt.Sprintf("SIG%d", sig))
	}
	if !onTerminal() {
		fmt.Fprintf(os.Stderr, "%s%s\n", Prefix(os.Getenv(marked.Env)), how)
	}
	return code
}

// endChildren ends what has no mark, where Kill does not know our container: all
// that the command has left is our child, or becomes it when its own parent ends.
// It also reaps, for as long as it finds somebody.
func endChildren() {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		left := 0
		files, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				continue
			}
			words := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			const threads = 20 - 3 // as proc(5) counts, less what was cut off
			if len(words) > threads && words[1] == strconv.Itoa(os.Getpid()) && (words[0] != "Z" || words[threads] != "1") {
				left++
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		for { // their own children are ours as soon as they are reaped
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// start gives the command the signals as Docker would have.
func start(path string, argv []string) (*os.Process, error) {
	// Ignored signals stay so through exec, so they are not ignored for this
	// moment; the Go runtime resets those that are caught.
	all := []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU}
	caught := make(chan os.Signal, 16)
	signal.Notify(caught, all...)
	defer signal.Ignore(all...)
	return os.StartProcess(path, argv, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
}

// wait reaps all that becomes ours until the command has ended, perhaps of a
// signal.
func wait(pid int) (code int, sig syscall.Signal) {
	for {
		var ws syscall.WaitStatus
		got, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return exitcode.OSErr, 0
		case got == pid && ws.Signaled():
			return exitcode.SignalBase + int(ws.Signal()), ws.Signal()
		case got == pid:
			return ws.ExitStatus(), 0
		}
	}
}

func notStarted(name string, err error) int {
	code := exitcode.CannotExec
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		code = exitcode.NotFound
	}
	return say(code, fmt.Errorf("execute %q: %w", name, err))
}

// say tells the caller that nothing was started, by a line that begins with the
// run's own ID: the code alone could be the command's. On a terminal it is for
// the person in front of it.
func say(code int, err error) int {
	if onTerminal() {
		fmt.Fprintf(os.Stderr, "ductor-sandbox: error: %v\r\n", err)
		return code
	}
	fmt.Fprintf(os.Stderr, "%s%s%v\n", Prefix(os.Getenv(marked.Env)), Refused, err)
	return code
}

func onTerminal() bool {
	_, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS)
	return err == nil
}
