package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"howett.net/plist"

	"ductor/internal/common/exitcode"
)

// fakeVariable names the file with the world in which a launchctl lives.
const fakeVariable = "DUCTOR_FAKE_LAUNCHCTL"

// The test binary is a launchctl when it is called so: there is no real one
// but on macOS. Its answers are those that people have reported.
func init() {
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") != "launchctl" {
		return
	}
	w := loadWorld(os.Getenv(fakeVariable))
	code := w.call(os.Stdout, os.Stderr, os.Args[1:])
	w.save(os.Getenv(fakeVariable))
	os.Exit(code)
}

// world is what the fake launchctl knows.
type world struct {
	Domains  []string            // that there are
	Jobs     map[string]*fakeJob // by domain/label
	Disabled map[string]bool     // by label
	Calls    []string

	Refuse map[string][]int // by verb: what the next calls answer without doing anything
	Fail   int              // the number of the call, from 1, that fails
	With   int              // the exit code that it fails with
	Late   bool             // it does what it was asked for, and then says that it failed
	Drain  int              // how many looks a job outlives its bootout
	Slow   int              // how many looks a job is loaded before it has a process
	Broken bool             // what is loaded cannot be started
	Ends   bool             // what is loaded ends at once, with 0
	PID    int              // of the next process

	out, errs io.Writer
}

// fakeJob is a job that is loaded.
type fakeJob struct {
	Path, Definition string
	PID, Runs, Exit  int
	Signal           string
	State            string // "" for what follows from the rest
	Drain, Slow      int
	Leaving          bool
}

func loadWorld(path string) *world {
	w := &world{}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, w)
	}
	if err != nil {
		panic(err)
	}
	return w
}

func (w *world) save(path string) {
	data, err := json.Marshal(w)
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		panic(err)
	}
}

func (w *world) say(code int, format string, args ...any) int {
	to := w.out
	if code != 0 {
		to = w.errs
	}
	fmt.Fprintf(to, format, args...)
	return code
}

func (w *world) call(out, errs io.Writer, args []string) int {
	w.out, w.errs = out, errs
	w.Calls = append(w.Calls, strings.Join(args, " "))
	verb := args[0]
	if next := w.Refuse[verb]; len(next) > 0 {
		w.Refuse[verb] = next[1:]
		if next[0] != 0 {
			return w.say(next[0], "%s failed: %d\n", verb, next[0])
		}
	}
	if len(w.Calls) == w.Fail && !w.Late {
		return w.say(w.With, "%s failed: %d\n", verb, w.With)
	}
	code := w.verb(verb, args[1:])
	if len(w.Calls) == w.Fail {
		return w.say(w.With, "%s failed: %d\n", verb, w.With)
	}
	return code
}

func (w *world) verb(verb string, args []string) int {
	target := args[len(args)-1]
	label := target[strings.LastIndexByte(target, '/')+1:]
	switch verb {
	case "print":
		return w.print(target)
	case "print-disabled":
		fmt.Fprint(w.out, "\n\tdisabled services = {\n\t\t\"com.example.other\" => true\n")
		for l, off := range w.Disabled {
			fmt.Fprintf(w.out, "\t\t%q => %s\n", l, map[bool]string{true: "disabled", false: "enabled"}[off])
		}
		return w.say(0, "\t}\n")
	case "enable":
		w.Disabled[label] = false
		return 0
	case "disable":
		w.Disabled[label] = true
		return 0
	case "bootstrap":
		return w.bootstrap(args[0], args[1])
	case "bootout":
		return w.bootout(target)
	case "kickstart":
		j := w.Jobs[target]
		if j == nil {
			return w.say(113, "Could not find service %q in domain\n", label)
		}
		if j.PID == 0 || args[0] == "-k" {
			w.start(j)
		}
		return 0
	}
	return w.say(64, "Unrecognized subcommand: %s\n", verb)
}

func (w *world) start(j *fakeJob) {
	j.PID, j.State, j.Runs = w.PID, "", j.Runs+1
	w.PID++
}

func (w *world) print(target string) int {
	if strings.Count(target, "/") == 1 {
		if !slices.Contains(w.Domains, target) {
			return w.say(112, "Bad request.\nCould not find domain for %s\n", target)
		}
		return w.say(0, "%s = {\n\ttype = login\n\tservices = {\n\t\t 0 - com.apple.x\n\t}\n}\n", target)
	}
	j := w.Jobs[target]
	if j == nil {
		return w.say(113, "Bad request.\nCould not find service in domain for %s\n", target)
	}
	if j.Slow > 0 {
		if j.Slow--; j.Slow == 0 {
			w.start(j)
		}
	}
	fmt.Fprintf(w.out, "%s = {\n\tactive count = 1\n\tpath = %s\n\ttype = LaunchAgent\n\tstate = %s\n\n\tprogram = /x\n", target, j.Path, j.state())
	fmt.Fprint(w.out, "\targuments = {\n\t\t/x\n\t\tstate = evil\n\t\t}\n\t}\n\n")
	if j.PID > 0 {
		fmt.Fprintf(w.out, "\tpid = %d\n", j.PID)
	}
	fmt.Fprintf(w.out, "\truns = %d\n", j.Runs)
	switch {
	case j.Signal != "":
		fmt.Fprintf(w.out, "\tlast terminating signal = %s\n", j.Signal)
	case j.Runs == 0 || j.PID > 0 && j.Exit == 0:
		fmt.Fprint(w.out, "\tlast exit code = (never exited)\n")
	default:
		fmt.Fprintf(w.out, "\tlast exit code = %d\n", j.Exit)
	}
	fmt.Fprint(w.out, "\n\tresource coalition = {\n\t\tID = 1\n\t\tstate = active\n\t\tpid = 1\n\t}\n\tproperties = runatload\n}\n")
	if j.Leaving {
		if j.Drain--; j.Drain <= 0 {
			delete(w.Jobs, target)
		}
	}
	return 0
}

func (j *fakeJob) state() string {
	switch {
	case j.State != "":
		return j.State
	case j.Leaving:
		return "SIGTERMed"
	case j.PID > 0:
		return "running"
	}
	return "not running"
}

func (w *world) bootstrap(domain, path string) int {
	data, err := os.ReadFile(path)
	var agent struct{ Label string }
	if err == nil {
		_, err = plist.Unmarshal(data, &agent)
	}
	target := domain + "/" + agent.Label
	switch {
	case err != nil:
		return w.say(1, "%v\n", err)
	case !slices.Contains(w.Domains, domain):
		return w.say(125, "Bootstrap failed: 125: Domain does not support specified action\n")
	case w.Disabled[agent.Label], w.Jobs[target] != nil:
		return w.say(5, "Bootstrap failed: 5: Input/output error\n")
	}
	j := &fakeJob{Path: path, Definition: string(data), Slow: w.Slow}
	w.Jobs[target] = j
	switch {
	case w.Ends:
		j.Runs = 1
	case w.Broken:
		j.Runs, j.Exit, j.State = 1, 78, "spawn scheduled"
	case w.Slow == 0:
		w.start(j)
	}
	return 0
}

func (w *world) bootout(target string) int {
	j := w.Jobs[target]
	switch {
	case j == nil:
		return w.say(3, "Boot-out failed: 3: No such process\n")
	case j.Leaving:
		return w.say(36, "Boot-out failed: 36: Operation now in progress\n")
	case w.Drain == 0:
		delete(w.Jobs, target)
		return 0
	}
	j.Leaving, j.Drain = true, w.Drain
	return w.say(36, "Boot-out failed: 36: Operation now in progress\n")
}

// fake is a launchctl of ours, alone on PATH.
type fake struct {
	t    *testing.T
	path string // of its world
	w    *world // in place of that, where there are no processes
}

func newFake(t *testing.T) *fake {
	t.Helper()
	dir := t.TempDir()
	f := &fake{t: t, path: filepath.Join(dir, "world.json")}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "launchctl")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	if os.Link(self, bin) != nil {
		data, err := os.ReadFile(self)
		if err == nil {
			err = os.WriteFile(bin, data, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	t.Setenv(fakeVariable, f.path)
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	emptyWorld().save(f.path)
	return f
}

func emptyWorld() *world {
	return &world{Domains: []string{"gui/501", "user/501"}, PID: 1_000_000_001, // which is nobody's
		Jobs: map[string]*fakeJob{}, Disabled: map[string]bool{}, Refuse: map[string][]int{}}
}

func (f *fake) world() *world {
	if f.w != nil {
		return f.w
	}
	return loadWorld(f.path)
}

func (f *fake) set(change func(*world)) {
	w := f.world()
	change(w)
	if f.w == nil {
		w.save(f.path)
	}
}

// ask is program.ask without a process.
func (f *fake) ask(ctx context.Context, _ string, args ...string) (outcome, error) {
	if ctx.Err() != nil {
		return outcome{}, exitcode.Errorf(exitcode.Timeout, "not done in time")
	}
	var out, errs strings.Builder
	code := f.w.call(&out, &errs, args)
	return outcome{out.String(), errs.String(), code}, nil
}

// calls are those since the last time, without the looks.
func (f *fake) calls() string {
	var done []string
	f.set(func(w *world) {
		for _, c := range w.Calls {
			if !strings.HasPrefix(c, "print") {
				done = append(done, c)
			}
		}
		w.Calls = nil
	})
	return strings.Join(done, "\n")
}
