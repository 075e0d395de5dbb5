package box

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"ductor/internal/common/exitcode"
)

// daemon has one container, and does what a real one does not do on demand.
type daemon struct {
	t *testing.T
	// on is asked before a verb is done, with how many times it was asked before.
	// It may change the daemon; 0 goes on, another status is all of the answer.
	on map[string]func(d *daemon, n int) int
	// logs is what the first process has said.
	logs string

	mu     sync.Mutex
	asked  map[string]int
	did    []string // verbs that were asked for, without inspect
	state  string   // "" is none
	fault  string   // State.Error
	id     int      // of the container
	labels map[string]string
	image  string
	limits container.Resources
}

// newDaemon has the container in a state, as Spec wants it.
func newDaemon(t *testing.T, state string) (*daemon, *Box) {
	t.Helper()
	s := wanted()
	d := &daemon{t: t, state: state, id: 1, on: map[string]func(*daemon, int) int{}, asked: map[string]int{},
		labels: s.config().Labels, image: s.ImageID, limits: s.resources()}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(d)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	c, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); server.CloseClientConnections(); server.Close() })
	return d, &Box{Client: c, Spec: s, Vacate: func(context.Context, string, bool) (func(), bool, error) { return func() {}, false, nil }}
}

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	verb, path := "", strings.TrimPrefix(r.URL.Path, "/v1.41/containers/")
	switch {
	case r.Method == http.MethodDelete:
		verb = "remove"
		if r.FormValue("force") != "1" || r.FormValue("v") != "1" {
			d.t.Errorf("remove with %v", r.Form)
		}
	case path == "create":
		verb = "create"
		if r.FormValue("name") != "box" {
			d.t.Errorf("create with %v", r.Form)
		}
	case strings.HasSuffix(path, "/json"):
		verb = "inspect"
	default:
		verb = path[strings.LastIndexByte(path, '/')+1:]
	}
	if verb != "inspect" {
		d.did = append(d.did, verb)
	}
	n := d.asked[verb]
	d.asked[verb]++
	if f := d.on[verb]; f != nil {
		if status := f(d, n); status != 0 {
			http.Error(w, fmt.Sprintf(`{"message":"the daemon says %d to %s"}`, status, verb), status)
			return
		}
	}
	if d.state == "" && verb != "create" {
		http.Error(w, `{"message":"No such container: box"}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	d.do(verb, w, r)
}

func (d *daemon) do(verb string, w http.ResponseWriter, r *http.Request) {
	switch verb {
	case "inspect":
		_ = json.NewEncoder(w).Encode(d.container())
	case "create":
		var c container.CreateRequest
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			d.t.Error(err)
			return
		}
		d.id++
		d.state, d.fault, d.labels, d.image, d.limits = "created", "", c.Labels, c.Image, c.HostConfig.Resources
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"Id":"%d"}`, d.id)
	case "start", "unpause":
		d.state = "running"
		w.WriteHeader(http.StatusNoContent)
	case "update":
		if err := json.NewDecoder(r.Body).Decode(&d.limits); err != nil {
			d.t.Error(err)
		}
		fmt.Fprint(w, `{}`)
	case "remove":
		d.state = ""
		w.WriteHeader(http.StatusNoContent)
	case "logs":
		_, _ = stdcopy.NewStdWriter(w, stdcopy.Stderr).Write([]byte(d.logs))
	default:
		d.t.Errorf("what is %s?", verb)
	}
}

func (d *daemon) container() map[string]any {
	return map[string]any{
		"Id": fmt.Sprint(d.id), "Image": d.image, "Config": map[string]any{"Labels": d.labels}, "HostConfig": d.limits,
		"State": map[string]any{
			"Status": d.state, "Running": d.state == "running" || d.state == "paused" || d.state == "restarting", "Paused": d.state == "paused",
			"Restarting": d.state == "restarting", "Dead": d.state == "dead", "Error": d.fault, "ExitCode": 3, "StartedAt": "2026-01-02T03:04:05.6Z",
		},
	}
}

// verbs are what was asked for, without inspect.
func (d *daemon) verbs() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.did, " ")
}

// once answers the first time with a status, and after a change.
func once(status int, change func(d *daemon)) func(*daemon, int) int {
	return func(d *daemon, n int) int {
		if n > 0 {
			return 0
		}
		change(d)
		return status
	}
}

// turn changes the state at the nth look.
func turn(nth int, state string) func(*daemon, int) int {
	return func(d *daemon, n int) int {
		if n == nth {
			d.state = state
		}
		return 0
	}
}

func to(state string) func(d *daemon) { return func(d *daemon) { d.state = state } }

// TestWay from each state to one that runs, and what is said of it.
func TestWay(t *testing.T) {
	type hooks = map[string]func(*daemon, int) int
	for name, tt := range map[string]struct {
		state   string
		fault   string
		hooks   hooks
		did     string
		changed Changed
	}{
		"absent":                   {"", "", nil, "create start", Created},
		"running":                  {"running", "", nil, "", Reused},
		"paused":                   {"paused", "", nil, "unpause", Reused},
		"exited":                   {"exited", "", nil, "start", Started},
		"exited with an old error": {"exited", "an old one", nil, "start", Started},
		"created":                  {"created", "", nil, "start", Started},
		"created, error":           {"created", "no such user", nil, "remove create start", Created},
		"dead":                     {"dead", "", nil, "remove create start", Created},
		"removing":                 {"removing", "", hooks{"inspect": turn(3, "")}, "create start", Created},
		"restarting":               {"restarting", "", hooks{"inspect": turn(3, "running")}, "", Reused},
		"restarting in vain":       {"restarting", "", hooks{"inspect": turn(3, "exited")}, "start", Started},

		"create 409, by another":     {"", "", hooks{"create": once(409, to("running"))}, "create", Reused},
		"create 409, not started":    {"", "", hooks{"create": once(409, to("created"))}, "create start", Started},
		"create 409, name set aside": {"", "", hooks{"create": once(409, to(""))}, "create create start", Created},
		"remove 409":                 {"dead", "", hooks{"remove": once(409, to("removing")), "inspect": turn(3, "")}, "remove create start", Created},
		"remove 409, was quick":      {"dead", "", hooks{"remove": once(409, to(""))}, "remove create start", Created},
		"remove 404":                 {"dead", "", hooks{"remove": once(404, to(""))}, "remove create start", Created},
		"unpause 409":                {"paused", "", hooks{"unpause": once(409, to("running"))}, "unpause", Reused},
		"unpause 409, stopped":       {"paused", "", hooks{"unpause": once(409, to("exited"))}, "unpause start", Started},
		"unpause 500, by another":    {"paused", "", hooks{"unpause": once(500, to("running"))}, "unpause", Reused},
		"unpause 404":                {"paused", "", hooks{"unpause": once(404, to(""))}, "unpause create start", Created},
		"start 404":                  {"exited", "", hooks{"start": once(404, to(""))}, "start create start", Created},
		"start 409":                  {"exited", "", hooks{"start": once(409, to("removing")), "inspect": turn(3, "")}, "start create start", Created},
		"start 304":                  {"exited", "", hooks{"start": once(304, to("running"))}, "start", Started},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, b := newDaemon(t, tt.state)
			d.fault = tt.fault
			for verb, f := range tt.hooks {
				d.on[verb] = f
			}
			st, err := b.Ensure(t.Context(), Options{})
			d.mu.Lock()
			id := fmt.Sprint(d.id)
			d.mu.Unlock()
			want := State{ID: id, Changed: tt.changed, Drift: NoDrift, Started: time.Date(2026, 1, 2, 3, 4, 5, 6e8, time.UTC)}
			if err != nil || st != want || d.verbs() != tt.did {
				t.Errorf("%+v, %v; not %+v\n%q, not %q", st, err, want, d.verbs(), tt.did)
			}
		})
	}
}

// TestUnpauseRefused is no reason to try for ever.
func TestUnpauseRefused(t *testing.T) {
	for _, status := range []int{409, 500} {
		d, b := newDaemon(t, "paused")
		d.on["unpause"] = func(*daemon, int) int { return status }
		if _, err := b.Ensure(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "to unpause") || d.verbs() != "unpause" {
			t.Errorf("%v, %q", err, d.verbs())
		}
	}
}

// TestStartLacksSomething: what is not there is no container that is being removed,
// though the status is the same.
func TestStartLacksSomething(t *testing.T) {
	d, b := newDaemon(t, "exited")
	d.on["start"] = func(d *daemon, _ int) int { d.fault = "the daemon says 404 to start"; return 404 }
	_, err := b.Ensure(t.Context(), Options{})
	var e *exitcode.Error
	if !errors.As(err, &e) || e.ID != "start_failed" || !strings.Contains(err.Error(), "404 to start") || d.verbs() != "start logs remove" {
		t.Errorf("%v, %q", err, d.verbs())
	}
}

// TestDiesAfterItsStart: a process that ends at once may still be there at the
// first look.
func TestDiesAfterItsStart(t *testing.T) {
	d, b := newDaemon(t, "exited")
	d.logs = "I cannot live"
	d.on["start"] = func(d *daemon, _ int) int { d.state = "exited"; return 204 }
	_, err := b.Ensure(t.Context(), Options{})
	var e *exitcode.Error
	if !errors.As(err, &e) || e.ID != "start_failed" || !strings.Contains(e.Hint, "I cannot live") || d.verbs() != "start logs remove" {
		t.Errorf("%v, %q", err, d.verbs())
	}
}

// TestRecreateWhatIsNotThere makes it once.
func TestRecreateWhatIsNotThere(t *testing.T) {
	d, b := newDaemon(t, "")
	if st, err := b.Ensure(t.Context(), Options{Recreate: true}); err != nil || st.Changed != Created || d.verbs() != "create start" {
		t.Errorf("%+v, %v, %q", st, err, d.verbs())
	}
}

// TestLimitsThatEnd: Docker takes none for no change.
func TestLimitsThatEnd(t *testing.T) {
	d, b := newDaemon(t, "running")
	d.limits.NanoCPUs, b.Spec.NanoCPUs = 5e8, 0
	if st, err := b.Ensure(t.Context(), Options{}); err != nil || st.Drift != Recreated || d.verbs() != "remove create start" {
		t.Errorf("%+v, %v, %q", st, err, d.verbs())
	}
	d, b = newDaemon(t, "running")
	d.limits.NanoCPUs, b.Spec.NanoCPUs = 5e8, 1e9
	d.on["update"] = once(404, to(""))
	if _, err := b.Ensure(t.Context(), Options{}); err != nil || d.verbs() != "update create start" {
		t.Errorf("removed in between: %v, %q", err, d.verbs())
	}
}

// TestNoRest: what changes for ever is given up, and said.
func TestNoRest(t *testing.T) {
	for name, tt := range map[string]struct {
		state string
		verb  string
		f     func(d *daemon, n int) int
	}{
		"removing":        {"removing", "", nil},
		"restarting":      {"restarting", "", nil},
		"create 409":      {"", "create", func(*daemon, int) int { return 409 }},
		"remove 409":      {"dead", "remove", func(*daemon, int) int { return 409 }},
		"start 409":       {"exited", "start", func(*daemon, int) int { return 409 }},
		"always paused":   {"paused", "unpause", func(*daemon, int) int { return 204 }},
		"always removed":  {"", "inspect", func(d *daemon, n int) int { d.state = ""; return 0 }},
		"always anything": {"", "inspect", func(d *daemon, n int) int { d.state = []string{"", "dead", "paused", "removing"}[n%4]; return 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, b := newDaemon(t, tt.state)
			d.on[tt.verb] = tt.f
			_, err := b.Ensure(t.Context(), Options{})
			var e *exitcode.Error
			if !errors.As(err, &e) || e.Code != exitcode.Unavailable || e.ID != "start_failed" || !strings.Contains(err.Error(), "does not come to rest") {
				t.Errorf("%v, %+v", err, e)
			}
		})
	}
}

// TestCanceled: nobody waits any more, and nothing is removed for that.
func TestCanceled(t *testing.T) {
	for _, tt := range []struct{ state, verb string }{{"removing", "inspect"}, {"exited", "start"}, {"", "create"}} {
		t.Run(tt.state, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			d, b := newDaemon(t, tt.state)
			d.on[tt.verb] = func(*daemon, int) int {
				cancel()
				return map[string]int{"create": 409, "start": 500}[tt.verb]
			}
			if _, err := b.Ensure(ctx, Options{}); !errors.Is(err, context.Canceled) || strings.Contains(d.verbs(), "remove") {
				t.Errorf("%v, %s", err, d.verbs())
			}
			if err := pause(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("it waits on: %v", err)
			}
		})
	}
}

// TestRefused: the daemon's own words are in the error.
func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		state, verb string
		status      int
		code        int
		id          string
	}{
		"inspect":     {"running", "inspect", 500, exitcode.OSErr, ""},
		"create":      {"", "create", 500, exitcode.Unavailable, "create_failed"},
		"create, 400": {"", "create", 400, exitcode.Unavailable, "create_failed"},
		"no image":    {"", "create", 404, exitcode.Unavailable, "image_missing"},
		"start":       {"exited", "start", 500, exitcode.Unavailable, "start_failed"},
		"start, 400":  {"", "start", 400, exitcode.Unavailable, "start_failed"},
		"unpause":     {"paused", "unpause", 500, exitcode.OSErr, ""},
		"remove":      {"dead", "remove", 500, exitcode.OSErr, ""},
		"update":      {"running", "update", 500, exitcode.OSErr, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, b := newDaemon(t, tt.state)
			d.on[tt.verb] = func(*daemon, int) int { return tt.status }
			b.Spec.Pids++
			_, err := b.Ensure(t.Context(), Options{})
			var e *exitcode.Error
			id := ""
			if errors.As(err, &e) {
				id = e.ID
			}
			if exitcode.Of(err) != tt.code || id != tt.id || !strings.Contains(err.Error(), fmt.Sprintf("the daemon says %d to %s", tt.status, tt.verb)) {
				t.Errorf("%v, code %d, %q", err, exitcode.Of(err), id)
			}
			if removed := strings.HasSuffix(d.verbs(), "remove"); removed != (tt.verb == "start" || tt.verb == "remove") {
				t.Errorf("%s", d.verbs())
			}
		})
	}
}

// TestDies: a start that Docker calls a success, of a process that ends at once.
// What it has said is in the hint.
func TestDies(t *testing.T) {
	for _, logs := range []string{"no such\n\tlibrary\n", ""} {
		d, b := newDaemon(t, "created")
		d.logs = logs
		d.on["inspect"] = func(d *daemon, n int) int {
			if n == 1 {
				d.state = "exited"
			}
			return 0
		}
		_, err := b.Ensure(t.Context(), Options{})
		var e *exitcode.Error
		want := ""
		if logs != "" {
			want = "its last words: no such library"
		}
		if !errors.As(err, &e) || e.ID != "start_failed" || e.Hint != want || !strings.Contains(err.Error(), "code 3") || d.verbs() != "start logs remove" {
			t.Errorf("%v, %+v, %s", err, e, d.verbs())
		}
	}
}

// TestReplace: another container, but not while somebody uses this one.
func TestReplace(t *testing.T) {
	for name, tt := range map[string]struct {
		state   string
		options Options
		change  func(s *Spec)
		busy    bool
		did     string
		drift   Drift
		force   bool
	}{
		"drift":            {"running", Options{}, func(s *Spec) { s.Env = nil }, false, "remove create start", Recreated, false},
		"drift of stopped": {"exited", Options{}, func(s *Spec) { s.Env = nil }, false, "remove create start", Recreated, true},
		"another image":    {"running", Options{}, func(s *Spec) { s.ImageID = "sha256:2" }, false, "remove create start", Recreated, false},
		"and limits":       {"running", Options{}, func(s *Spec) { s.Env, s.Pids = nil, 7 }, false, "remove create start", Recreated, false},
		"asked for":        {"running", Options{Recreate: true}, func(*Spec) {}, false, "remove create start", Recreated, false},
		"asked, paused":    {"paused", Options{Recreate: true}, func(*Spec) {}, false, "remove create start", Recreated, false},
		"busy":             {"running", Options{}, func(s *Spec) { s.Env = nil }, true, "", Pending, false},
		"busy, asked":      {"running", Options{Recreate: true}, func(*Spec) {}, true, "", Pending, false},
		"busy, paused":     {"paused", Options{}, func(s *Spec) { s.Env = nil }, true, "unpause", Pending, false},
		"busy, now":        {"running", Options{Now: true}, func(s *Spec) { s.Env = nil }, true, "remove create start", Recreated, true},
		"nothing to do":    {"running", Options{Now: true}, func(*Spec) {}, true, "", NoDrift, false},
		"dead":             {"dead", Options{}, func(s *Spec) { s.Env = nil }, true, "remove create start", NoDrift, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, b := newDaemon(t, tt.state)
			tt.change(&b.Spec)
			var calls []string
			b.Vacate = func(_ context.Context, id string, force bool) (func(), bool, error) {
				calls = append(calls, fmt.Sprint("vacate ", id, " ", force))
				return func() { calls = append(calls, "done after "+d.verbs()) }, tt.busy && !force, nil
			}
			st, err := b.Ensure(t.Context(), tt.options)
			changed, id := Remade, "2"
			switch {
			case tt.drift == Pending || tt.did == "":
				changed, id = Reused, "1"
			case tt.drift == NoDrift:
				changed = Created
			}
			if err != nil || st.Drift != tt.drift || st.Changed != changed || st.ID != id || d.verbs() != tt.did {
				t.Errorf("%+v, %v, %q", st, err, d.verbs())
			}
			var want []string
			if tt.drift != NoDrift {
				until := strings.Fields(tt.did + " ")
				want = []string{fmt.Sprint("vacate 1 ", tt.force), "done after " + strings.Join(until[:min(1, len(until))], "")}
			}
			if !slices.Equal(calls, want) {
				t.Errorf("%q, not %q", calls, want)
			}
		})
	}
	d, b := newDaemon(t, "running")
	b.Vacate = func(context.Context, string, bool) (func(), bool, error) {
		return nil, false, errors.New("nobody knows")
	}
	if _, err := b.Ensure(t.Context(), Options{Recreate: true}); err == nil || err.Error() != "nobody knows" || d.verbs() != "" {
		t.Errorf("%v, %s", err, d.verbs())
	}
}

// TestLimits change in place, and are not tried twice where the daemon does not
// obey.
func TestLimits(t *testing.T) {
	for _, obeys := range []bool{true, false} {
		d, b := newDaemon(t, "running")
		b.Spec.Limits = Limits{Memory: 1 << 29, NanoCPUs: 5e8, Pids: 7}
		if !obeys {
			d.on["inspect"] = func(d *daemon, _ int) int { d.limits.PidsLimit = nil; return 0 }
		}
		st, err := b.Ensure(t.Context(), Options{})
		if err != nil || st.Drift != Updated || st.Changed != Reused || d.verbs() != "update" {
			t.Errorf("%+v, %v, %s", st, err, d.verbs())
		}
		if l := d.limits; l.Memory != 1<<29 || l.MemorySwap != 1<<29 || l.NanoCPUs != 5e8 || obeys && *l.PidsLimit != 7 {
			t.Errorf("%+v", l)
		}
	}
}

// TestReady is only what runs and is as it should be.
func TestReady(t *testing.T) {
	for name, tt := range map[string]struct {
		state  string
		change func(s *Spec)
		want   bool
	}{
		"running":        {"running", func(*Spec) {}, true},
		"absent":         {"", func(*Spec) {}, false},
		"paused":         {"paused", func(*Spec) {}, false},
		"restarting":     {"restarting", func(*Spec) {}, false},
		"exited":         {"exited", func(*Spec) {}, false},
		"created":        {"created", func(*Spec) {}, false},
		"memory":         {"running", func(s *Spec) { s.Memory++ }, false},
		"CPUs":           {"running", func(s *Spec) { s.NanoCPUs = 0 }, false},
		"pids":           {"running", func(s *Spec) { s.Pids-- }, false},
		"env":            {"running", func(s *Spec) { s.Env = nil }, false},
		"another image":  {"running", func(s *Spec) { s.ImageID = "sha256:2" }, false},
		"unknown image":  {"running", func(s *Spec) { s.ImageID = "" }, true},
		"another's name": {"running", func(s *Spec) { s.Image = "x" }, true},
	} {
		d, b := newDaemon(t, tt.state)
		tt.change(&b.Spec)
		in, err := b.Find(t.Context())
		if got := b.Ready(in); err != nil || got != tt.want || (in == nil) != (tt.state == "") || d.verbs() != "" {
			t.Errorf("%s: %v, %v, %s", name, got, err, d.verbs())
		}
	}
	_, b := newDaemon(t, "running")
	in, err := b.Find(t.Context())
	if err != nil || b.Weaker(in) {
		t.Errorf("it is weaker than it is: %v", err)
	}
	in.Config.Labels[LabelFormat] = "0"
	if b.Ready(in) {
		t.Error("an older version's container is ready")
	}
	b.Spec.ReadOnly = true
	if !b.Weaker(in) {
		t.Error("it can be written, and should not")
	}
}
