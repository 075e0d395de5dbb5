// Package image finds the sandbox's image, or builds it.
//
// The daemon does the work, by its API: no docker program is needed.
package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/client"

	"ductor/internal/common/exitcode"
)

// LabelDockerfile is the label that holds the Source.Hash of an image that
// Build made. An image without it came from elsewhere.
const LabelDockerfile = "dev.ductor.dockerfile"

// The words of ductor-sandbox's JSON for what goes wrong here.
const (
	Missing     = "image_missing"
	BuildFailed = "build_failed"
)

// Found is an image that the daemon has.
type Found struct {
	ID         string // sha256:…
	Ref        string // by which it was asked for
	Dockerfile string // LabelDockerfile, or ""
	OS, Arch   string // as in GOOS and GOARCH
}

// CheckRef returns an error with code 64 unless ref can name an image: a name
// with or without tag or digest, or an ID.
func CheckRef(ref string) error {
	if _, err := reference.ParseAnyReference(ref); err != nil {
		return exitcode.Errorf(exitcode.Usage, "image name %q: %w", ref, err)
	}
	return nil
}

// checkTag is CheckRef for a name that an image is to get.
func checkTag(ref string) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return exitcode.Errorf(exitcode.Usage, "image name %q: %w", ref, err)
	}
	if _, pinned := named.(reference.Digested); pinned {
		return exitcode.Errorf(exitcode.Usage, "image name %q: what is built cannot have a digest that is known before", ref)
	}
	return nil
}

// Find asks the daemon for an image; nothing is pulled. One that is not there
// is Missing, with code 69. Errors of the connection carry no code.
func Find(ctx context.Context, c client.APIClient, ref string) (Found, error) {
	if err := CheckRef(ref); err != nil {
		return Found{}, err
	}
	got, err := c.ImageInspect(ctx, ref)
	switch {
	case errdefs.IsNotFound(err):
		return Found{}, exitcode.Errorf(exitcode.Unavailable, "image %q is not there", ref).WithID(Missing)
	case err != nil:
		return Found{}, fmt.Errorf("inspect image %q: %w", ref, err)
	}
	found := Found{ID: got.ID, Ref: ref, OS: got.Os, Arch: got.Architecture}
	if got.Config != nil {
		found.Dockerfile = got.Config.Labels[LabelDockerfile]
	}
	return found, nil
}

// IsOutdated reports whether Build made the image itself, from another Dockerfile than
// this one. The label alone does not tell: what somebody builds upon an image of
// ours inherits it, and the last step does not.
func (f Found) IsOutdated(ctx context.Context, c client.APIClient, s Source) (bool, error) {
	wanted, err := s.Hash()
	if err != nil || f.Dockerfile == "" || f.Dockerfile == wanted {
		return false, err
	}
	steps, err := c.ImageHistory(ctx, f.ID)
	if err != nil || len(steps) == 0 {
		return false, err
	}
	return strings.Contains(steps[0].CreatedBy, LabelDockerfile+"="+f.Dockerfile), nil
}

// Request is what Build is to do.
type Request struct {
	Ref      string // the name that the image gets, with or without a tag
	Source   Source
	Labels   map[string]string // besides LabelDockerfile
	Progress io.Writer         // gets plain lines, safe for a terminal; nil is nobody
	NoCache  bool              // run every step again
}

// Build builds an image by the daemon's classic builder, which every daemon
// from API 1.41 on has, and names it Ref when it is done: until then, and after
// a failure, an older image keeps the name. Labels of the request win over those
// of the Dockerfile. No user of a registry and no proxy is passed on; a base
// image that is not there is pulled by the daemon.
//
// What the daemon refuses or fails at is BuildFailed, with code 69 and the last
// lines of output in the message. Errors of the connection, and the end of ctx,
// carry no code. The end of ctx stops the build; steps that were done by then
// stay in the daemon's cache, and no container is left.
func Build(ctx context.Context, c client.APIClient, r Request) (Found, error) {
	if err := checkTag(r.Ref); err != nil {
		return Found{}, err
	}
	dockerfile, err := r.Source.read()
	if err != nil {
		return Found{}, err
	}
	archive, err := r.Source.pack(dockerfile)
	if err != nil {
		return Found{}, err
	}
	// The daemon works until the request's end, so every way out cancels it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &log{progress: r.Progress}
	id, err := run(ctx, c, archive, r.options(hash(dockerfile)), out)
	if err != nil {
		return Found{}, failure(ctx, r, err, out)
	}
	return result(ctx, c, r.Ref, id, hash(dockerfile), out)
}

func (r Request) options(dockerfile string) build.ImageBuildOptions {
	labels := maps.Clone(r.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[LabelDockerfile] = dockerfile
	return build.ImageBuildOptions{
		Version:    build.BuilderV1,
		Tags:       []string{r.Ref},
		Dockerfile: inContext,
		Labels:     labels,
		NoCache:    r.NoCache,
		Remove:     true,
		// Also of a step that failed: nobody will look at its container.
		ForceRemove: true,
	}
}

// run returns the ID that the daemon gives to the image, which may be "".
func run(ctx context.Context, c client.APIClient, archive *bytes.Buffer, o build.ImageBuildOptions, out *log) (string, error) {
	resp, err := c.ImageBuild(ctx, archive, o)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return follow(resp.Body, out)
}

// failure gives an error its code: BuildFailed only to what the daemon itself
// said.
func failure(ctx context.Context, r Request, err error, out *log) error {
	var said *buildError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("build image %q: %w", r.Ref, context.Cause(ctx))
	case client.IsErrConnectionFailed(err), !errors.As(err, &said) && !refused(err):
		return fmt.Errorf("build image %q: %w", r.Ref, err)
	}
	return buildFailed(r, plain(err.Error()), out)
}

// refused reports whether the daemon answered the request itself by an error: a
// Dockerfile that cannot be parsed is 400 or 500, by version.
func refused(err error) bool {
	return errdefs.IsInvalidArgument(err) || errdefs.IsInternal(err) || errdefs.IsNotFound(err) || errdefs.IsNotImplemented(err)
}

func buildFailed(r Request, why string, out *log) error {
	text := strings.Join(out.last, "\n  ")
	if text != "" {
		text = "\n  " + text
	}
	err := exitcode.Errorf(exitcode.Unavailable, "build image %q: %s%s", r.Ref, why, text).WithID(BuildFailed)
	if r.Source.Context == "" && (strings.HasPrefix(why, "COPY failed") || strings.HasPrefix(why, "ADD failed")) {
		_ = err.WithHint("the Dockerfile is all that is sent: use RUN, or a base image that has the files")
	}
	return err
}

// result looks at what was built. Without an ID, which some engines leave out,
// the name must lead to an image of this Dockerfile: that a stream ended
// proves nothing.
func result(ctx context.Context, c client.APIClient, ref, id, dockerfile string, out *log) (Found, error) {
	by := id
	if by == "" {
		by = ref
	}
	found, err := Find(ctx, c, by)
	found.Ref = ref
	var coded *exitcode.Error
	switch {
	case errors.As(err, &coded), err == nil && found.Dockerfile != dockerfile:
		return Found{}, buildFailed(Request{Ref: ref}, "the daemon ended without a result", out)
	case err != nil:
		return Found{}, err
	}
	return found, nil
}
