package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/process"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// tell adds events, one a line as in events.jsonl but for the time, which is in
// seconds after noon.
func tell(t *testing.T, p *past, lines string) {
	t.Helper()
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		at, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		after, err := time.ParseDuration(at)
		if err != nil {
			t.Fatal(err)
		}
		var e journal.Event
		if err := json.Unmarshal([]byte(rest), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		e.Time = noon.Add(after)
		p.add(e)
	}
}

const oneLife = `
0s {"type":"supervisor_start","pid":10,"command":["bot","-v"]}
1s {"type":"child_start","pid":11,"reason":"first"}
1s {"type":"child_up","pid":11}`

// ends shortens the ends of runs to what they led to, and why.
func ends(p past) (words []string) {
	for _, e := range p.Exits {
		words = append(words, strings.TrimSuffix(e.Reason+"/"+e.Cause, "/"))
	}
	return words
}

// TestWhatAnEndLedTo has the events in the order in which a supervisor writes
// them.
func TestWhatAnEndLedTo(t *testing.T) {
	for _, tt := range []struct {
		name, events string
		state        string
		ends         []string
		reasons      map[string]int
	}{
		{"up", oneLife, "up", nil, nil},
		{"ready", oneLife + `
			2s {"type":"child_ready","pid":11}`, "ready", nil, nil},
		{"ready before it is known to be executed", `
			1s {"type":"child_start","pid":11,"reason":"first"}
			1s {"type":"child_ready","pid":11}
			1s {"type":"child_up","pid":11}`, "ready", nil, nil},
		{"an end that is being cleaned up", oneLife + `
			5s {"type":"child_exit","pid":11,"code":0}`, "stopping", []string{""}, nil},
		{"marker", oneLife + `
			5s {"type":"restart_request","reason":"marker"}
			5s {"type":"child_exit","pid":11,"code":0}
			5s {"type":"child_start","pid":12,"reason":"marker"}`, "starting", []string{"restart/marker"}, map[string]int{"marker": 1}},
		{"crash", oneLife + `
			5s {"type":"child_exit","pid":11,"code":1}
			5s {"type":"backoff","delay_seconds":1,"crashes":1}
			6s {"type":"child_start","pid":12,"reason":"crash"}
			6s {"type":"child_up","pid":12}`, "up", []string{"crash"}, map[string]int{"crash": 1}},
		{"back-off cut short by a change", oneLife + `
			5s {"type":"child_exit","pid":11,"code":1}
			5s {"type":"backoff","delay_seconds":9,"crashes":1}
			6s {"type":"change","path":"a.py","count":1}
			6s {"type":"child_start","pid":12,"reason":"change"}`, "starting", []string{"crash"}, map[string]int{"change": 1}},
		{"hang", oneLife + `
			5s {"type":"hang","pid":11,"reason":"heartbeat","delay_seconds":2}
			6s {"type":"child_exit","pid":11,"code":143,"signal":"SIGTERM"}
			6s {"type":"backoff","delay_seconds":1,"crashes":1}`, "backoff", []string{"crash/hang"}, nil},
		{"storm", oneLife + `
			2s {"type":"child_exit","pid":11,"code":42}
			2s {"type":"storm","reason":"code"}
			2s {"type":"backoff","delay_seconds":2,"crashes":1}`, "backoff", []string{"crash/storm"}, nil},
		{"storm during a back-off", oneLife + `
			2s {"type":"child_exit","pid":11,"code":1}
			2s {"type":"backoff","delay_seconds":9,"crashes":1}
			3s {"type":"storm","reason":"marker"}
			9s {"type":"child_start","pid":12,"reason":"crash"}
			9s {"type":"child_exit","pid":12,"code":1}
			9s {"type":"backoff","delay_seconds":9,"crashes":2}`, "backoff", []string{"crash", "crash"}, map[string]int{"crash": 1}},
		{"stop", oneLife + `
			5s {"type":"stop_request","reason":"signal","signal":"SIGTERM"}
			5s {"type":"child_exit","pid":11,"code":143,"signal":"SIGTERM"}
			5s {"type":"supervisor_exit","code":0}`, "down", []string{"stop"}, nil},
		{"its own stop code", oneLife + `
			5s {"type":"child_exit","pid":11,"code":0}
			5s {"type":"unrequested_exit","code":0}
			5s {"type":"supervisor_exit","code":0}`, "down", []string{"stop/stop_code"}, nil},
		{"fatal", oneLife + `
			5s {"type":"child_exit","pid":11,"code":78}
			5s {"type":"supervisor_exit","code":78,"reason":"fatal"}`, "fatal", []string{"fatal"}, nil},
		{"gave up", oneLife + `
			5s {"type":"child_exit","pid":11,"code":3}
			5s {"type":"gave_up","count":1}
			5s {"type":"supervisor_exit","code":3,"reason":"fatal"}`, "fatal", []string{"fatal/gave_up"}, nil},
		{"not executed, said the lock", `
			0s {"type":"supervisor_start","pid":10,"command":["bot"]}
			1s {"type":"child_start","pid":11,"reason":"first"}
			1s {"type":"not_executed","code":127,"message":"not found"}
			1s {"type":"child_exit","pid":11,"code":127}
			1s {"type":"supervisor_exit","code":127}`, "fatal", []string{"fatal"}, nil},
		{"no process at all", `
			0s {"type":"supervisor_start","pid":10,"command":["bot"]}
			1s {"type":"not_executed","code":126,"message":"permission denied"}
			1s {"type":"supervisor_exit","code":126}`, "fatal", []string{"fatal"}, nil},
		{"the supervisor died while it cleaned up", oneLife + `
			5s {"type":"child_exit","pid":11,"code":9}
			9s {"type":"supervisor_start","pid":20,"command":["bot"]}
			9s {"type":"child_start","pid":21,"reason":"first"}
			9s {"type":"child_exit","pid":21,"code":42}
			9s {"type":"child_start","pid":22,"reason":"code"}`, "starting", []string{"", "restart/code"}, map[string]int{"code": 1}},
		{"what is left after a rotation", `
			1s {"type":"child_exit","pid":11,"code":1}
			1s {"type":"backoff","delay_seconds":1}
			2s {"type":"child_start","pid":12,"reason":"crash"}`, "starting", []string{"crash"}, map[string]int{"crash": 1}},
		{"foreign ones", `
			1s {"type":"child_start"}
			1s {"type":"child_exit"}
			1s {"type":"backoff"}
			1s {"type":"tea_time","code":1}`, "backoff", []string{"crash"}, map[string]int{"": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p past
			tell(t, &p, tt.events)
			if got := ends(p); p.status.State != tt.state || !reflect.DeepEqual(got, tt.ends) || !reflect.DeepEqual(p.Reasons, tt.reasons) {
				t.Errorf("state %q, want %q; ends %q, want %q; reasons %v, want %v", p.status.State, tt.state, got, tt.ends, p.Reasons, tt.reasons)
			}
		})
	}
}

func TestOnlyTheLastEnds(t *testing.T) {
	var p past
	for range 3 * maxExits {
		tell(t, &p, `
			1s {"type":"child_start","pid":11,"reason":"code"}
			1s {"type":"child_exit","pid":11,"code":42}`)
	}
	tell(t, &p, `2s {"type":"child_start","pid":12,"reason":"code"}`)
	if len(p.Exits) != maxExits || p.Exits[maxExits-1].Reason != "restart" || p.Reasons["code"] != 3*maxExits+1 {
		t.Errorf("%d ends, the last %+v, reasons %v", len(p.Exits), p.Exits[maxExits-1], p.Reasons)
	}
}

// TestNotices: what waits, and what ends the waiting.
func TestNotices(t *testing.T) {
	const (
		held      = `5s {"type":"held","path":"a.py","count":3,"message":"/h"}`
		preflight = `5s {"type":"preflight_failed","path":"a.py","count":1,"code":1}`
		suspended = `5s {"type":"watch_suspended","path":"a.py","count":10}`
		change    = `6s {"type":"change","path":"a.py","count":1}`
		start     = `6s {"type":"child_start","pid":12,"reason":"crash"}`
		asked     = `6s {"type":"restart_request","reason":"marker"}`
		over      = `6s {"type":"supervisor_exit","code":0}`
		other     = `6s {"type":"supervisor_start","pid":20}`
	)
	for _, tt := range []struct {
		first, second string
		want          string
	}{
		{held, "", "held"}, {held, change, ""}, {held, start, ""}, {held, asked, ""}, {held, over, ""}, {held, other, ""},
		{preflight, "", "preflight"}, {preflight, change, ""}, {preflight, start, ""}, {preflight, asked, ""}, {preflight, other, ""},
		{suspended, "", "suspended"}, {suspended, asked, ""}, {suspended, over, ""}, {suspended, other, ""},
		// The tenth restart of a loop is told after the news that it was the last.
		{suspended, start, "suspended"}, {suspended, change, "suspended"},
		// The hold has ended, or the preflight would not have run.
		{held, preflight, "preflight"}, {preflight, held, "held preflight"},
	} {
		var p past
		tell(t, &p, oneLife+"\n"+tt.first+"\n"+tt.second)
		var got []string
		for _, n := range []struct {
			name string
			n    *notice
		}{{"held", p.Held}, {"preflight", p.Preflight}, {"suspended", p.Suspended}} {
			if n.n != nil {
				got = append(got, n.name)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s\n%s\nleave %q, want %q", tt.first, tt.second, got, tt.want)
		}
	}
}

// TestGuess: what is said when status.json does not say it.
func TestGuess(t *testing.T) {
	id := process.Identity{PID: 10, Start: "1"}
	var told past
	tell(t, &told, oneLife+`
		5s {"type":"child_exit","pid":11,"code":1,"runtime_seconds":4}
		5s {"type":"backoff","delay_seconds":2,"crashes":1}`)
	var early past
	tell(t, &early, `0s {"type":"supervisor_start","pid":10,"command":["bot"]}`)
	other := told.status
	other.Supervisor.PID = 9
	for _, tt := range []struct {
		name    string
		alive   bool
		normal  bool // status.json is absent, or of an earlier supervisor
		told    journal.Status
		state   string
		problem bool
	}{
		{"no supervisor was there ever", false, true, journal.Status{}, "down", false},
		{"it has just begun", true, true, journal.Status{}, "starting", false},
		{"and has told a little", true, true, early.status, "starting", false},
		{"the events of one before", true, true, other, "starting", false},
		{"somebody removed the file", true, true, told.status, "backoff", true},
		{"the file is garbage", true, false, told.status, "backoff", true},
		{"and so are the events", true, false, journal.Status{}, unknown, true},
		{"and of another", true, false, other, unknown, true},
		{"garbage of a dead one", false, false, told.status, "backoff", true}, // buried later
		{"and no events", false, false, journal.Status{}, unknown, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := statusView{Supervised: tt.alive, Problem: "x"}
			v.guess(tt.told, id, tt.normal)
			if v.State != tt.state || (v.Problem != "") != tt.problem || v.Command == nil || tt.alive && v.Supervisor.Identity != id {
				t.Errorf("%+v", v)
			}
		})
	}
	if want := noon.Add(7 * time.Second); told.status.NextStart == nil || !told.status.NextStart.Equal(want) ||
		told.status.LastExit == nil || told.status.LastExit.RuntimeSeconds != 4 || told.status.LastExit.Reason != "crash" {
		t.Errorf("from the events: %+v", told.status)
	}
}

// TestRecall: what is of another supervisor's time is left out, but for the
// ends of runs.
func TestRecall(t *testing.T) {
	var p past
	tell(t, &p, oneLife+`
		5s {"type":"restart_request","reason":"marker"}
		5s {"type":"child_exit","pid":11,"code":0}
		5s {"type":"child_start","pid":12,"reason":"marker"}
		6s {"type":"held","path":"a.py","count":1}`)
	ours := statusView{Status: journal.Status{PID: 12, Supervisor: journal.Supervisor{Identity: process.Identity{PID: 10}}}, Supervised: true}
	dead, later, lost := ours, ours, ours
	dead.Supervised, dead.PID = false, 0
	later.Supervisor.PID = 20
	for _, tt := range []struct {
		name                string
		v                   statusView
		reason, start, held bool
	}{{"ours", ours, true, true, true}, {"dead", dead, true, false, false}, {"another", later, false, false, false}} {
		tt.v.recall(p)
		if len(tt.v.Exits) != 1 || (tt.v.Reasons != nil) != tt.reason || (tt.v.StartedAt != nil) != tt.start || (tt.v.Held != nil) != tt.held {
			t.Errorf("%s: %+v", tt.name, tt.v.timeline)
		}
	}
	p.status.Supervisor.PID = 0 // its first event has gone with a rotation
	if lost.recall(p); lost.Reasons["marker"] != 1 || lost.Held == nil {
		t.Errorf("rotated: %+v", lost.timeline)
	}
}
