package session

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
)

// play is what a daemon does that a real one does not do on demand.
type play struct {
	create int                              // status; 0 is success, hung is no answer
	refuse int                              // the same of the start
	stream func(d *daemon, c *net.UnixConn) // what comes after the start; then it is closed
	// inspect has the answers of one exec inspect after the other, once the stream
	// has ended or is silent for ever; the last is repeated.
	inspect []answer
	// box is the container, and slow how long the first answer takes.
	box  answer
	slow time.Duration
	oom  int // which question for events is answered so; 0 is none
	size int // status of a resize
}

const hung = -1

// answer is a status, or a body with 200.
type answer struct {
	status int
	body   any
}

func running(pid int) answer { return answer{body: map[string]any{"Running": true, "Pid": pid}} }

func ended(code int) answer {
	return answer{body: map[string]any{"Running": false, "Pid": 42, "ExitCode": code}}
}

// unborn was never a process.
func unborn(code int) answer {
	return answer{body: map[string]any{"Running": false, "Pid": 0, "ExitCode": code}}
}

func box(state string, started time.Time) answer {
	return answer{body: map[string]any{"Id": "box", "State": map[string]any{"Running": state == "running", "Status": state, "StartedAt": started.Format(time.RFC3339Nano)}}}
}

// daemon plays.
type daemon struct {
	t      *testing.T
	play   play
	server *http.Server
	client *client.Client
	end    chan struct{}
	all    sync.WaitGroup // handlers

	mu       sync.Mutex
	calls    []string
	options  container.ExecOptions
	inspects int
	over     []answer // what inspect answers from now on, whatever the stream does
	speaks   bool     // the stream
	resizes  []string
}

func newDaemon(t *testing.T, p play) *daemon {
	t.Helper()
	d := &daemon{t: t, play: p, end: make(chan struct{})}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for pattern, f := range map[string]http.HandlerFunc{
		"POST /v1.41/containers/box/exec": d.create, "POST /v1.41/exec/id/start": d.start, "GET /v1.41/exec/id/json": d.inspect,
		"POST /v1.41/exec/id/resize": d.resize, "GET /v1.41/containers/box/json": d.box, "GET /v1.41/events": d.events,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			d.all.Add(1)
			defer d.all.Done()
			f(w, r)
		})
	}
	d.server = &http.Server{Handler: mux}
	served := make(chan struct{})
	go func() { _ = d.server.Serve(l); close(served) }()
	if d.client, err = client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithVersion("1.41")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(d.end)
		_ = d.client.Close()
		_ = d.server.Close()
		<-served
		d.all.Wait()
	})
	return d
}

func (d *daemon) called(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, what)
}

// say answers, and reports whether that was all there is to say.
func (d *daemon) say(w http.ResponseWriter, r *http.Request, status int) bool {
	switch status {
	case 0:
		return false
	case hung:
		select {
		case <-d.end:
		case <-r.Context().Done():
		}
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"message":"the daemon says %d"}`, status)
	}
	return true
}

func (d *daemon) give(w http.ResponseWriter, r *http.Request, a answer) {
	if !d.say(w, r, a.status) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a.body)
	}
}

func (d *daemon) create(w http.ResponseWriter, r *http.Request) {
	d.called("create")
	d.mu.Lock()
	err := json.NewDecoder(r.Body).Decode(&d.options)
	d.mu.Unlock()
	if err != nil {
		d.t.Error(err)
	}
	if !d.say(w, r, d.play.create) {
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"Id":"id"}`)
	}
}

func (d *daemon) start(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if d.say(w, r, d.play.refuse) {
		return
	}
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		d.t.Error(err)
		return
	}
	defer conn.Close()
	d.called("start")
	fmt.Fprint(conn, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	if n := buf.Reader.Buffered(); n > 0 {
		d.t.Errorf("%d bytes came before the answer", n)
	}
	if d.play.stream != nil {
		d.speak(true)
		d.play.stream(d, conn.(*net.UnixConn))
		d.speak(false)
	}
}

func (d *daemon) inspect(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	answers := d.play.inspect
	switch {
	case d.over != nil:
		answers = d.over
	case d.speaks:
		answers = []answer{running(42)}
		d.inspects = -1
	}
	a := answers[min(max(d.inspects, 0), len(answers)-1)]
	d.inspects++
	d.mu.Unlock()
	d.give(w, r, a)
}

func (d *daemon) speak(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.speaks = on
}

// turn changes what inspect answers.
func (d *daemon) turn(a ...answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over, d.inspects = a, 0
}

func (d *daemon) resize(w http.ResponseWriter, r *http.Request) {
	d.called("resize")
	d.mu.Lock()
	d.resizes = append(d.resizes, r.FormValue("h")+"x"+r.FormValue("w"))
	d.mu.Unlock()
	d.say(w, r, d.play.size)
}

func (d *daemon) sizes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.resizes)
}

func (d *daemon) box(w http.ResponseWriter, r *http.Request) {
	d.called("box")
	if d.count("box") == 1 {
		time.Sleep(d.play.slow)
	}
	d.give(w, r, d.play.box)
}

func (d *daemon) events(w http.ResponseWriter, r *http.Request) {
	d.called("events")
	if !strings.Contains(r.FormValue("filters"), `"oom"`) || !strings.Contains(r.FormValue("filters"), `"box"`) || r.FormValue("until") == "" {
		d.t.Errorf("events: %v", r.Form)
	}
	if d.count("events") == d.play.oom {
		fmt.Fprintln(w, `{"Type":"container","Action":"oom","Actor":{"ID":"box"}}`)
	}
}

func (d *daemon) count(what string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		if c == what {
			n++
		}
	}
	return n
}

// die is the end of the daemon, with all of its connections.
func (d *daemon) die() { _ = d.server.Close() }

// Streams.

// prints is a command that writes to standard output and ends.
func prints(text string) func(*daemon, *net.UnixConn) {
	return func(_ *daemon, c *net.UnixConn) {
		_, _ = io.WriteString(stdcopy.NewStdWriter(c, stdcopy.Stdout), text)
	}
}

// holds is prints, and then the stream stays open for as long as our side is.
func holds(text string) func(*daemon, *net.UnixConn) {
	return func(d *daemon, c *net.UnixConn) {
		prints(text)(d, c)
		d.speak(false)
		_, _ = io.Copy(io.Discard, c)
	}
}

// until is a command that writes for ever, and whose stream ends with a channel.
func until(end <-chan struct{}, to stdcopy.StdType) func(*daemon, *net.UnixConn) {
	return func(_ *daemon, c *net.UnixConn) {
		w := stdcopy.NewStdWriter(c, to)
		for {
			select {
			case <-end:
				return
			case <-time.After(time.Millisecond):
				if _, err := io.WriteString(w, "tick\n"); err != nil {
					return
				}
			}
		}
	}
}

// echo is cat: it ends with its input.
func echo(_ *daemon, c *net.UnixConn) {
	in, err := io.ReadAll(bufio.NewReader(c))
	if err == nil {
		_, _ = stdcopy.NewStdWriter(c, stdcopy.Stdout).Write(in)
		_, _ = io.WriteString(stdcopy.NewStdWriter(c, stdcopy.Stderr), fmt.Sprint(len(in)))
	}
}
