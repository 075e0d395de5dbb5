package box

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"ductor/internal/common/exitcode"
)

// Drift is what was done about a difference between the container and what is
// wanted.
type Drift string

const (
	NoDrift   Drift = "none"
	Updated   Drift = "updated"   // limits, in place
	Pending   Drift = "pending"   // a run is alive: the next time
	Recreated Drift = "recreated" // a new container
)

// Changed says what Ensure did.
type Changed string

const (
	Reused  Changed = "reused"
	Started Changed = "started"
	Created Changed = "created"
	Remade  Changed = "recreated"
)

// State is a container that can be used.
type State struct {
	ID      string
	Changed Changed
	Drift   Drift
	Started time.Time
}

// Box is the container of one bot at one daemon. Its calls that change something
// need the lock of that bot's sandbox.
type Box struct {
	Client client.APIClient
	Spec   Spec
	// Vacate is called before a container is removed for a new one. It reports
	// whether a run is alive in it, which force leaves out of account, and lets
	// none begin until done is called.
	Vacate func(ctx context.Context, id string, force bool) (done func(), busy bool, err error)
	// Fresh returns the Spec for a container that is about to be made.
	Fresh func() (Spec, error)
}

// Find inspects the container. It is nil if there is none; one of somebody else
// is an error (78, name_conflict), and is never touched.
func (b *Box) Find(ctx context.Context) (*container.InspectResponse, error) {
	in, err := b.Client.ContainerInspect(ctx, b.Spec.Name)
	switch {
	case errdefs.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("inspect container %q: %w", b.Spec.Name, err)
	}
	if owner := in.Config.Labels[LabelOwner]; owner != b.Spec.Owner {
		whose := "is not of ductor-sandbox"
		if owner != "" {
			whose = "belongs to another bot or another home"
		}
		return nil, exitcode.Errorf(exitcode.Config, "the container %q %s", b.Spec.Name, whose).WithID("name_conflict").
			WithHint("choose another name by --container or docker.container_name; or docker rm -f %s", b.Spec.Name)
	}
	return &in, nil
}

// drifted: what differs needs another container.
func (b *Box) drifted(in *container.InspectResponse) bool {
	l := in.Config.Labels
	return l[LabelSpec] != b.Spec.Hash() || l[LabelFormat] != format || b.Spec.ImageID != "" && in.Image != b.Spec.ImageID
}

// Weaker reports whether the container does not keep its commands from all that
// is wanted now.
func (b *Box) Weaker(in *container.InspectResponse) bool {
	return in.Config.Labels[LabelGuard] != b.Spec.guard()
}

// Ready reports whether the container runs and is as it is wanted: the whole cost
// of a healthy one.
func (b *Box) Ready(in *container.InspectResponse) bool {
	return in != nil && in.State.Running && !in.State.Paused && !in.State.Restarting && !b.drifted(in) && !b.Spec.Limits.Differ(in.HostConfig.Resources)
}

// Options of Ensure.
type Options struct {
	Recreate bool // also without a difference
	Now      bool // also while runs are alive

	began string // the container that was started: if it does not run, it has failed
}

// attempts bounds how often the state may change under us: others may create,
// start and remove containers too.
const attempts = 20

// Ensure leads to a running container, whatever is found.
func (b *Box) Ensure(ctx context.Context, o Options) (State, error) {
	st := State{Changed: Reused, Drift: NoDrift}
	for range attempts {
		in, err := b.Find(ctx)
		if err != nil {
			return st, err
		}
		done, err := b.step(ctx, in, &o, &st)
		if err != nil || done {
			return st, err
		}
	}
	return st, exitcode.Errorf(exitcode.Unavailable, "the container %q does not come to rest: somebody else changes it", b.Spec.Name).WithID("start_failed")
}

// step does one thing about the state that is found, and reports whether that
// was the last.
func (b *Box) step(ctx context.Context, in *container.InspectResponse, o *Options, st *State) (bool, error) {
	switch {
	case in == nil:
		o.Recreate = false
		return false, b.create(ctx, st)
	case in.State.Status == container.StateRemoving:
		return false, pause(ctx)
	case in.State.Dead, in.State.Status == container.StateCreated && in.State.Error != "":
		return false, b.Remove(ctx, in.ID)
	case o.Recreate || b.drifted(in) || b.Spec.Limits.lift(in.HostConfig.Resources):
		return b.replace(ctx, in, o, st)
	case in.State.Paused:
		return false, b.unpause(ctx, in.ID)
	case in.State.Restarting:
		return false, pause(ctx)
	case !in.State.Running && in.ID == o.began:
		return false, b.Failed(ctx, in.ID)
	case !in.State.Running:
		return false, b.start(ctx, in.ID, o, st)
	case b.Spec.Limits.Differ(in.HostConfig.Resources) && st.Drift != Updated: // once: a daemon may not obey
		st.Drift = Updated
		return false, b.update(ctx, in.ID)
	}
	st.ID = in.ID
	st.Started, _ = time.Parse(time.RFC3339Nano, in.State.StartedAt)
	return true, nil
}

// replace takes a new container for one that differs, unless a run is alive in
// it: then it stays, and is said to.
func (b *Box) replace(ctx context.Context, in *container.InspectResponse, o *Options, st *State) (bool, error) {
	done, busy, err := b.Vacate(ctx, in.ID, o.Now || !in.State.Running)
	if err != nil {
		return false, err
	}
	defer done()
	if busy {
		st.ID, st.Drift = in.ID, Pending
		if in.State.Paused {
			return true, b.unpause(ctx, in.ID)
		}
		return true, nil
	}
	o.Recreate = false
	st.Drift, st.Changed = Recreated, Remade
	return false, b.Remove(ctx, in.ID)
}

func (b *Box) create(ctx context.Context, st *State) (err error) {
	if b.Fresh != nil {
		if b.Spec, err = b.Fresh(); err != nil {
			return err
		}
	}
	_, err = b.Client.ContainerCreate(ctx, b.Spec.config(), b.Spec.hostConfig(), nil, nil, b.Spec.Name)
	switch {
	case errdefs.IsConflict(err): // somebody was faster
		return pause(ctx)
	case errdefs.IsNotFound(err):
		return exitcode.Errorf(exitcode.Unavailable, "the image %q is not there: %w", b.Spec.Image, err).WithID("image_missing")
	case err != nil:
		return exitcode.Errorf(exitcode.Unavailable, "create container %q: %w", b.Spec.Name, err).WithID("create_failed")
	}
	if st.Changed != Remade {
		st.Changed = Created
	}
	return nil
}

func (b *Box) start(ctx context.Context, id string, o *Options, st *State) error {
	err := b.Client.ContainerStart(ctx, id, container.StartOptions{})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		in, ierr := b.Client.ContainerInspect(ctx, id)
		if errdefs.IsNotFound(ierr) || ierr == nil && (in.State.Error == "" || !strings.Contains(err.Error(), in.State.Error)) {
			return pause(ctx) // it is being removed, and does not lack a network, or the like
		}
	}
	if err != nil {
		return b.startFailed(ctx, id, err)
	}
	o.began = id
	if st.Changed == Reused {
		st.Changed = Started
	}
	return nil
}

// Failed is why a container that was started does not run: a first process that
// cannot live ends at once, and the start that Docker reports as a success says
// nothing of that. It is nil for one that runs.
func (b *Box) Failed(ctx context.Context, id string) error {
	in, err := b.Client.ContainerInspect(ctx, id)
	if err == nil && !in.State.Running {
		err = fmt.Errorf("it ended with code %d at once", in.State.ExitCode)
		if in.State.Error != "" {
			err = fmt.Errorf("%w: %s", err, in.State.Error)
		}
	}
	if err == nil {
		return nil
	}
	return b.startFailed(ctx, id, err)
}

// startFailed also removes it, as what it is would be found the next time.
func (b *Box) startFailed(ctx context.Context, id string, err error) error {
	err = cmp.Or(ctx.Err(), err) // that nobody waits any more comes first
	e := exitcode.Errorf(exitcode.Unavailable, "start container %q: %w", b.Spec.Name, err).WithID("start_failed")
	if text := b.lastWords(id); text != "" {
		e = e.WithHint("its last words: %s", text)
	}
	if ctx.Err() == nil {
		_ = b.Remove(ctx, id)
	}
	return e
}

// lastWords of its first process, for a start that failed.
func (b *Box) lastWords(id string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r, err := b.Client.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "5"})
	if err != nil {
		return ""
	}
	defer r.Close()
	var out bytes.Buffer
	_, _ = stdcopy.StdCopy(&out, &out, io.LimitReader(r, 8<<10))
	return strings.Join(strings.Fields(out.String()), " ")
}

func (b *Box) update(ctx context.Context, id string) error {
	r := b.Spec.Limits.resources()
	if _, err := b.Client.ContainerUpdate(ctx, id, container.UpdateConfig{Resources: r}); err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		return fmt.Errorf("change the limits of container %q: %w", b.Spec.Name, err)
	}
	return nil
}

// unpause: that somebody else has done it, or removed it, is told in as many ways
// as there are versions.
func (b *Box) unpause(ctx context.Context, id string) error {
	err := b.Client.ContainerUnpause(ctx, id)
	if err == nil {
		return nil
	}
	in, ierr := b.Client.ContainerInspect(ctx, id)
	if errdefs.IsNotFound(ierr) || ierr == nil && !in.State.Paused {
		return nil
	}
	return fmt.Errorf("unpause container %q: %w", b.Spec.Name, err)
}

// Remove removes a container of ours; one that is gone or just going is as good.
func (b *Box) Remove(ctx context.Context, id string) error {
	err := b.Client.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case errdefs.IsConflict(err): // "removal already in progress"
		return pause(ctx)
	case err != nil:
		return fmt.Errorf("remove container %q: %w", b.Spec.Name, err)
	}
	return nil
}

// pause lets others go on.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(100 * time.Millisecond):
		return nil
	}
}
