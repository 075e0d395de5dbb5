// Package box is the one container of a bot: what it has to be, and the way
// there from whatever is found.
package box

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/docker/docker/api/types/container"
	mounts "github.com/docker/docker/api/types/mount"
	"github.com/docker/go-units"

	"ductor/cmd/ductor-sandbox/internal/mount"
)

// Labels of a container of ours.
const (
	LabelOwner  = "dev.ductor.sandbox" // whose it is: see Owner
	LabelSpec   = "dev.ductor.spec"    // the Hash that it was made from
	LabelImage  = "dev.ductor.image"   // the ID of the image that it was made from
	LabelGuard  = "dev.ductor.guard"   // the hash of what keeps commands from doing harm
	LabelFormat = "dev.ductor.format"
)

// format changes when a container that an older version made is no longer what
// this one needs.
const format = "2"

// HelperPath is where our own program is in the container, if it can run there:
// as the first process, and to end what a run has left.
const HelperPath = mount.HelperInside

// Spec is a container as it is wanted.
type Spec struct {
	Name    string
	Owner   string
	Image   string // what it is called, and
	ImageID string // what that is now
	User    string // UID:GID
	Env     []string
	Mounts  []mount.Mount
	Network string
	Helper  bool // our program is at HelperPath
	Limits
	ReadOnly bool
}

// Limits can be changed while it runs.
type Limits struct {
	Memory   int64 // bytes
	NanoCPUs int64 // 0: all
	Pids     int64
}

// Owner is the label's value for the bot NAME of a home: no path, because labels
// can be read by anybody who may ask the daemon.
func Owner(home, name string) string {
	sum := sha256.Sum256([]byte(home + "\x00" + name))
	return hex.EncodeToString(sum[:8])
}

// Hash is that of all that needs another container when it changes. Image is not
// in it: two names of one image are no difference, and its ID is compared by
// itself.
func (s Spec) Hash() string {
	env := slices.Clone(s.Env)
	slices.Sort(env)
	return hash(format, s.Owner, s.User, env, s.Mounts, s.Network, s.Helper, s.ReadOnly)
}

// guard is the part of it that a command must not run without. Our own program
// protects nobody.
func (s Spec) guard() string {
	var keep []mount.Mount
	for _, m := range s.Mounts {
		if m.Target != HelperPath {
			keep = append(keep, m)
		}
	}
	return hash(s.User, keep, s.Network, s.ReadOnly)
}

func hash(parts ...any) string {
	data, err := json.Marshal(parts)
	if err != nil {
		panic(err) // strings and numbers can be encoded
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// config and hostConfig are what Docker is told. What is always on costs nothing
// that could be measured.
func (s Spec) config() *container.Config {
	cmd := []string{"sleep", "infinity"}
	if s.Helper {
		cmd = []string{HelperPath, "idle"}
	}
	return &container.Config{
		Image: cmp.Or(s.ImageID, s.Image), User: s.User, Env: s.Env, Entrypoint: cmd[:1], Cmd: cmd[1:],
		// Each command has its own. Docker would make one here in the image, and
		// with it a /tmp of root's, whose mode runc gives to the one in memory.
		WorkingDir: "/",
		Hostname:   "sandbox",
		Labels:     map[string]string{LabelOwner: s.Owner, LabelSpec: s.Hash(), LabelImage: s.ImageID, LabelGuard: s.guard(), LabelFormat: format},
	}
}

func (s Spec) hostConfig() *container.HostConfig {
	yes := true
	h := &container.HostConfig{
		Init: &yes, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"},
		NetworkMode: container.NetworkMode(s.Network), ReadonlyRootfs: s.ReadOnly,
		OomScoreAdj: 300, // before the bot
		// Not by the daemon: it does not know whether the bot still wants it.
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		LogConfig:     container.LogConfig{Type: "local", Config: map[string]string{"max-size": "1m", "max-file": "2"}},
		Tmpfs:         map[string]string{"/tmp": "exec,nosuid,nodev,mode=1777"},
		Resources:     s.resources(),
	}
	h.Resources.Ulimits = []*units.Ulimit{{Name: "core", Soft: 0, Hard: 0}}
	for _, m := range s.Mounts {
		h.Mounts = append(h.Mounts, toDocker(m))
	}
	return h
}

func (l Limits) resources() container.Resources {
	pids := l.Pids
	return container.Resources{Memory: l.Memory, MemorySwap: l.Memory, NanoCPUs: l.NanoCPUs, PidsLimit: &pids}
}

// Differ compares with what a container has.
func (l Limits) Differ(r container.Resources) bool {
	pids := int64(0)
	if r.PidsLimit != nil {
		pids = *r.PidsLimit
	}
	return r.Memory != l.Memory || r.NanoCPUs != l.NanoCPUs || pids != l.Pids
}

// lift reports whether a limit is to be none at all, which Docker takes for a
// limit that is not to change.
func (l Limits) lift(r container.Resources) bool {
	return l.Memory == 0 && r.Memory != 0 || l.NanoCPUs == 0 && r.NanoCPUs != 0
}

// toDocker has no Binds: Docker would make a folder that is missing, for root.
func toDocker(m mount.Mount) mounts.Mount {
	if m.Tmpfs {
		return mounts.Mount{Type: mounts.TypeTmpfs, Target: m.Target, ReadOnly: m.ReadOnly, TmpfsOptions: &mounts.TmpfsOptions{Mode: m.Mode}}
	}
	return mounts.Mount{Type: mounts.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly,
		BindOptions: &mounts.BindOptions{Propagation: mounts.PropagationRPrivate, NonRecursive: m.ReadOnly}}
}
