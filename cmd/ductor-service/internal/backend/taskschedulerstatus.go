package backend

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/exitcode"
)

// Status asks Task Scheduler; schtasks knows no more than that a task is there.
func (t *TaskScheduler) Status(ctx context.Context) (Status, error) {
	st := Status{Manager: string(t.Platform()), State: NotInstalled, Problems: []Problem{}}
	have, main, err := t.stored(ctx)
	if exitcode.Of(err) == exitcode.NoPerm {
		st.Installed, st.State, st.Definition = true, Unknown, t.path()
		st.Problems = append(st.Problems, t.notElevated(err))
		return st, nil
	}
	if err != nil || main.xml == nil {
		return st, err
	}
	st.Installed, st.Definition = true, t.path()
	_, st.Timer = have[t.name+"-update"]
	if old, err := definition.Read(definition.Task, main.xml); err == nil {
		st.Stored, st.Stale = &old, old.Stale(definition.Task, main.xml)
	}
	t.fill(&st, main)
	st.Problems = append(st.Problems, commonProblems(definition.Task, st.Stored, main.xml)...)
	return st, nil
}

// notElevated is the problem of a task that an administrator made, and that
// nobody else may look at.
func (t *TaskScheduler) notElevated(err error) Problem {
	p := Problem{Code: "not-elevated", Message: err.Error()}
	var e *exitcode.Error
	if errors.As(t.guide("status", err), &e) {
		p.Fix = e.Hint
	}
	return p
}

// fill translates Task Scheduler's numbers.
func (t *TaskScheduler) fill(st *Status, main found) {
	st.Enabled, st.Starts = definition.TaskEnabled(main.xml), StartsLogin
	if !st.Enabled {
		st.Starts = StartsManual
	}
	st.LastExit = lastResult(main)
	switch pid := t.supervisor(); {
	case main.state == taskRunning && pid == 0 && st.Stored != nil && st.Stored.Sandbox != "":
		st.State = Starting // what comes before, and may take minutes
	case main.state == taskRunning:
		st.State, st.PID = Running, pid
	case main.state == taskQueued:
		st.State = Starting
	case main.state == 0 && pid != 0: // of schtasks that would be unknown, but not of the lock
		st.State, st.PID = Running, pid
	case main.state == 0:
		st.State = Unknown
	case main.failed():
		st.State = Failed
	default:
		st.State = Stopped
	}
	if st.State == Running && !main.ran.IsZero() {
		ran := main.ran.UTC()
		st.Since = &ran
	}
}

// Of LastTaskResult: Task Scheduler's own words from here to there, which are
// no failures, and the one of them that tells of an end.
const (
	resultWords      = 0x41300
	resultTerminated = 0x41306
	resultWordsEnd   = 0x413ff
)

// lastResult is nil while the task has never ended.
func lastResult(main found) *Exit {
	r := main.result
	switch {
	case main.state == 0, r >= resultWords && r <= resultWordsEnd && r != resultTerminated:
		return nil
	case r == resultTerminated:
		return &Exit{Result: "terminated"}
	}
	code := int(r)
	e := &Exit{Code: &code}
	if r > 0xffff { // an HRESULT or an NTSTATUS, which people look up like this
		e.Result = fmt.Sprintf("0x%08X", r)
	}
	return e
}

// failed reports whether the last run ended, and not well.
func (f found) failed() bool {
	e := lastResult(f)
	return e != nil && e.Code != nil && *e.Code != 0
}

// Examine looks for what makes status know less.
func (t *TaskScheduler) Examine(ctx context.Context) []Problem {
	if _, err := t.tasks.read(ctx, t.name); !t.tasks.blunt || exitcode.Of(err) == exitcode.Unavailable {
		return nil
	}
	return []Problem{{"no-powershell", "powershell.exe does not run scripts here, and schtasks.exe does not tell how a task is", ""}}
}

// Logs are in files, as on macOS.
func (t *TaskScheduler) Logs(ctx context.Context, out, _ io.Writer, q Lines) error {
	main, err := t.installed(ctx)
	if err != nil {
		return t.guide("logs", err)
	}
	s := t.want()
	if old, err := definition.Read(definition.Task, main.xml); err == nil {
		s = old.Service
	}
	return fileLogs(ctx, s, out, q)
}
