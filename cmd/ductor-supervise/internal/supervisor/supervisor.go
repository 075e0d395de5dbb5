package supervisor

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ductor/cmd/ductor-supervise/internal/capture"
	"ductor/cmd/ductor-supervise/internal/gate"
	"ductor/cmd/ductor-supervise/internal/hook"
	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/cmd/ductor-supervise/internal/notify"
	"ductor/cmd/ductor-supervise/internal/policy"
	"ductor/cmd/ductor-supervise/internal/tree"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/hold"
	"ductor/internal/common/holder"
	"ductor/internal/common/home"
	"ductor/internal/common/jsonout"
	"ductor/internal/common/lockfile"
	"ductor/internal/common/process"
)

// supervisor is the state of the one goroutine that owns it all.
type supervisor struct {
	cfg      Config
	run      home.Run
	state    policy.State
	self     process.Identity
	instance string

	keeper  *tree.Keeper
	tree    *tree.Tree // of the current run; nil between runs
	journal *journal.Journal
	status  journal.Status
	markers []string
	envFile map[string]string
	stdin   *os.File
	output  *capture.Capture // nil when it is inherited

	above     above
	socket    *notify.Socket // nil without --notify
	gate      gate.Gate      // for file changes
	hold      hold.Hold
	pulse     pulse
	preflight *hook.Hook // nil when none runs, like the others
	crashHook *hook.Hook
	eventHook *hook.Hook
	untold    []told    // events that wait for eventHook
	missed    int       // that were dropped, because it takes too long
	lastEnd   told      // the last child_exit, or not_executed where there was no child
	closing   bool      // no hook is started any more
	toldOf    time.Time // when the last warning about missed came
	shutTold  bool      // that changes are of no account any more

	// of the current run
	streams   *capture.Streams
	exited    <-chan tree.Exit // nil when the end was taken
	exit      tree.Exit
	ranFor    float64 // seconds
	crash     string  // why its end is one, if that is known: hang, storm
	triggered bool    // it said itself that it hangs
	learnt    bool    // what the status descriptor said is known
	failure   *jsonout.Failure
	child     process.Identity

	woke        time.Time // when the loop last went on
	timerDue    time.Time // zero when the timer is stopped
	signals     *signals
	outcome     chan outcome
	later       chan journal.Event // from other goroutines
	warned      map[string]bool
	cleanDue    time.Time // when to look at a tree whose leader is gone; zero when that was done
	killedAt    time.Time // zero before KILL, and when that was complained of
	stoppedAt   time.Time // when the last signal came that asked for a stop
	lastStop    os.Signal // which it was
	since       time.Time // of the phase
	written     journal.Status
	statusSick  bool // the last write of status.json failed, and that was said
	attempted   bool // something was spawned before
	stopFirst   bool // a stop came before the first start
	stopSignals int
	quit        bool
}

// Run supervises until it is told to stop or the policy ends it, and returns
// the exit code. An error means that nothing was started.
func Run(cfg Config) (code int, err error) {
	s := &supervisor{cfg: cfg, run: cfg.run(), outcome: make(chan outcome, 1), later: make(chan journal.Event, 16)}
	if err := s.run.Make(); err != nil {
		return 0, exitcode.File(exitcode.CantCreat, err)
	}
	// Before the first word is written: a reader of our log that has gone must
	// not take us along. They are kept to the very end: one that comes after the
	// last decision must not change the exit code.
	if s.signals, err = notifySignals(); err != nil {
		return 0, err
	}
	lock, err := s.takeLock()
	if err != nil {
		return 0, err
	}
	defer lock.Close() // and keeps it reachable until then
	defer holder.Remove(s.run.SupervisePID())
	sweep(string(s.run), s.run.Ctl())
	if err := s.openOutput(); err != nil {
		return 0, err
	}
	closeSinks, err := s.openJournal()
	if err != nil {
		return 0, exitcode.File(exitcode.CantCreat, err)
	}
	defer closeSinks()
	if err := errors.Join(s.listen(), s.prepare()); err != nil {
		return 0, err
	}
	if s.socket != nil {
		defer s.socket.Close()
	}
	s.above.Manager = notify.NewManager(cfg.Getenv)
	defer s.above.Close(flushLimit)
	if code, err = s.loop(); err != nil {
		s.state.Phase = policy.Fatal
		s.writeStatus()
	}
	return code, err
}

// prepare does what must be done before the first start, under our lock.
func (s *supervisor) prepare() error {
	// Not a secret, only unlikely to be met again; crypto/rand would cost a
	// tenth of the program.
	s.instance = fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
	old, err := journal.ReadStatus(s.run.Status())
	unclean := err == nil && old.State != string(policy.Down) && old.State != string(policy.Fatal)
	pids, err := stopLeftovers(&s.cfg, old, unclean)
	if len(pids) > 0 {
		s.emit(journal.Event{Type: journal.Leftovers, PIDs: pids})
	}
	if err != nil {
		return err
	}
	s.status = journal.Status{Name: string(s.cfg.Name), Command: s.cfg.Command, Readiness: s.cfg.Heartbeat != "" || s.cfg.Notify,
		Supervisor: journal.Supervisor{Identity: s.self, Instance: s.instance}, Log: s.cfg.Output.File}
	s.woke = time.Now()
	if s.cfg.Hold != s.run.CtlHold() {
		s.status.Hold = s.cfg.Hold
	}
	s.gate.Config = gate.Usual
	s.gate.Preflight = s.cfg.Preflight != ""
	s.hold = hold.Hold{Path: s.cfg.Hold, Max: s.cfg.HoldMax}
	s.pulse.path = s.cfg.Heartbeat
	s.markers = append([]string{s.run.CtlRestart()}, s.cfg.Markers...)
	if s.cfg.Name == home.DefaultName {
		s.markers = append(s.markers, s.cfg.Home.RestartRequested())
	}
	s.keeper = tree.New(tree.Options{Instance: s.instance, LeaderOnly: s.cfg.LeaderOnly, Warn: s.warn})
	s.emit(journal.Event{Type: journal.SupervisorStart, PID: s.self.PID, Command: s.cfg.Command})
	// Before anything runs, so that a successor can find what carries our
	// instance even if we are killed at the first start.
	s.since = time.Now()
	s.state.Phase = policy.Starting
	s.writeStatus()
	s.state.Phase = policy.Idle
	_ = s.readEnvFile() // for hooks; the start tells what is wrong with it
	return s.openStdin()
}

// takeLock makes us the one supervisor of this NAME, and tells who we are.
func (s *supervisor) takeLock() (*lockfile.Lock, error) {
	path := s.run.SupervisePID()
	lock, err := lockfile.Try(path)
	if errors.Is(err, lockfile.ErrHeld) && s.cfg.KillExisting {
		if err := killSupervisor(&s.cfg); err != nil {
			return nil, err
		}
		lock, err = lockfile.Try(path)
	}
	if errors.Is(err, lockfile.ErrHeld) {
		return nil, s.held()
	}
	if err != nil {
		return nil, err
	}
	if s.self, err = process.Self(); err != nil {
		lock.Close()
		return nil, fmt.Errorf("identify this process: %w", err)
	}
	rec := holder.Record{Identity: s.self, Command: os.Args, Since: time.Now(),
		StopTimeoutSeconds: (s.cfg.Policy.StopTimeout + stopMargin).Seconds()}
	if err := holder.Write(lock, rec); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

func (s *supervisor) held() error {
	text := "another process"
	if st, err := holder.Inspect(s.run.SupervisePID(), false); err == nil && st.PID != 0 {
		text = fmt.Sprintf("PID %d", st.PID)
	}
	return exitcode.Errorf(exitcode.TempFail, "%q is supervised already, by %s", s.cfg.Name, text).
		WithID("held").WithHint("ductor-supervise status --name %s; ductor-supervise stop --name %s", s.cfg.Name, s.cfg.Name)
}

// sweep removes the temporary files of writers that were killed: their PID
// stands in the name. Those of the living are in use.
func sweep(dirs ...string) {
	for _, dir := range dirs {
		left, _ := filepath.Glob(filepath.Join(dir, ".*.tmp"))
		taken, _ := filepath.Glob(filepath.Join(dir, "*.taken*"))
		for _, path := range append(left, taken...) {
			if _, err := process.Of(writer(path)); errors.Is(err, process.ErrGone) {
				os.Remove(path)
			}
		}
	}
}

// writer is the PID in ".NAME.PID-N.tmp" or "NAME.takenPID", or our own, which
// is alive, for a name that is neither.
func writer(path string) int {
	name := strings.TrimSuffix(filepath.Base(path), ".tmp")
	word := name[strings.LastIndexByte(name, '.')+1:]
	word, _, _ = strings.Cut(strings.TrimPrefix(word, "taken"), "-")
	if pid, err := strconv.Atoi(word); err == nil {
		return pid
	}
	return os.Getpid()
}

// flushLimit is how long the end waits for readers of our output.
const flushLimit = time.Second

// openJournal connects events.jsonl, the log and the extra sinks.
func (s *supervisor) openJournal() (closeAll func(), err error) {
	words, queues := s.words()
	line := "%s %s: %s\n"
	if s.cfg.Dim { // on a terminal, to set our lines off from the bot's
		line = "\x1b[2m%s %s:\x1b[0m %s\n"
	}
	sinks := []journal.Sink{s.tell, func(_ []byte, e journal.Event) {
		if text := e.Printable(); text != "" {
			fmt.Fprintf(words, line, e.Time.Local().Format(time.DateTime), s.cfg.Name, text)
			s.output.Note(e.Time, text)
		}
	}}
	for _, w := range s.cfg.EventSinks {
		q := journal.NewQueue(w, "")
		queues = append(queues, q)
		sinks = append(sinks, func(line []byte, _ journal.Event) {
			if line != nil {
				_, _ = q.Write(line)
			}
		})
	}
	if s.journal, err = journal.Open(s.run.Events(), sinks...); err != nil {
		return nil, err
	}
	return func() {
		s.closeOutput()
		s.journal.Close()
		for _, q := range queues {
			q.Close(flushLimit)
		}
	}, nil
}

func (s *supervisor) emit(e journal.Event) { s.journal.Write(e) }

func (s *supervisor) warn(format string, args ...any) {
	s.emit(journal.Event{Type: journal.Warning, Message: fmt.Sprintf(format, args...)})
}

// warnOnce is for what would be said at every look.
func (s *supervisor) warnOnce(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !s.warned[text] {
		if s.warned == nil {
			s.warned = map[string]bool{}
		}
		s.warned[text] = true
		s.warn("%s", text)
	}
}

// openStdin gives the child /dev/null, or the reading end of one pipe for all
// runs: what is typed while the bot is down waits there for the next one.
func (s *supervisor) openStdin() (err error) {
	if !s.cfg.RelayStdin {
		s.stdin, err = os.Open(os.DevNull)
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.stdin = r
	go func() {
		_, _ = io.Copy(w, s.cfg.Stdin)
		w.Close() // the end of our input is the end of the bot's
	}()
	return nil
}
