package inside

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ductor/cmd/ductor-sandbox/internal/image/fakeimage"
	"ductor/cmd/ductor-sandbox/internal/marked"
	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
)

// helper makes this test program the one in the container.
const helper = "DUCTOR_TEST_INSIDE"

func init() {
	role := os.Getenv(helper)
	os.Unsetenv(helper) // the commands are others
	switch role {
	case "one":
		os.Exit(Main(os.Args[1:]))
	case "early": // a signal before it listens does not end us
		signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT)
		fmt.Println("ready")
		os.Exit(Main(os.Args[1:]))
	case "many": // one after the other: to start with the race detector takes its time
		var commands [][]string
		if err := json.NewDecoder(os.Stdin).Decode(&commands); err != nil {
			panic(err)
		}
		codes := []int{}
		for _, argv := range commands {
			codes = append(codes, Main(append([]string{"run", "/"}, argv...)))
		}
		_ = json.NewEncoder(os.Stdout).Encode(codes)
		os.Exit(0)
	}
}

func TestMain(m *testing.M) { clitest.Main(m) }

var compiled = sync.OnceValues(func() (string, error) {
	dir, err := clitest.Folder()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "fakecli")
	return path, fakeimage.Compile(path, "")
})

func fakecli(t *testing.T) string {
	t.Helper()
	path, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// program is one of ours, under a mark that nobody else has.
type program struct {
	*exec.Cmd
	t        *testing.T
	id       string
	ended    chan struct{}
	out, err bytes.Buffer
}

// prepare is Main with these words. Whatever happens, nobody of the run outlives
// the test.
func prepare(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command("/proc/self/exe", args...), t: t, id: "ductor-test-" + rand.Text(), ended: make(chan struct{})}
	p.Env = append(os.Environ(), helper+"=one", marked.Env+"="+p.id)
	p.Stdout, p.Stderr = &p.out, &p.err
	t.Cleanup(func() {
		if _, killed, err := marked.Kill("/proc", p.id, syscall.SIGKILL, 0); killed > 0 || err != nil {
			t.Errorf("%d processes outlived their run, %v", killed, err)
		}
	})
	return p
}

// code runs it to its end. What holds its output open holds up that.
func (p *program) code() int {
	p.t.Helper()
	if p.Process == nil {
		p.start()
	}
	clitest.Wait(p.t, fmt.Sprintf("the end of %q", p.Args), func() bool {
		select {
		case <-p.ended:
			return true
		default:
			return false
		}
	})
	return clitest.CodeOf(p.ProcessState)
}

func (p *program) start() {
	p.t.Helper()
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = p.Wait()
		close(p.ended)
	}()
}

// do is a run in /, that must end so.
func do(t *testing.T, code int, argv ...string) (stdout, stderr string) {
	t.Helper()
	p := prepare(t, append([]string{"run", "/"}, argv...)...)
	if got := p.code(); got != code {
		t.Errorf("%q: exit code %d, not %d\n%.500s%.500s", argv, got, code, &p.out, &p.err)
	}
	return p.out.String(), p.said()
}

// said is standard error without the lines of ours that a command has ended.
func (p *program) said() string {
	return strings.ReplaceAll(p.err.String(), Prefix(p.id)+Ended+"\n", "")
}

// many runs commands that print nothing, and returns their codes and all that was
// said on standard error.
func many(t *testing.T, commands [][]string) (codes []int, p *program) {
	t.Helper()
	in, err := json.Marshal(commands)
	if err != nil {
		t.Fatal(err)
	}
	p = prepare(t)
	p.Env = append(p.Env, helper+"=many")
	p.Stdin = bytes.NewReader(in)
	if code := p.code(); code != 0 || json.Unmarshal(p.out.Bytes(), &codes) != nil || len(codes) != len(commands) {
		t.Fatalf("%d: %.300s%.300s", code, &p.out, &p.err)
	}
	return codes, p
}

// TestCodes: all that a command can end with is passed on, and nothing is said.
func TestCodes(t *testing.T) {
	var commands [][]string
	for code := range 256 {
		commands = append(commands, []string{fakecli(t), "exit", strconv.Itoa(code)})
	}
	codes, p := many(t, commands)
	for want, got := range codes {
		if got != want {
			t.Errorf("exit code %d, not %d", got, want)
		}
	}
	if p.err.String() != strings.Repeat(Prefix(p.id)+Ended+"\n", len(commands)) {
		t.Errorf("%.500q", &p.err)
	}
}

// TestSignals: whatever signal ends a command, it is 128+n, and named, since a
// command may end with that code, too.
func TestSignals(t *testing.T) {
	var commands [][]string
	var want []int
	said := ""
	for sig := syscall.Signal(1); sig < 32; sig++ {
		switch sig {
		case syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH, syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
			continue // these end nobody
		}
		want = append(want, 128+int(sig))
		commands = append(commands, []string{"sh", "-c", fmt.Sprintf("ulimit -c 0; kill -%d $$", sig)})
		said += "\x00ductor-sandbox ID signal " + unix.SignalName(sig) + "\n"
	}
	codes, p := many(t, commands)
	if got := strings.ReplaceAll(p.err.String(), p.id, "ID"); !slices.Equal(codes, want) || got != said {
		t.Errorf("%v, not %v\n%q\n%q", codes, want, got, said)
	}
}

// TestRefusals: what was not started is 126 or 127, and says so by a line that
// no command can have written by chance.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := file("plain", "#!/bin/sh\n", 0o644)
	noformat := file("noformat", "\x7fELF is it not", 0o755)
	nobody := file("nobody", "#!/no/such/interpreter\n", 0o755)
	for _, tt := range []struct {
		dir, name string
		code      int
		text      string
	}{
		{"/", "no-such-command-" + rand.Text(), 127, "not found"},
		{"/", "", 127, "not found"},
		{"/", filepath.Join(dir, "absent"), 127, "no such file"},
		{"/", filepath.Join(plain, "below"), 126, "not a directory"},
		{"/", plain, 126, "permission denied"},
		{dir, "./plain", 126, "permission denied"},
		{"/", dir, 126, "is a directory"},
		{"/", noformat, 126, "exec format error"},
		{"/", nobody, 127, "no such file"},
		{filepath.Join(dir, "absent"), "true", 126, "no such file"},
		{plain, "true", 126, "not a directory"},
		{"", "true", 126, "no such file"},
	} {
		p := prepare(t, "run", tt.dir, tt.name, "SECRET")
		code, line := p.code(), p.err.String()
		text, ok := strings.CutPrefix(line, Prefix(p.id)+Refused)
		if code != tt.code || !ok || strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") || !strings.Contains(text, tt.text) || strings.Contains(line, "SECRET") || p.out.Len() > 0 {
			t.Errorf("%q in %q: code %d, not %d: %q %q", tt.name, tt.dir, code, tt.code, line, &p.out)
		}
		if tt.dir == "/" && !strings.Contains(text, strconv.Quote(tt.name)) || tt.name == "true" && !strings.Contains(text, "chdir "+tt.dir) {
			t.Errorf("%q in %q: it does not say what: %q", tt.name, tt.dir, line)
		}
	}
}

// TestRefusalOnTerminal is for a person: nobody else reads it there.
func TestRefusalOnTerminal(t *testing.T) {
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer person.Close()
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	raw, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err == nil {
		raw.Oflag &^= unix.OPOST // as ours is, whose line ends have to be both
		err = unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := prepare(t, "run", "/", "/no/such/command")
	p.Stdin, p.Stdout, p.Stderr = tty, tty, tty
	if code := p.code(); code != exitcode.NotFound {
		t.Errorf("code %d", code)
	}
	line, err := bufio.NewReader(person).ReadString('\n')
	if want := "ductor-sandbox: error: execute \"/no/such/command\": "; err != nil || !strings.HasPrefix(line, want) || !strings.HasSuffix(line, "\r\n") {
		t.Errorf("%q, %v", line, err)
	}
}

// TestPrefix: it is the run's own, and cannot be the begin of a line of text.
func TestPrefix(t *testing.T) {
	if a, b := Prefix("A"), Prefix("B"); a == b || !strings.Contains(a, "A") || a[0] != 0 || strings.HasPrefix(Prefix("AB"), a) {
		t.Errorf("%q %q", a, b)
	}
}

// TestStreams: they are the command's own, to the last byte, and so are its
// words, its folder and its environment.
func TestStreams(t *testing.T) {
	cli := fakecli(t)
	data := make([]byte, 3<<20)
	_, _ = rand.Read(data)
	p := prepare(t, "run", "/", cli, "cat")
	p.Stdin = bytes.NewReader(data)
	if code := p.code(); code != 0 || !bytes.Equal(p.out.Bytes(), data) || p.said() != "" {
		t.Errorf("code %d, %d bytes, or others: %.300s", code, p.out.Len(), &p.err)
	}
	if out, errs := do(t, 0, cli, "both"); out != "out\n" || errs != "err\n" {
		t.Errorf("%q %q", out, errs)
	}
	words := []string{"", "-h", "--", "a b", "'\"$HOME\n", "é\xff", "idle"}
	out, _ := do(t, 0, append([]string{"printf", `%s|`}, words...)...)
	if want := strings.Join(words, "|") + "|"; out != want {
		t.Errorf("%q, not %q", out, want)
	}
	dir := filepath.Join(t.TempDir(), "a b")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p = prepare(t, "run", dir, cli, "pwd")
	if code := p.code(); code != 0 || p.out.String() != dir+"\n" {
		t.Errorf("%d, %q", code, &p.out)
	}
	p = prepare(t, "run", "/", cli, "env", marked.Env)
	if code := p.code(); code != 0 || p.out.String() != p.id+"\n" {
		t.Errorf("%d, %q", code, &p.out)
	}
}

// TestRelativePath: a folder of PATH may be one of where the command runs.
func TestRelativePath(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(fakecli(t), filepath.Join(dir, "mycli")); err != nil {
		t.Fatal(err)
	}
	for path, name := range map[string]string{".:/bin": "mycli", ":/bin": "mycli", "/bin": "./mycli", dir: "mycli"} {
		p := prepare(t, "run", dir, name, "exit", "9")
		p.Env = append(p.Env, "PATH="+path)
		if code := p.code(); code != 9 {
			t.Errorf("PATH=%s: code %d: %s", path, code, &p.err)
		}
	}
}

// ours are the signals that the program ignores for itself.
var ours = []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU}

// mask returns a line of a process's status as a set of signals.
func mask(t *testing.T, status, name string) (set uint64) {
	t.Helper()
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, name+":"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return set
		}
	}
	t.Fatalf("no %s in %q", name, status)
	return 0
}

// TestSignalsOfTheCommand: it ignores and blocks none because we do. Also where we
// were started by something that ignores them, as nohup does.
func TestSignalsOfTheCommand(t *testing.T) {
	for _, wrapped := range [][]string{nil, {"sh", "-c", `trap "" INT QUIT TERM HUP PIPE TSTP TTIN TTOU; exec "$@"`, "sh"}} {
		p := prepare(t, "run", "/", "cat", "/proc/self/status")
		if wrapped != nil {
			p.Path, p.Args = "/bin/sh", append(wrapped, append([]string{os.Args[0]}, p.Args[1:]...)...)
		}
		if code := p.code(); code != 0 {
			t.Fatalf("%d: %s", code, &p.err)
		}
		for _, sig := range ours {
			bit := uint64(1) << (sig - 1)
			if (mask(t, p.out.String(), "SigIgn")|mask(t, p.out.String(), "SigBlk"))&bit != 0 {
				t.Errorf("%v is ignored or blocked in the command: %s", sig, &p.out)
			}
		}
	}
}

// TestSignalsOfOurs: they do not end the program, whose command may take its time
// to end, and they do not reach the command by it.
func TestSignalsOfOurs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sigs")
	p := prepare(t, "run", "/", fakecli(t), "sigs", file)
	p.start()
	saw := func(what string) func() bool {
		return func() bool { data, _ := os.ReadFile(file); return strings.Contains(string(data), what) }
	}
	clitest.Wait(t, "the command", saw("ready"))
	// By then the program ignores them: it has to begin to wait.
	clitest.Wait(t, "the program to ignore them", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
		return err == nil && mask(t, string(status), "SigIgn")&(1<<(syscall.SIGTTOU-1)) != 0
	})
	for _, sig := range ours {
		if err := p.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := marked.List("/proc")
	if err != nil || len(runs[p.id]) != 2 {
		t.Fatalf("%v, %v", runs[p.id], err)
	}
	for _, pid := range runs[p.id] {
		if pid == p.Process.Pid {
			continue
		}
		if err := clitest.Send(pid, syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		clitest.Wait(t, "the signal of the command", saw("SIGUSR1"))
		if err := clitest.Send(pid, os.Kill); err != nil {
			t.Fatal(err)
		}
	}
	if code := p.code(); code != 137 {
		t.Errorf("code %d", code)
	}
	if data, _ := os.ReadFile(file); string(data) != "ready\nSIGUSR1\n" {
		t.Errorf("the command got %q", data)
	}
}

// inNamespace is set where a test has the PIDs for itself.
const inNamespace = "DUCTOR_TEST_INSIDE_NAMESPACE"

// alone runs a test once more, as the first process of a PID namespace, whose end
// is that of all in it; there it reports true.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		return true
	}
	clitest.Need(t, "namespaces")
	fakecli(t)
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// others lists who lives in our namespace, without us.
func others(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		pid, _ := strconv.Atoi(filepath.Base(f))
		if pid != os.Getpid() && clitest.Running(pid) {
			line, _ := os.ReadFile(filepath.Join(f, "cmdline"))
			all = append(all, fmt.Sprintf("%d %q", pid, line))
		}
	}
	return all
}

// TestLeftBehind: what a command leaves in the background ends with it, wherever
// it went: it holds the output open, and would go on unseen. The code is the
// command's.
func TestLeftBehind(t *testing.T) {
	if !alone(t) {
		return
	}
	if all := others(t); len(all) > 0 {
		t.Fatalf("we are not alone: %s", all)
	}
	neighbour := exec.Command("sleep", "1000") // of another run
	neighbour.Env = append(os.Environ(), marked.Env+"=another")
	if err := neighbour.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = neighbour.Process.Kill(); _ = neighbour.Wait() }()
	// Each says by the file $F that it is there.
	deaf := `trap "" TERM INT HUP; : > "$F"; while :; do sleep 1000; done`
	there := `until [ -e "$F" ]; do sleep 0.01; done; `
	for name, script := range map[string]string{
		"in the background":   `sleep 1000 & `,
		"in its own session":  `setsid sleep 1000 & `,
		"that ignores TERM":   `(` + deaf + `) & ` + there,
		"a tree":              `'` + fakecli(t) + `' tree "$F" & ` + there,
		"stopped":             `sleep 1000 & kill -STOP $!; `,
		"without a mark":      `env -i sleep 1000 & `,
		"without a mark, far": `env -i setsid sh -c "sleep 1000 & sleep 1001" & `,
		"an orphan of those":  `env -i setsid sh -c "setsid sleep 1000 &"; `,
		"deaf and unmarked":   `env -i F="$F" setsid sh -c '` + deaf + `' & ` + there,
		"stopped, unmarked":   `env -i sleep 1000 & kill -STOP $!; `,
		"many without a mark": `for i in 1 2 3 4 5 6 7 8 9; do env -i setsid sh -c "sleep 1000 & sleep 1001 & sleep 1002" & done; `,
		"that has ended":      `true & setsid true & wait; `,
		"zombies":             `sh -c "true & exec sleep 1000" & `,
	} {
		t.Run(name, func(t *testing.T) {
			p := prepare(t, "run", "/", "sh", "-c", script+"exit 37")
			p.Env = append(p.Env, "F="+filepath.Join(t.TempDir(), "there"))
			if code := p.code(); code != 37 {
				t.Errorf("code %d: %s", code, &p.err)
			}
			if left := others(t); len(left) != 1 || !strings.HasPrefix(left[0], strconv.Itoa(neighbour.Process.Pid)+" ") {
				t.Errorf("left: %s", left)
			}
		})
	}
}

// TestLeftMayTidyUp: it is asked before it is killed.
func TestLeftMayTidyUp(t *testing.T) {
	dir := t.TempDir()
	script := `(trap ": > tidied; exit" TERM; : > there; while :; do sleep 0.01; done) & until [ -e there ]; do sleep 0.01; done; exit 3`
	p := prepare(t, "run", dir, "sh", "-c", script)
	if code := p.code(); code != 3 {
		t.Errorf("code %d: %s", code, &p.err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "tidied")); err != nil {
		t.Error(err)
	}
}

// TestIdle: it waits, and ends when the daemon asks.
func TestIdle(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := prepare(t, "idle")
		p.Env = append(p.Env, helper+"=early")
		p.Stdout = nil
		said, err := p.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		p.start()
		if line, err := bufio.NewReader(said).ReadString('\n'); err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		clitest.Wait(t, "the end by "+sig.String(), func() bool {
			_ = p.Process.Signal(sig)
			select {
			case <-p.ended:
				return true
			default:
				return false
			}
		})
		if code := p.code(); code != 0 {
			t.Errorf("%v: code %d", sig, code)
		}
	}
}

// TestProbe says who we are.
func TestProbe(t *testing.T) {
	p := prepare(t, "probe")
	code := p.code()
	var got struct{ UID, GID *int }
	if err := json.Unmarshal(p.out.Bytes(), &got); code != 0 || err != nil || got.UID == nil || got.GID == nil || *got.UID != os.Getuid() || *got.GID != os.Getgid() {
		t.Errorf("%d, %v, %s", code, err, &p.out)
	}
}

// TestOtherWords are those of the package marked.
func TestOtherWords(t *testing.T) {
	p := prepare(t, "list")
	if code := p.code(); code != 0 || !strings.HasPrefix(p.out.String(), `{"runs":{`) || strings.Contains(p.out.String(), p.id) {
		t.Errorf("%d %s", code, &p.out)
	}
	for _, args := range [][]string{nil, {""}, {"idle", "x"}, {"probe", "x"}, {"run"}, {"run", "/"}, {"help"}} {
		p := prepare(t, args...)
		if code := p.code(); code != exitcode.Usage || !strings.Contains(p.out.String(), `"error"`) {
			t.Errorf("%q: %d %s", args, code, &p.out)
		}
	}
}
