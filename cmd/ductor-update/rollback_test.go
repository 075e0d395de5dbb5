//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ductor/cmd/ductor-update/internal/state"
	"ductor/internal/common/process"
	"ductor/test/pyindex"
)

// TestJudge: which crashes count against an upgrade.
func TestJudge(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	after := func(s int) time.Time { return since.Add(time.Duration(s) * time.Second) }
	const unknown = -time.Second
	for _, tt := range []struct {
		name    string
		crashes []crash
		want    string
	}{
		{"three crashes", []crash{{after(10), time.Second}, {after(20), time.Second}, {after(30), time.Second}}, "counted counted bad"},
		{"a run from before", []crash{{after(10), time.Hour}, {after(20), time.Second}}, "notOurs counted"},
		{"a long run", []crash{{after(10), time.Second}, {after(300), 2 * time.Minute}}, "counted proven"},
		{"almost", []crash{{after(120), 119 * time.Second}}, "counted"},
		{"unknown lengths", []crash{{after(10), unknown}, {after(100), unknown}, {after(219), unknown}}, "counted counted bad"},
		{"an unknown length, long after", []crash{{after(10), unknown}, {after(130), unknown}}, "counted proven"},
		{"nobody called before", []crash{{after(3600), unknown}}, "proven"},
		{"a clock that was set back", []crash{{after(-100), 0}, {after(-100), unknown}, {after(-90), time.Second}}, "counted counted bad"},
	} {
		c := change{Since: since}
		var got []string
		for _, k := range tt.crashes {
			got = append(got, []string{"notOurs", "counted", "proven", "bad"}[c.judge(k)])
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %s, not %s", tt.name, s, tt.want)
		}
	}
}

// setProbation makes an upgrade look older.
func (w *pyWorld) setProbation(f func(c *change)) {
	w.t.Helper()
	_, err := state.Change(filepath.Join(w.dir, "home/run/ductor/update.json"), func(s *state.State) error {
		c, err := decode(s.Probation)
		if err != nil || c == nil {
			return fmt.Errorf("no probation: %v", err)
		}
		f(c)
		s.Probation = encode(c)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// event runs a verb as a hook is run.
func (w *pyWorld) event(code int, status string, runtime float64) result {
	w.t.Helper()
	w.t.Setenv("DUCTOR_EVENT", "child_exit")
	in := filepath.Join(w.dir, "event")
	line := fmt.Sprintf(`{"schema":1,"time":%q,"type":"child_exit","code":1,"runtime_seconds":%g}`, time.Now().UTC().Format(time.RFC3339Nano), runtime)
	if err := os.WriteFile(in, []byte(line), 0o600); err != nil {
		w.t.Fatal(err)
	}
	f, err := os.Open(in)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	w.in = f
	defer func() { w.in = nil }()
	return w.do(code, status, "rollback", "--if-pending")
}

// TestProbation: crashes count, the third one leads back, and a proven version
// stays.
func TestProbation(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	w.do(1, "", "rollback", "--if-pending")
	w.do(1, "", "rollback")
	w.do(0, "upgraded", "upgrade", "--chat-id", "5")
	w.event(1, "", 3600) // of the version before
	for range 2 {
		w.event(1, "", 0)
	}
	w.says("1.1")
	if r := w.event(0, "rolled-back", 0); r.Old != "1.1" || r.New != "1.0" {
		t.Errorf("%+v", r)
	}
	w.says("1.0")
	w.clean("blocked")
	if got := w.file("home/upgrade-sentinel.json"); got != `{"chat_id":5,"old_version":"1.1","new_version":"1.0","status":"rolled-back"}`+"\n" {
		t.Errorf("%q", got)
	}
	w.event(1, "", 0)

	w.do(0, "upgraded", "upgrade", "--to", "1.1")
	w.setProbation(func(c *change) { c.Since = c.Since.Add(-time.Hour) })
	w.event(1, "", 121)
	w.clean("previous")
	w.says("1.1")
	w.do(1, "", "rollback", "--if-pending")
	// The copy is gone, and the index has the version.
	if r := w.do(0, "rolled-back", "rollback"); r.New != "1.0" {
		t.Errorf("%+v", r)
	}
	w.says("1.0")
	w.clean("blocked")
}

// TestSettle: a supervisor whose bot has run for two minutes proves an upgrade,
// whoever looks.
func TestSettle(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	w.do(0, "upgraded", "upgrade")
	self, err := process.Self()
	if err != nil {
		t.Fatal(err)
	}
	status := func(state string, since time.Time) {
		line := fmt.Sprintf(`{"schema":1,"state":%q,"since":%q,"supervisor":{"pid":%d,"start":%q}}`, state, since.UTC().Format(time.RFC3339), self.PID, self.Start)
		if err := os.WriteFile(filepath.Join(w.dir, "home/run/ductor/status.json"), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.setProbation(func(c *change) { c.Since = time.Now().Add(-10 * time.Minute) })
	for _, still := range []struct {
		state string
		since time.Duration
	}{{"up", time.Minute}, {"up", time.Hour}, {"backoff", 5 * time.Minute}} {
		status(still.state, time.Now().Add(-still.since))
		w.check()
		w.clean("probation")
	}
	status("ready", time.Now().Add(-3*time.Minute))
	w.check()
	w.clean("previous")
}

func (w *pyWorld) check() {
	w.t.Helper()
	if code, _, errs := w.try("check"); code != 0 {
		w.t.Fatal(errs)
	}
}

// TestForeignChange: what somebody else has installed since the upgrade stays,
// and so the copy is no way back.
func TestForeignChange(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0", Deps: []string{"dep"}}, pyindex.Release{Pkg: "dep", Version: "1.0"})
	w.index.Publish(pyindex.Release{Pkg: "dep", Version: "2.0"}, pyindex.Release{Version: "1.1", Deps: []string{"dep==2.0"}}, pyindex.Release{Pkg: "other", Version: "3.0"})
	w.do(0, "upgraded", "upgrade")
	w.index.Publish(pyindex.Release{Pkg: "gone", Version: "1.0"})
	w.command(w.venv+"/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "other")
	w.do(0, "rolled-back", "rollback")
	w.says("1.0")
	w.clean("blocked")
	list := w.command(w.venv+"/bin/python", "-m", "pip", "list", "--disable-pip-version-check", "--format=freeze")
	for _, want := range []string{"dep==1.0\n", "other==3.0\n", "ductor==1.0\n"} {
		if !strings.Contains(list, want) {
			t.Errorf("%q is not in\n%s", want, list)
		}
	}
	// Somebody has done it by hand: there is nothing to go back from.
	w.do(0, "upgraded", "upgrade", "--to", "1.1")
	w.command(w.venv+"/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "ductor==1.0")
	w.do(1, "", "rollback", "--if-pending")
	w.do(1, "", "rollback")
}

// TestRollbackTo names a version.
func TestRollbackTo(t *testing.T) {
	defer func(d []time.Duration) { lagDelays = d }(lagDelays)
	lagDelays = []time.Duration{0}
	w := newVenvWorld(t, pyindex.Release{Version: "1.1"}, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "0.9", Init: "raise SystemExit('old and broken')"})
	w.do(71, "rolled-back", "rollback", "--to", "0.9")
	w.says("1.1")
	if r := w.do(0, "rolled-back", "rollback", "--to", "1.0"); r.Old != "1.1" || r.New != "1.0" {
		t.Errorf("%+v", r)
	}
	w.says("1.0")
	w.clean("blocked")
	w.do(0, "unchanged", "rollback", "--to", "1.0")
	w.do(64, "", "rollback", "--to", "1.0; rm -rf /")
	w.do(75, "not-visible-yet", "rollback", "--to", "0.1")
	w.says("1.0")
	if r := w.do(0, "unchanged", "upgrade"); !strings.Contains(r.Reason, "1.1") {
		t.Errorf("%+v", r)
	}
}

// TestInterrupted leaves a journal of each phase, and looks what the next run
// does.
func TestInterrupted(t *testing.T) {
	bin := buildUpdate(t)
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	for _, tt := range []struct {
		phase    phase
		code     int
		status   string
		verb     []string
		version  string
		holds    string
		sentinel bool
	}{
		{copying, 1, "", []string{"rollback", "--if-pending"}, "1.0", "", false},
		{changing, 0, "rolled-back", []string{"rollback", "--if-pending"}, "1.0", "", true},
		{changed, 0, "rolled-back", []string{"rollback"}, "1.0", "", true},
		{undoing, 0, "rolled-back", []string{"rollback", "--if-pending"}, "1.0", "", true},
		{changed, 0, "upgraded", []string{"upgrade"}, "1.1", "probation", true},
	} {
		t.Run(string(tt.phase)+" "+tt.verb[0], func(t *testing.T) {
			os.Remove(filepath.Join(w.dir, "home/upgrade-sentinel.json"))
			w.do(0, "upgraded", "upgrade", "--to", "1.1")
			_, err := state.Change(filepath.Join(w.dir, "home/run/ductor/update.json"), func(s *state.State) error {
				c, err := decode(s.Probation)
				if err != nil {
					return err
				}
				c.Phase, c.ChatID = tt.phase, 9
				s.Journal, s.Probation = encode(c), nil
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if tt.phase == copying {
				w.command(w.venv+"/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "ductor==1.0")
			}
			code, out, errs := w.exec(append([]string{bin}, tt.verb...)...)
			var r result
			_ = json.Unmarshal([]byte(out), &r)
			if code != tt.code || r.Status != tt.status {
				t.Fatalf("%d %s%s", code, out, errs)
			}
			w.says(tt.version)
			w.clean(tt.holds)
			if got := w.file("home/upgrade-sentinel.json"); (got != "") != tt.sentinel {
				t.Errorf("sentinel: %q", got)
			}
		})
	}
}

// TestDamagedRecord: what cannot be trusted is said, and not acted on.
func TestDamagedRecord(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"})
	dir := filepath.Join(w.dir, "home/run/ductor")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(w.dir, ".ductor-update-precious")
	if err := os.Mkdir(precious, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, journal := range []string{`"x"`, `{}`, `[1]`, fmt.Sprintf(`{"id":"a","phase":"copying","package":"ductor","old":"1.0","prefix":%q,"copy":%q,"undo":{"argv":["true"]}}`, w.venv, precious),
		fmt.Sprintf(`{"id":"a","phase":"copying","package":"ductor","old":"1.0","prefix":%q,"copy":%q,"undo":{"argv":["true"]}}`, w.dir, w.dir+"/home")} {
		if err := os.WriteFile(filepath.Join(dir, "update.json"), []byte(`{"schema":1,"journal":`+journal+`}`), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, errs := w.try("rollback", "--if-pending")
		if code != 1 || !strings.Contains(errs, "damaged") {
			t.Errorf("%s: %d %s", journal, code, errs)
		}
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

// TestBadIndex: an upgrade that cannot ask changes nothing.
func TestBadIndex(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"})
	for name, answer := range map[string]http.HandlerFunc{
		"500":  func(out http.ResponseWriter, r *http.Request) { http.Error(out, "no", 500) },
		"HTML": func(out http.ResponseWriter, r *http.Request) { fmt.Fprint(out, "<html>a login page</html>") },
		"types": func(out http.ResponseWriter, r *http.Request) {
			out.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
			fmt.Fprint(out, `{"meta":{"api-version":"1.0"},"name":"ductor","files":"none"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.serve(answer)
			code, out, errs := w.try("upgrade")
			if code != 69 && code != 65 || out != "" {
				t.Errorf("%d %s%s", code, out, errs)
			}
		})
	}
	w.says("1.0")
	if got := w.file("home/run/ductor/update.json"); got != "" {
		t.Errorf("%s", got)
	}
}

// FuzzDecode: whatever stands in update.json, a copy that is removed lies in
// the environment that is named with it, under a name of ours.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"a","phase":"copying","package":"ductor","old":"1.0","prefix":"/v","copy":"/v/.ductor-update-a","undo":{"argv":["true"]}}`))
	f.Add([]byte(`{"package":"ductor","old":"1.0","prefix":"/v","copy":"/v/.ductor-update-a/../../etc","undo":{"argv":["true"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decode(data)
		if err != nil || c == nil || c.Copy == "" {
			return
		}
		if dir, name := filepath.Split(filepath.Clean(c.Copy)); filepath.Clean(dir) != filepath.Clean(c.Prefix) || !strings.HasPrefix(name, copyPrefix) {
			t.Errorf("%q in %q", c.Copy, c.Prefix)
		}
		c.judge(crash{at: time.Now()})
		if again, err := decode(encode(c)); err != nil || again.Copy != c.Copy {
			t.Errorf("%v %v", again, err)
		}
	})
}

func TestSays(t *testing.T) {
	for text, want := range map[string]bool{"ductor 1.0": true, "1.0\n": true, "v1.0 (abc)": true, "ductor 11.0": false, "1.0.1": false, "1.0.0": true, "01.00": true, "1.0rc1": false, "1.0+local": false, "x1.0": false, "version 1.0.\n": true, "": false} {
		if says(text, "1.0") != want {
			t.Errorf("%q", text)
		}
	}
}

// TestRepairedByHand: what somebody has installed over a half done upgrade stays.
func TestRepairedByHand(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"}, pyindex.Release{Version: "3.0"})
	w.do(0, "upgraded", "upgrade", "--to", "1.1")
	_, err := state.Change(filepath.Join(w.dir, "home/run/ductor/update.json"), func(s *state.State) error {
		c, err := decode(s.Probation)
		if err != nil {
			return err
		}
		c.Phase = changing
		s.Journal, s.Probation = encode(c), nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.command(w.venv+"/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "ductor==3.0")
	w.do(1, "", "rollback", "--if-pending")
	w.says("3.0")
	w.clean()
}

// TestLongRunBefore: a bot that has run for two minutes, and was stopped, has
// proven its version; a crash weeks later says nothing of it.
func TestLongRunBefore(t *testing.T) {
	w := newVenvWorld(t, pyindex.Release{Version: "1.0"}, pyindex.Release{Version: "1.1"})
	w.do(0, "upgraded", "upgrade")
	w.setProbation(func(c *change) { c.Since = c.Since.Add(-time.Hour); c.Crashes = 2 })
	line := fmt.Sprintf(`{"schema":1,"seq":1,"time":%q,"type":"child_exit","code":0,"runtime_seconds":130}`+"\n", time.Now().Add(-10*time.Minute).UTC().Format(time.RFC3339Nano))
	if err := os.WriteFile(filepath.Join(w.dir, "home/run/ductor/events.jsonl"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	w.event(1, "", 0)
	w.says("1.1")
	w.clean("previous")
}
