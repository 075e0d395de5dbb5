// Package marked finds the processes of a run, and ends them.
//
// Docker can start a process in a container, and cannot end it. So each run gets
// a mark, the variable Env, which its processes hand down to their children
// wherever these go. This package runs inside the container, as the user of the
// runs: as a hidden verb of the program where that can run there, else as Script.
//
// What it cannot see: a process that replaced its whole environment and whose
// parent has ended already, one whose program overwrote its environment in
// place (setproctitle of some servers), and one that the kernel hides from its
// own user (ssh-agent). Where the program itself is the container's first
// process, Kill ends these too, by where they have come from.
package marked

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"ductor/internal/common/exitcode"
)

// Env is the variable that marks the processes of a run; its value is the
// run's ID.
const Env = "DUCTOR_EXEC_ID"

var idForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`) })

// Valid reports whether a run can have this ID. What a container's processes
// put into their environment otherwise is not looked at.
func Valid(id string) bool { return idForm().MatchString(id) }

// signals are those that a run can be asked to end by; the numbers are Linux's,
// where this runs.
var signals = map[string]syscall.Signal{"HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "USR1": 10, "USR2": 12, "TERM": 15}

// Signal returns the number, on Linux, of a name like TERM or SIGTERM.
func Signal(name string) (syscall.Signal, error) {
	sig, ok := signals[strings.TrimPrefix(name, "SIG")]
	if !ok {
		return 0, exitcode.Errorf(exitcode.Usage, "signal %q: it is none of HUP, INT, QUIT, KILL, USR1, USR2, TERM", name)
	}
	return sig, nil
}

// Runs is what list prints.
type Runs struct {
	Runs map[string][]int `json:"runs"`
}

// Result is what kill prints.
type Result struct {
	Killed int `json:"killed"`
	Left   int `json:"left"`
}

// Main is the hidden verb: `list` prints Runs, `kill ID SIGNAL GRACE` prints
// Result, as one line of JSON. What goes wrong is a line {"error":…} instead.
// It returns the exit code: 0, 1 if processes are left, 64, 71.
func Main(args []string, out io.Writer) int {
	answer, code, err := answer("/proc", args)
	if err != nil {
		answer, code = map[string]string{"error": err.Error()}, exitcode.Of(err)
	}
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		return exitcode.IOErr
	}
	return code
}

func answer(proc string, args []string) (any, int, error) {
	if len(args) == 1 && args[0] == "list" {
		runs, err := List(proc)
		return Runs{runs}, exitcode.OK, err
	}
	id, sig, grace, err := parseKill(args)
	if err != nil {
		return nil, 0, err
	}
	left, killed, err := Kill(proc, id, sig, grace)
	if err == nil && left > 0 {
		return Result{killed, left}, exitcode.No, nil
	}
	return Result{killed, left}, exitcode.OK, err
}

func parseKill(args []string) (id string, sig syscall.Signal, grace time.Duration, err error) {
	if len(args) != 4 || args[0] != "kill" {
		return "", 0, 0, exitcode.Errorf(exitcode.Usage, "usage: list | kill ID SIGNAL GRACE")
	}
	if id = args[1]; !Valid(id) {
		return "", 0, 0, badID(id)
	}
	if sig, err = Signal(args[2]); err != nil {
		return "", 0, 0, err
	}
	if grace, err = time.ParseDuration(args[3]); err != nil || grace < 0 {
		return "", 0, 0, exitcode.Errorf(exitcode.Usage, "grace %q: it is no duration like 5s", args[3])
	}
	return id, sig, grace, nil
}

func badID(id string) error {
	return exitcode.Errorf(exitcode.Usage, "run ID %q: it is no name of letters, digits, dot, dash and underscore", id)
}

// Sh returns the command that does by Script, in the container's own shell, what
// Main does with these arguments. Its grace is of whole seconds, rounded up.
func Sh(args ...string) ([]string, error) {
	// A second shell, because a mark stays readable in the one that got it.
	argv := []string{"/bin/sh", "-c", "unset " + Env + `; exec /bin/sh -c "$@"`, "ductor-reap", Script, "ductor-reap"}
	if len(args) == 1 && args[0] == "list" {
		return append(argv, "list"), nil
	}
	id, _, grace, err := parseKill(args)
	if err != nil {
		return nil, err
	}
	seconds := strconv.FormatFloat(math.Ceil(grace.Seconds()), 'f', -1, 64)
	return append(argv, "kill", id, strings.TrimPrefix(args[2], "SIG"), seconds), nil
}

// Parse reads what Main or Script printed; into is a *Runs or a *Result.
func Parse(out []byte, into any) error {
	var failed struct{ Error string }
	if err := json.Unmarshal(out, &failed); err != nil {
		return fmt.Errorf("read the answer of the container %.200q: %w", out, err)
	}
	if failed.Error != "" {
		return fmt.Errorf("in the container: %q", failed.Error)
	}
	return json.Unmarshal(out, into)
}
