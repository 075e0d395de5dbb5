package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/joho/godotenv"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/cmd/ductor-supervise/internal/policy"
	"ductor/cmd/ductor-supervise/internal/tree"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/jsonout"
	"ductor/internal/common/sentinel"
)

// outcome is what the status descriptor said of one start: nothing when the
// command was executed.
type outcome struct {
	pid     int
	failure *jsonout.Failure
}

// spawn starts the command, under the lock if there is one. What it cannot
// start is an event like any other.
func (s *supervisor) spawn() {
	s.exited, s.exit, s.ranFor, s.learnt, s.failure = nil, tree.Exit{}, 0, false, nil
	s.killedAt, s.crash, s.triggered = time.Time{}, "", false
	s.clearMarkers()
	s.hearAll() // while there is nobody to have said it
	s.status.Text = ""
	s.gate.Started()
	s.pulse.begin(time.Now())
	err := s.readEnvFile()
	if err != nil {
		s.warn("%v; using the environment of the last start", err)
	}
	env := s.environment()
	stdout, stderr, err := s.childOutput()
	if err != nil {
		s.spawnFailed(err)
		return
	}
	defer s.streams.Release()
	argv, status, err := s.commandLine()
	if err != nil {
		s.spawnFailed(err)
		return
	}
	spec := tree.Spec{Path: argv[0], Argv: argv, Env: env, Dir: s.cfg.Dir, Stdin: s.stdin, Stdout: stdout, Stderr: stderr}
	if s.cfg.NoLock {
		spec.Argv = s.cfg.Command
	} else {
		spec.Status = status.write
	}
	t, err := s.keeper.Start(spec)
	status.closeWrite()
	if err != nil {
		status.closeRead()
		s.spawnFailed(err)
		return
	}
	s.tree, s.exited, s.attempted = t, t.Exited(), true
	s.emit(journal.Event{Type: journal.ChildStart, PID: t.PID, Reason: string(s.state.Cause)})
	if s.cfg.NoLock { // the fork has told us already
		s.outcome <- outcome{pid: t.PID}
		return
	}
	go status.await(t.PID, s.outcome)
}

// commandLine returns what to execute, and the pipe on which ductor-lock says
// why it did not. --kill-existing is for the first start: after that, whoever
// holds the lock took it from us, and two supervisors must not fight.
func (s *supervisor) commandLine() ([]string, *statusPipe, error) {
	if s.cfg.NoLock {
		path, err := LookPath(s.cfg.Command[0], s.cfg.Dir)
		return []string{path}, &statusPipe{}, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	argv := []string{s.cfg.LockTool, "run", "--status-fd", strconv.Itoa(statusNumber(w))}
	if s.cfg.KillExisting && !s.attempted {
		argv = append(argv, "--kill-existing")
	}
	argv = append(argv, s.run.BotPID(), "--")
	return append(argv, s.cfg.Command...), &statusPipe{r, w}, nil
}

// LookPath finds a program as the shell would in the child's folder.
func LookPath(name, dir string) (string, error) {
	if dir != "" && !filepath.IsAbs(name) && strings.ContainsRune(name, filepath.Separator) {
		name = filepath.Join(dir, name)
	}
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		err = nil
	}
	return path, err
}

// spawnFailed turns an error of our own into the codes of a shell.
func (s *supervisor) spawnFailed(err error) {
	code := exitcode.OSErr
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		code = exitcode.NotFound
	case errors.Is(err, fs.ErrPermission), isNoProgram(err):
		code = exitcode.CannotExec
	}
	s.emit(journal.Event{Type: journal.NotExecuted, Code: &code, Message: err.Error()})
	s.step(policy.SpawnFailed{Code: code}, journal.Event{})
}

// statusPipe is the pipe behind --status-fd.
type statusPipe struct{ read, write *os.File }

func (p *statusPipe) closeWrite() {
	if p != nil && p.write != nil {
		p.write.Close()
	}
}

func (p *statusPipe) closeRead() {
	if p != nil && p.read != nil {
		p.read.Close()
	}
}

// maxFailure bounds what is read from ductor-lock, in bytes.
const maxFailure = 256 << 10

// await reads until the descriptor closes, by exec or by exit.
func (p *statusPipe) await(pid int, to chan<- outcome) {
	defer p.closeRead()
	data, _ := io.ReadAll(io.LimitReader(p.read, maxFailure))
	to <- outcome{pid, parseFailure(data)}
}

// parseFailure decodes the line of --status-fd; nothing means success. Words
// that we do not understand were not success.
func parseFailure(data []byte) *jsonout.Failure {
	if len(data) == 0 {
		return nil
	}
	var f jsonout.Failure
	if err := json.Unmarshal(data, &f); err != nil || f.Code <= 0 || f.Code > 255 {
		return &jsonout.Failure{Error: "oserr", Code: exitcode.OSErr, Message: fmt.Sprintf("ductor-lock said %.200q", data)}
	}
	return &f
}

// environment is the child's: ours, the file's, and the variables by which it
// knows its supervisor. The service manager's own socket is not for the bot:
// a stray READY=1 or WATCHDOG=1 from below would speak for us.
func (s *supervisor) environment() []string {
	env := make([]string, 0, len(s.cfg.Env)+len(s.envFile)+8)
	set := map[string]string{
		"DUCTOR_HOME":           string(s.cfg.Home),
		"DUCTOR_NAME":           string(s.cfg.Name),
		"DUCTOR_SUPERVISOR":     "1",
		"DUCTOR_SUPERVISOR_PID": strconv.Itoa(os.Getpid()),
		"DUCTOR_INSTANCE":       s.instance,
		"DUCTOR_RESTARTS":       strconv.Itoa(s.state.Restarts),
		"DUCTOR_RESTART_REASON": string(s.state.Cause),
	}
	s.notifyEnv(set)
	if s.cfg.Heartbeat != "" {
		set["DUCTOR_HEARTBEAT"] = s.cfg.Heartbeat
	}
	for _, kv := range s.cfg.Env {
		key, _, _ := strings.Cut(kv, "=")
		_, ours := set[key]
		_, file := s.envFile[key]
		if !ours && !file && !serviceManagers[key] {
			env = append(env, kv)
		}
	}
	for key, value := range s.envFile {
		if _, ours := set[key]; !ours {
			env = append(env, key+"="+value)
		}
	}
	for key, value := range set {
		env = append(env, key+"="+value)
	}
	return env
}

// readEnvFile reads it anew, or leaves what was read before.
func (s *supervisor) readEnvFile() error {
	if s.cfg.EnvFile == "" {
		return nil
	}
	vars, err := readEnvFile(s.cfg.EnvFile)
	if err == nil {
		s.envFile = vars
	}
	return err
}

// serviceManagers are variables that are meant for us alone.
var serviceManagers = map[string]bool{"NOTIFY_SOCKET": true, "WATCHDOG_PID": true, "WATCHDOG_USEC": true, "DUCTOR_SERVICE": true}

// clearMarkers forgets requests that came before a start: the start is what
// they asked for. What appears later is live, without any comparing of times.
func (s *supervisor) clearMarkers() {
	for _, m := range s.markers {
		if _, err := sentinel.ConsumeMarker(m); err != nil {
			s.warnOnce("%v", err)
		}
	}
}

// maxEnvFile is in bytes: no more fits into the arguments of an exec.
const maxEnvFile = 1 << 20

func readEnvFile(path string) (map[string]string, error) {
	data, err := atomicfile.Read(path, maxEnvFile)
	if err != nil {
		return nil, err
	}
	return godotenv.UnmarshalBytes(data)
}

// CheckEnvFile reports what is wrong with an environment file at the first
// start; at later ones the supervisor goes on with what it read before.
func CheckEnvFile(path string) error {
	_, err := readEnvFile(path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return exitcode.File(exitcode.Usage, fmt.Errorf("--env-file: %w", err))
	}
	return exitcode.Errorf(exitcode.DataErr, "--env-file %q: %w", path, err)
}
