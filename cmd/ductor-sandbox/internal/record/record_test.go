package record

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ductor/internal/common/clitest"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/process"
)

// other makes this test program a process that lives until its input ends.
const other = "DUCTOR_TEST_RECORD"

func TestMain(m *testing.M) {
	if os.Getenv(other) != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	clitest.Main(m)
}

// ids are some that do not sort as they are made.
var ids = []string{"MMMMMMMMMMMMMMMMMMMMMMMMMM", "ZZZZZZZZZZZZZZZZZZZZZZZZZZ", "AAAAAAAAAAAAAAAAAAAAAAAAAA", "23456723456723456723456723"}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 123456789, time.UTC)

func self(t *testing.T) process.Identity {
	t.Helper()
	id, err := process.Self()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func list(t *testing.T, d Dir) []Run {
	t.Helper()
	runs, err := d.List()
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func write(t *testing.T, d Dir, r Run) {
	t.Helper()
	if err := d.Write(r); err != nil {
		t.Fatal(err)
	}
}

// TestRoundTrip: what was written is read again, the oldest first, whatever its
// ID is and whenever it was written.
func TestRoundTrip(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "sandbox", "runs"))
	var want []Run
	for i, id := range ids {
		want = append(want, Run{ID: id, Owner: self(t), Tags: map[string]string{"chat": fmt.Sprint(i), "": "é\n<\x00"}, Command: "/bin/a b", Since: noon.Add(time.Duration(i)), Container: "box", Engine: "unix:///s"})
	}
	for _, i := range []int{2, 0, 3, 1} {
		write(t, d, want[i])
	}
	if got := list(t, d); !reflect.DeepEqual(got, want) {
		t.Errorf("\n%+v\n%+v", got, want)
	}
	want[1].Container, want[1].Tags = "another", nil
	write(t, d, want[1])
	if got := list(t, d); !reflect.DeepEqual(got, want) {
		t.Errorf("after the second time\n%+v\n%+v", got, want)
	}
	for i, id := range ids {
		if err := d.Remove(id); err != nil {
			t.Fatal(err)
		}
		if got := list(t, d); len(got) != len(ids)-i-1 || len(got) > 0 && got[0].ID != ids[i+1] {
			t.Errorf("after %s: %+v", id, got)
		}
	}
	if entries, err := os.ReadDir(string(d)); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// TestPrivate: what somebody lets an AI do is nobody else's business. A field
// that is new in the file has to be named here, and must be no argument of the
// command: they can be secret.
func TestPrivate(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "runs"))
	write(t, d, Run{ID: ids[0], Owner: self(t), Tags: map[string]string{"a": "b"}, Command: "claude", Since: noon, Container: "box", Engine: "unix:///s"})
	path := filepath.Join(string(d), ids[0]+".json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	got, want := slices.Sorted(maps.Keys(fields)), []string{"command", "container", "engine", "id", "owner", "schema", "since", "tags"}
	if !slices.Equal(got, want) || fields["command"] != "claude" || fields["schema"] != 1.0 || bytes.Count(data, []byte("\n")) != 1 {
		t.Errorf("%q, not %q: %s", got, want, data)
	}
	if runtime.GOOS == "windows" {
		return // its modes say nothing
	}
	for name, mode := range map[string]os.FileMode{string(d): 0o700, path: 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, not %v, %v", name, info.Mode().Perm(), mode, err)
		}
	}
}

// TestBadFiles: what is no run is none, and does not hide the others. It is
// removed, but not while somebody may write it, and not if its name is not ours.
func TestBadFiles(t *testing.T) {
	line := func(r Run) string {
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	good := Run{ID: ids[0], Owner: self(t), Command: "x", Since: noon}
	named := func(id string, tags map[string]string) string {
		r := good
		r.ID, r.Tags = id, tags
		return line(r)
	}
	bad := map[string]string{}
	for _, text := range []string{
		"", "\x00", "{", "null", "[]", `"x"`, "{}", line(good), line(good)[:50], line(good) + "}",
	} {
		bad[rand.Text()] = text
	}
	for _, text := range []string{`,"tags":[]`, `,"owner":{"pid":"1"}`, `,"since":"noon"`, `,"command":1`} {
		id := rand.Text()
		bad[id] = strings.TrimSuffix(named(id, nil), "}") + text + "}"
	}
	huge := rand.Text()
	bad[huge] = named(huge, map[string]string{"x": strings.Repeat("x", 64<<10)})
	foreign := []string{"x.json", ids[1], ids[1] + ".json.old", ids[1] + ".JSON", strings.ToLower(ids[1]) + ".json", ids[1][1:] + ".json", ids[1] + "A.json", "." + ids[1] + ".json.1-1.tmp", ".json"}

	d := Dir(t.TempDir())
	write(t, d, good)
	path := func(name string) string { return filepath.Join(string(d), name) }
	put := func(name, text string) {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for id, text := range bad {
		put(id+".json", text)
	}
	for _, name := range foreign {
		put(name, named(ids[1], nil))
	}
	if err := os.MkdirAll(path(ids[3]+".json/full"), 0o700); err != nil { // a folder with a good name
		t.Fatal(err)
	}
	count := func() int {
		entries, err := os.ReadDir(string(d))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	if got := list(t, d); !reflect.DeepEqual(got, []Run{good}) || count() != before {
		t.Errorf("%+v; of %d files %d are left", got, before, count())
	}
	old := time.Now().Add(-2 * time.Minute)
	entries, err := os.ReadDir(string(d))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chtimes(path(e.Name()), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if list(t, d); count() != before { // to look changes nothing
		t.Errorf("of %d files %d are left", before, count())
	}
	d.Clean()
	if got := list(t, d); !reflect.DeepEqual(got, []Run{good}) || count() != before-len(bad) {
		t.Errorf("%+v; of %d files %d are left, and %d were bad", got, before, count(), len(bad))
	}
	for _, name := range append(foreign, ids[0]+".json", ids[3]+".json") {
		if _, err := os.Lstat(path(name)); err != nil {
			t.Error(err)
		}
	}
}

// TestHugeIsBounded: a record of the greatest size that is read.
func TestHugeIsBounded(t *testing.T) {
	d := Dir(t.TempDir())
	r := Run{ID: ids[0], Command: "x", Since: noon, Tags: map[string]string{"x": strings.Repeat("x", 60<<10)}}
	write(t, d, r)
	if got := list(t, d); !reflect.DeepEqual(got, []Run{r}) {
		t.Errorf("%.300v", got)
	}
}

func TestIsID(t *testing.T) {
	for range 100 {
		if id := rand.Text(); !IsID(id) {
			t.Errorf("%q is none", id)
		}
	}
	for _, s := range append([]string{"", "x", ids[0][1:], ids[0] + "A", ids[0] + "\n", "\n" + ids[0], "../" + ids[0][3:], "0" + ids[0][1:], "8" + ids[0][1:]}, strings.ToLower(ids[0])) {
		if IsID(s) {
			t.Errorf("%q is one", s)
		}
	}
}

// gone is a process that was and is no more.
func gone(t *testing.T) process.Identity {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), other+"=1")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	id, err := process.Of(cmd.Process.Pid)
	if alive := (Run{Owner: id}).Alive(); err != nil || !alive {
		t.Errorf("another that lives: %v, %v", alive, err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return id
}

// TestAlive: only of whom is known to be dead the run is reaped.
func TestAlive(t *testing.T) {
	me := self(t)
	change := func(f func(*process.Identity)) process.Identity {
		id := me
		f(&id)
		return id
	}
	for name, tt := range map[string]struct {
		owner process.Identity
		want  bool
	}{
		"self":             {me, true},
		"on another host":  {change(func(id *process.Identity) { id.Host = "elsewhere" }), true},
		"a dead PID":       {gone(t), false},
		"a reused PID":     {change(func(id *process.Identity) { id.Start += "0" }), false},
		"a PID of nobody":  {change(func(id *process.Identity) { id.PID = 1 << 30 }), false},
		"no PID":           {process.Identity{}, false},
		"before the start": {change(func(id *process.Identity) { id.Start = "" }), false},
	} {
		if got := (Run{Owner: tt.owner}).Alive(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if me.Boot != "" {
		if (Run{Owner: change(func(id *process.Identity) { id.Boot += "x" })}).Alive() {
			t.Error("somebody lives since another boot")
		}
	}
	if me.PIDNS != "" { // whose PID, here, is that of somebody else
		if !(Run{Owner: change(func(id *process.Identity) { id.PIDNS += "0" })}).Alive() {
			t.Error("of another PID namespace it is known who lives")
		}
		if !(Run{Owner: change(func(id *process.Identity) { id.PIDNS += "0"; id.PID = 1 << 30 })}).Alive() {
			t.Error("that its PID is nobody's here says something of another PID namespace")
		}
		if (Run{Owner: change(func(id *process.Identity) { id.PIDNS += "0"; id.Boot += "x" })}).Alive() {
			t.Error("somebody lives in another PID namespace since another boot")
		}
	}
}

// TestGone: nothing to list and nothing to remove is no failure.
func TestGone(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "none"))
	if runs, err := d.List(); len(runs) > 0 || err != nil {
		t.Errorf("%v, %v", runs, err)
	}
	for range 2 {
		if err := d.Remove(ids[0]); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(string(d)); err == nil {
		t.Error("looking has made the folder")
	}
}

// TestNoFolder: a file is in its place.
func TestNoFolder(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "file"))
	if err := os.WriteFile(string(d), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(Run{ID: ids[0]}); exitcode.Of(err) != exitcode.CantCreat {
		t.Errorf("%d %v", exitcode.Of(err), err)
	}
	if runtime.GOOS == "windows" {
		return // which calls that a folder that is not there
	}
	if runs, err := d.List(); exitcode.Of(err) != exitcode.IOErr || runs != nil {
		t.Errorf("%v, %d %v", runs, exitcode.Of(err), err)
	}
}

// TestTogether: many runs begin and end at once, and each look sees whole ones.
func TestTogether(t *testing.T) {
	d := Dir(t.TempDir())
	stays := Run{ID: ids[0], Command: "stays", Since: noon}
	write(t, d, stays)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				r := Run{ID: rand.Text(), Command: "goes", Since: noon.Add(time.Second)}
				if err := d.Write(r); err != nil {
					t.Error(err)
				}
				if err := d.Remove(r.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		runs, err := d.List()
		if err != nil || len(runs) < 1 || runs[0].Command != "stays" || slices.ContainsFunc(runs[1:], func(r Run) bool { return r.Command != "goes" }) {
			t.Errorf("%+v, %v", runs, err)
			break
		}
	}
	<-done
	if runs := list(t, d); len(runs) != 1 {
		t.Errorf("%+v", runs)
	}
}
