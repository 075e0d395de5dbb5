// Command pulse is a bot with nothing to do: it shows what a supervisor does
// for one. It prints a pulse, and obeys what is typed.
//
// It needs nothing of ductor's but two conventions: exit code 42 means "start
// me again", and restart-sentinel.json in $DUCTOR_HOME carries a message over
// to the next start.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// restart is the exit code that asks the supervisor for another start.
const restart = 42

const help = `
  Type  /restart [message]   exit with 42: started again at once, with the message
        /crash               exit with 1: started again after a growing delay
        /hang                ignore SIGTERM: a stop takes ten seconds, and a SIGKILL
        /quit                exit with 0: the supervisor ends too
  or press Ctrl-C, which reaches the supervisor, and it stops the bot.
`

func main() { os.Exit(run(os.Stdin, os.Stdout, os.Getenv)) }

func run(in io.Reader, out io.Writer, getenv func(string) string) int {
	home := getenv("DUCTOR_HOME")
	greet(out, home, getenv("DUCTOR_RESTARTS"), getenv("DUCTOR_RESTART_REASON"))
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	lines := make(chan string)
	go read(in, lines)
	beat := time.NewTicker(5 * time.Second)
	defer beat.Stop()
	for n := 1; ; {
		select {
		case <-stop:
			fmt.Fprintln(out, "pulse: SIGTERM, good-bye")
			return 0
		case <-beat.C:
			fmt.Fprintf(out, "pulse: ♥ %d\n", n)
			n++
		case line := <-lines:
			if code, end := obey(out, home, line); end {
				return code
			}
		}
	}
}

// greet says which start this is, and delivers what the last run left.
func greet(out io.Writer, home, restarts, reason string) {
	switch {
	case restarts == "":
		fmt.Fprintf(out, "pulse: PID %d, without a supervisor\n", os.Getpid())
	case restarts == "0":
		fmt.Fprintf(out, "pulse: PID %d, supervised\n%s\n", os.Getpid(), help)
	default:
		fmt.Fprintf(out, "pulse: PID %d, restart %s (%s)\n", os.Getpid(), restarts, reason)
	}
	path := filepath.Join(home, "restart-sentinel.json")
	data, err := os.ReadFile(path)
	if home == "" || err != nil {
		return
	}
	os.Remove(path)
	var s struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(data, &s) == nil {
		fmt.Fprintf(out, "pulse: the last run says: %q\n", s.Message)
	}
}

func read(in io.Reader, lines chan<- string) {
	scan := bufio.NewScanner(in)
	for scan.Scan() {
		lines <- strings.TrimSpace(scan.Text())
	}
}

// obey does what was typed, and reports whether that ends the run.
func obey(out io.Writer, home, line string) (code int, end bool) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "":
		return 0, false
	case "/restart":
		if err := leave(home, rest); err != nil {
			fmt.Fprintln(out, "pulse:", err)
		}
		return restart, true
	case "/crash":
		fmt.Fprintln(out, "pulse: I shall crash now")
		return 1, true
	case "/hang":
		signal.Ignore(syscall.SIGTERM)
		fmt.Fprintln(out, "pulse: I ignore SIGTERM from now on; try Ctrl-C, wait ten seconds or press it again")
		return 0, false
	case "/quit":
		return 0, true
	}
	fmt.Fprintf(out, "pulse: I do not know %q%s", word, help)
	return 0, false
}

// leave writes restart-sentinel.json for the next start.
func leave(home, message string) error {
	if home == "" {
		return nil
	}
	if message == "" {
		message = "back again"
	}
	data, err := json.Marshal(map[string]any{
		"chat_id": 1, "message": message, "timestamp": time.Now().UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	path := filepath.Join(home, "restart-sentinel.json")
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
