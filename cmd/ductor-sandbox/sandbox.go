package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"ductor/cmd/ductor-sandbox/internal/box"
	"ductor/cmd/ductor-sandbox/internal/engine"
	"ductor/cmd/ductor-sandbox/internal/image"
	"ductor/cmd/ductor-sandbox/internal/marked"
	"ductor/cmd/ductor-sandbox/internal/mount"
	"ductor/cmd/ductor-sandbox/internal/record"
	"ductor/cmd/ductor-sandbox/internal/session"
	"ductor/cmd/ductor-sandbox/internal/settings"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/lockfile"
)

// sandbox is one bot's.
type sandbox struct {
	std      *cli.IO
	name     home.Name
	home     home.Home
	run      home.Run
	settings settings.Settings
	danger   bool
	engine   *engine.Engine
	info     engine.Info // empty where the daemon is the usual one of Linux
	runs     record.Dir
	plan     mount.Plan
	box      *box.Box
	image    image.Found // zero: not there
	helped   *bool       // our program is in the container, if that is known
	renews   bool        // an outdated image is built anew
	quiet    bool        // no word about what is being done
}

// configure reads the settings; nothing is made, and nobody is asked.
func configure(std *cli.IO, n nameFlags, f specFlags) (*sandbox, error) {
	dir, err := home.Find(std.Getenv)
	if err != nil {
		return nil, exitcode.Errorf(exitcode.Config, "%w", err)
	}
	s := &sandbox{std: std, name: n.Name, home: dir, run: dir.Run(n.Name), danger: f.Dangerous}
	s.runs = record.Dir(s.run.Runs())
	if s.settings, err = settings.Load(s.configFile(), n.Name); err != nil {
		return nil, err
	}
	if usual := settings.Default(home.DefaultName).Container; n.Name != home.DefaultName && s.settings.Container != settings.Default(n.Name).Container && s.settings.Container != usual {
		s.settings.Container += "-" + string(n.Name) // the file's is the default bot's
	}
	s.settings, err = s.settings.With(f.flags())
	return s, err
}

func (s *sandbox) configFile() string { return filepath.Join(string(s.home), "config", "config.json") }

func (f specFlags) flags() settings.Flags {
	given := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	all := settings.Flags{Image: given(f.Image), Container: given(f.Container), Dockerfile: given(f.Dockerfile), Network: given(f.Network),
		Memory: given(f.Memory), CPUs: given(f.CPUs), Pids: given(f.Pids), Writable: f.RW, Mounts: f.Mount}
	if f.ReadOnly {
		all.ReadOnly = &f.ReadOnly
	}
	return all
}

// open also finds the daemon. A sandbox that is switched off is none.
func open(ctx context.Context, std *cli.IO, n nameFlags, f specFlags) (*sandbox, error) {
	s, err := configure(std, n, f)
	if err != nil {
		return nil, err
	}
	if !s.settings.Enabled {
		return s, s.disabled()
	}
	return s, s.connect(ctx, n.Host)
}

func (s *sandbox) disabled() error {
	return exitcode.Errorf(exitcode.Unavailable, "%q says that docker is not enabled", s.configFile()).WithID("disabled").
		WithHint(`set "enabled": true in its "docker" section`)
}

func (s *sandbox) connect(ctx context.Context, host string) error {
	userHome, _ := os.UserHomeDir()
	e, err := engine.Find(ctx, engine.Options{Host: host, Getenv: s.std.Getenv, HomeDir: userHome})
	if err != nil {
		return err
	}
	s.engine = e
	if !usual(e.Host) {
		if s.info, err = e.Info(ctx); err != nil {
			return err
		}
	}
	for _, w := range e.Warnings {
		cli.Warn(s.std, "%s", w)
	}
	return nil
}

// usual is a daemon that runs as root on this machine, and so need not be asked
// what it is. That costs more than everything else before a command.
func usual(host string) bool {
	path, ok := strings.CutPrefix(host, "unix://")
	info, err := os.Stat(path)
	return ok && err == nil && runtime.GOOS == "linux" && ownedByRoot(info)
}

func (s *sandbox) close() {
	if s.engine != nil {
		s.engine.Close()
	}
}

// folders that are mounted and ours to make, and the files of the container's
// users.
func (s *sandbox) prepare() error {
	if info, err := os.Stat(string(s.home)); err == nil && !isMine(info) {
		return exitcode.Errorf(exitcode.NoPerm, "the home %q belongs to another user, and what is made in it would not be theirs", s.home).
			WithHint("run it as that user")
	}
	if err := s.query().Make(); err != nil {
		return err
	}
	uid, gid := s.user()
	passwd, group := mount.Passwd(uid, gid)
	for name, text := range map[string]string{"passwd": passwd, "group": group} {
		path := s.inner(name)
		if old, err := atomicfile.Read(path, 64<<10); err == nil && string(old) == text {
			continue // a new file would not be seen by the container that has the old one
		}
		if err := atomicfile.Write(path, []byte(text), 0o644); err != nil {
			return exitcode.File(exitcode.CantCreat, err)
		}
	}
	return nil
}

func (s *sandbox) inner(name string) string { return filepath.Join(s.home.Sandbox(), name) }

// user is who runs the commands: the owner of the home, whose number is also that
// in the container. In a rootless one root is the owner.
func (s *sandbox) user() (uid, gid int) {
	switch {
	case runtime.GOOS == "windows" || s.info.Desktop:
		return 1000, 1000
	case s.info.Rootless:
		return 0, 0
	}
	return os.Getuid(), os.Getgid()
}

// want makes the plan of mounts and the specification from it.
func (s *sandbox) want(ctx context.Context) error {
	if err := s.prepare(); err != nil {
		return err
	}
	if err := s.plans(ctx); err != nil || len(s.plan.Absent) == 0 {
		return err
	}
	ferr := mount.Fill(s.plan.Absent)
	err := s.plans(ctx)
	if ferr != nil {
		s.plan.Warnings = append(s.plan.Warnings, ferr.Error())
	}
	return err
}

// query is what the plan of mounts depends on.
func (s *sandbox) query() mount.Query {
	userHome, _ := os.UserHomeDir()
	uid, gid := s.user()
	q := mount.Query{Home: string(s.home), UserHome: userHome, Claude: s.std.Getenv("CLAUDE_CONFIG_DIR"), Codex: s.std.Getenv("CODEX_HOME"),
		Writable: s.settings.Writable, Extra: s.settings.Mounts, Dangerous: s.danger, UID: uid, GID: gid, GOOS: runtime.GOOS,
		Passwd: s.inner("passwd"), Group: s.inner("group"), Helper: s.helper()}
	if path, ok := strings.CutPrefix(s.engine.Host, "unix://"); ok {
		q.Sockets = []string{path}
	}
	return q
}

// plans is want without making anything.
func (s *sandbox) plans(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	found, err := image.Find(limited, s.engine.Client, s.settings.Image)
	if err == nil {
		s.image = found
	} else if id(err) != image.Missing {
		return engine.Classify(err, "look for the image")
	}
	spec, err := s.spec()
	if err != nil {
		return err
	}
	s.box = &box.Box{Client: s.engine.Client, Spec: spec, Vacate: s.vacate, Fresh: s.fresh}
	return nil
}

// askTime is for a question that a daemon answers in milliseconds.
const askTime = 10 * time.Second

// fresh plans anew for a container that is about to be made: while the one before
// it ran, its commands could change what was planned.
func (s *sandbox) fresh() (box.Spec, error) {
	limits := s.box.Spec.Limits
	spec, err := s.spec()
	spec.Limits = limits
	return spec, err
}

func (s *sandbox) spec() (spec box.Spec, err error) {
	uid, gid := s.user()
	q := s.query()
	if s.plan, err = q.Plan(); err != nil {
		return spec, err
	}
	spec = box.Spec{Name: s.settings.Container, Owner: s.owner(), Image: s.settings.Image,
		User: fmt.Sprintf("%d:%d", uid, gid), Env: slices.Clone(s.plan.Env), Mounts: s.plan.Mounts,
		Network: s.settings.Network, Helper: q.Helper != "", ReadOnly: s.settings.ReadOnly, Limits: s.limits()}
	if uid == 0 && !s.danger {
		// Claude Code refuses root unless it is told that it is contained, and it is:
		// without capabilities and without the daemon's socket.
		spec.Env = append(spec.Env, isSandbox+"=1")
	}
	spec.ImageID = s.image.ID
	return spec, nil
}

const isSandbox = "IS_SANDBOX"

// helper is our own program, if it can run in the container.
func (s *sandbox) helper() string {
	if runtime.GOOS != "linux" || s.image.Arch != "" && s.image.Arch != runtime.GOARCH {
		return ""
	}
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	return self
}

const (
	maxMemory   = 8 << 30
	defaultPids = 2048
)

// limits: half of the memory, and at most 8 GiB, unless somebody says otherwise.
func (s *sandbox) limits() box.Limits {
	l := box.Limits{Memory: s.settings.Memory, NanoCPUs: int64(s.settings.CPUs * 1e9), Pids: cmp.Or(s.settings.Pids, defaultPids)}
	if l.Memory == 0 {
		l.Memory = min(totalMemory()/2, maxMemory)
	}
	return l
}

// id is the word for an error by which a program can tell it.
func id(err error) string {
	var e *exitcode.Error
	if errors.As(err, &e) {
		return e.ID
	}
	return ""
}

// lock makes everybody wait who makes or removes the container.
func (s *sandbox) lock(ctx context.Context) (func(), error) { return lock(ctx, s.run.SandboxGuard()) }

func lock(ctx context.Context, guard string) (func(), error) {
	for {
		l, err := lockfile.Try(guard)
		switch {
		case err == nil:
			return func() { _ = l.Close() }, nil
		case !errors.Is(err, lockfile.ErrHeld):
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, exitcode.Errorf(exitcode.TempFail, "wait for another ductor-sandbox: %w", context.Cause(ctx)).WithID("busy").
				WithHint("ductor-sandbox ps; or end whatever holds %q", lockfile.Path(guard))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// lost says which mounts of protection are gone: a program of this machine has
// replaced the file that one was over, and the kernel drops it silently then.
func (s *sandbox) lost(in *container.InspectResponse) []string {
	if in == nil || in.State.Pid == 0 || runtime.GOOS != "linux" {
		return nil
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", in.State.Pid))
	if err != nil {
		return nil // the container is elsewhere
	}
	var host []byte
	if !s.danger {
		host, _ = os.ReadFile("/proc/self/mountinfo") // without it less is looked for
	}
	return s.plan.Lost(string(data), string(host))
}

// busy reports whether a command runs in the container, other than our own.
func (s *sandbox) busy(container string) (bool, error) { return s.others(container, "") }

// others reports that of any run but one.
func (s *sandbox) others(container, but string) (bool, error) {
	runs, err := s.runs.List()
	return slices.ContainsFunc(runs, func(r record.Run) bool {
		return r.Container == container && r.ID != but && r.Alive() && !r.Owner.IsSelf()
	}), err
}

// vacate keeps commands from being started in any container, until done is
// called, and reports whether one runs in this one: whoever starts one writes its
// record first, and then looks whether somebody is here (see settled).
func (s *sandbox) vacate(ctx context.Context, container string, force bool) (done func(), busy bool, err error) {
	if done, err = lock(ctx, s.run.RemovalGuard()); err != nil {
		return nil, false, err
	}
	if !force {
		busy, err = s.busy(container)
	}
	if err != nil {
		done()
	}
	return done, busy, err
}

// settled reports whether nobody is about to remove a container; if somebody is,
// it waits for that.
func (s *sandbox) settled(ctx context.Context) (bool, error) {
	if _, held, err := lockfile.Holder(s.run.RemovalGuard()); err != nil || !held {
		return err == nil, err
	}
	done, err := lock(ctx, s.run.RemovalGuard())
	if err == nil {
		done()
	}
	return false, err
}

// find also leaves out those limits that are not known where the container is:
// Docker drops them when it makes one, and it would never be as it should be.
func (s *sandbox) find(ctx context.Context) (*container.InspectResponse, error) {
	limited, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	in, err := s.box.Find(limited)
	err = engine.Classify(err, "look for the container")
	if err != nil || in != nil && !s.box.Spec.Limits.Differ(in.HostConfig.Resources) {
		return in, err
	}
	info, err := s.engine.Info(ctx)
	if err != nil {
		return in, err
	}
	l := &s.box.Spec.Limits
	for _, limit := range []struct {
		known bool
		wants *int64
		what  string
	}{{info.MemoryLimit, &l.Memory, "memory"}, {info.CPULimit, &l.NanoCPUs, "processors"}, {info.PidsLimit, &l.Pids, "processes"}} {
		if !limit.known && *limit.wants != 0 {
			*limit.wants = 0
			s.plan.Warnings = append(s.plan.Warnings, "the kernel there cannot limit "+limit.what+", so nothing does")
		}
	}
	return in, nil
}

// reap ends what runs of a caller that was killed have left in a container. A
// run in another one is that one's business, until it is gone.
func (s *sandbox) reap(ctx context.Context, current string) {
	runs, err := s.runs.List()
	if err != nil {
		cli.Warn(s.std, "%v", err)
	}
	s.runs.Clean()
	for _, r := range runs {
		gone := r.Container != current && s.isGone(ctx, r)
		if r.Owner.IsSelf() || !gone && (r.Alive() || r.Container != current) {
			continue
		}
		if r.Container == current {
			if _, err := s.end(ctx, current, r.ID, 0); err != nil {
				cli.Warn(s.std, "%v", err)
				continue
			}
		}
		if err := s.runs.Remove(r.ID); err != nil {
			cli.Warn(s.std, "%v", err)
		}
	}
}

// isGone: another daemon's container is not known here, which says nothing.
func (s *sandbox) isGone(ctx context.Context, r record.Run) bool {
	if r.Container == "" || r.Engine != s.engine.Host {
		return r.Container == ""
	}
	_, err := s.engine.Client.ContainerInspect(ctx, r.Container)
	return errdefs.IsNotFound(err)
}

// end ends all that has come of a run, in the container. What cannot be ended so,
// because it fills the container with new processes, is ended with the container,
// unless other commands run in it.
func (s *sandbox) end(ctx context.Context, container, run string, grace time.Duration) (int, error) {
	n, err := s.endMarked(ctx, container, run, grace)
	if err == nil {
		return n, nil
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTime)
	defer cancel()
	done, lerr := lock(limited, s.run.RemovalGuard())
	if lerr != nil {
		return n, err
	}
	defer done()
	busy, lerr := s.others(container, run)
	busy = busy || lerr != nil
	if in, ierr := s.engine.Client.ContainerInspect(limited, container); busy || ierr != nil || !in.State.Running || s.engine.Client.ContainerKill(limited, container, "KILL") != nil {
		return n, err
	}
	cli.Warn(s.std, "%v: the container was ended with it", err)
	return n, nil
}

// endMarked finds it by its mark.
func (s *sandbox) endMarked(ctx context.Context, container, run string, grace time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, grace+20*time.Second)
	defer cancel()
	argv, err := s.tool(ctx, container, "kill", run, "TERM", grace.String())
	if err != nil {
		return 0, err
	}
	code, out, err := s.ask(ctx, container, argv...)
	if err == nil && marked.Parse(out, &marked.Result{}) != nil { // it may be full of processes
		if restore, rerr := s.room(ctx, container); rerr == nil {
			defer restore()
			code, out, err = s.ask(ctx, container, argv...)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("end run %s: %w", run, err)
	}
	var answer marked.Result
	if err := marked.Parse(out, &answer); err != nil || answer.Left > 0 {
		return answer.Killed, fmt.Errorf("end run %s: code %d, %d processes are left: %q", run, code, answer.Left, bytes.TrimSpace(out))
	}
	return answer.Killed, nil
}

// room lets the container have more processes until restore is called.
func (s *sandbox) room(ctx context.Context, id string) (restore func(), err error) {
	in, err := s.engine.Client.ContainerInspect(ctx, id)
	if err != nil {
		return nil, err
	}
	if in.HostConfig.PidsLimit == nil || *in.HostConfig.PidsLimit <= 0 {
		return nil, errors.New("processes are not limited")
	}
	limit := func(ctx context.Context, n int64) error {
		_, err := s.engine.Client.ContainerUpdate(ctx, id, container.UpdateConfig{Resources: container.Resources{PidsLimit: &n}})
		return err
	}
	before := *in.HostConfig.PidsLimit
	return func() { _ = limit(context.WithoutCancel(ctx), before) }, limit(ctx, before+64)
}

// tool is our own program in the container, or what a shell does in its place.
func (s *sandbox) tool(ctx context.Context, container string, args ...string) ([]string, error) {
	if s.hasHelper(ctx, container) {
		return append([]string{box.HelperPath}, args...), nil
	}
	return marked.Sh(args...)
}

// hasHelper is what the container was made with, which may be another than the
// one that is wanted now.
func (s *sandbox) hasHelper(ctx context.Context, container string) bool {
	if s.helped != nil {
		return *s.helped
	}
	in, err := s.engine.Client.ContainerInspect(ctx, container)
	if err != nil {
		return s.box.Spec.Helper
	}
	return slices.ContainsFunc(in.HostConfig.Mounts, func(m mountPoint) bool { return m.Target == box.HelperPath })
}

// ask runs something of ours in the container, and returns what it prints.
func (s *sandbox) ask(ctx context.Context, id string, argv ...string) (code int, out []byte, err error) {
	made, err := s.engine.Client.ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: argv, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return 0, nil, err
	}
	stream, err := session.Attach(ctx, s.engine.Client, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return 0, nil, err
	}
	stop := context.AfterFunc(ctx, stream.Close)
	defer stop()
	defer stream.Close()
	var both bytes.Buffer
	if _, err = stdcopy.StdCopy(&both, &both, stream.Reader); err != nil {
		return 0, nil, cmp.Or(ctx.Err(), err)
	}
	for {
		in, err := s.engine.Client.ContainerExecInspect(ctx, made.ID)
		if err != nil || !in.Running {
			return in.ExitCode, both.Bytes(), err
		}
		select {
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// probe is one real command: a container that runs and cannot run anything is of
// no use.
func (s *sandbox) probe(ctx context.Context, id string) error {
	argv := []string{box.HelperPath, "probe"}
	if !s.box.Spec.Helper {
		argv = []string{"/bin/sh", "-c", "true"}
	}
	code, out, err := s.ask(ctx, id, argv...)
	if err == nil && code == 0 {
		return nil
	}
	if err == nil {
		err = errors.New("code " + strconv.Itoa(code) + ": " + string(bytes.TrimSpace(out)))
	}
	return exitcode.Errorf(exitcode.Unavailable, "the container %q runs, and no command can be run in it: %w", s.settings.Container, err).WithID("probe_failed")
}

// look connects and finds out what is wanted, without making anything.
func (s *sandbox) look(ctx context.Context, host string) error {
	if err := s.attach(ctx, host); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(string(s.home), "workspace")); err != nil {
		return nil // nothing was ever made here, so that no plan can be
	}
	return s.plans(ctx)
}

// attach is enough for what needs only to know which container it is.
func (s *sandbox) attach(ctx context.Context, host string) error {
	if err := s.connect(ctx, host); err != nil {
		return err
	}
	s.box = &box.Box{Client: s.engine.Client, Spec: box.Spec{Name: s.settings.Container, Owner: s.owner()}, Vacate: s.vacate}
	return nil
}

// owner is the same by every name of the home.
func (s *sandbox) owner() string {
	dir := string(s.home)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return box.Owner(dir, string(s.name))
}
