package main

import (
	"strings"
	"testing"
	"time"

	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/process"
)

func at(seconds int) *time.Time {
	t := noon.Add(time.Duration(seconds) * time.Second)
	return &t
}

// viewOf is a view of a supervisor with PID 10.
func viewOf(st journal.Status, p past) statusView {
	st.Name, st.Command, st.Supervisor.Identity = "ductor", []string{"python3", "-m", "bot"}, process.Identity{PID: 10}
	v := statusView{Status: st, Supervised: true}
	v.recall(p)
	return v
}

// hardDay has an end of each kind.
func hardDay(t *testing.T) (p past) {
	tell(t, &p, `
		0s {"type":"supervisor_start","pid":10,"command":["bot"]}
		1s {"type":"child_start","pid":11,"reason":"first"}
		2h {"type":"child_exit","pid":11,"code":42,"runtime_seconds":7199}
		2h {"type":"child_start","pid":12,"reason":"code"}
		2h1s {"type":"change","path":"a.py","count":1}
		2h1s {"type":"child_exit","pid":12,"code":0,"runtime_seconds":1}
		2h1s {"type":"child_start","pid":13,"reason":"change"}
		2h1s {"type":"change","path":"a.py","count":1}
		2h1s {"type":"child_exit","pid":13,"code":0,"runtime_seconds":0.034}
		2h1s {"type":"child_start","pid":14,"reason":"change"}
		2h9s {"type":"child_exit","pid":14,"code":137,"signal":"SIGKILL","runtime_seconds":8.25,"tail":"Traceback:\n  …\nMemoryError: \u001b[2J\u202ebye\n\n"}
		2h9s {"type":"backoff","delay_seconds":2,"crashes":1}
		2h11s {"type":"child_start","pid":15,"reason":"crash"}
		2h11s {"type":"not_executed","code":127,"message":"execute \"python3\": not found"}
		2h11s {"type":"child_exit","pid":15,"code":127,"runtime_seconds":0.01}
		2h11s {"type":"backoff","delay_seconds":4,"crashes":2}
		2h15s {"type":"child_start","pid":16,"reason":"crash"}
		2h20s {"type":"hang","pid":16,"reason":"heartbeat","delay_seconds":2}
		2h20s {"type":"child_exit","pid":16,"code":143,"signal":"SIGTERM","runtime_seconds":5}
		2h20s {"type":"backoff","delay_seconds":8,"crashes":3}`)
	return p
}

// TestText has whole pages, as people see them.
func TestText(t *testing.T) {
	var empty, waits past
	tell(t, &waits, `
		0s {"type":"supervisor_start","pid":10,"command":["bot"]}
		1s {"type":"child_start","pid":11,"reason":"first"}
		30s {"type":"held","path":"src/a.py","count":3,"message":"/home/me/.ductor/run/ductor/ctl/hold"}
		31s {"type":"watch_suspended","path":"src/log.txt","count":10}`)
	exit := &journal.LastExit{Code: 1, RuntimeSeconds: 3.2, Reason: "crash"}
	day := hardDay(t)
	for _, tt := range []struct {
		name string
		v    statusView
		now  *time.Time
		want string
	}{
		{"a quiet one", viewOf(journal.Status{State: "up", PID: 11, Since: *at(1)}, past{timeline: timeline{StartedAt: at(1)}, status: journal.Status{PID: 11}}), at(3 * 86400), `
ductor: up for 2d23h
  PID         11
  command     python3 -m bot
  supervisor  PID 10
`},
		{"a hard day", viewOf(journal.Status{State: "backoff", Since: *at(7220), NextStart: at(7228), Restarts: 8, Reason: "crash", Log: "/var/log/bot.log"}, day), at(7222), `
ductor: backoff for 2s
  next start  in 6s
  command     python3 -m bot
  supervisor  PID 10
  log         /var/log/bot.log
  restarts    8: 2 file change, 2 crash, 1 own request, 3 forgotten
  history     ...xxx  (. 3 restart, x 3 crash)
  last exits  14:00:01  code 0    after 1.0s    restart: file change
              14:00:01  code 0    after 34ms    restart: file change
              14:00:09  SIGKILL   after 8.2s    crash
                        MemoryError: ?[2J?bye
              14:00:11  code 127  not executed  crash
                        execute "python3": not found
              14:00:20  SIGTERM   after 5.0s    crash: it hung
`},
		{"on the next day", viewOf(journal.Status{State: "up", PID: 17, Since: *at(90000)}, past{timeline: timeline{Exits: day.Exits[:2]}}), at(90001), `
ductor: up for 1s
  PID         17
  command     python3 -m bot
  supervisor  PID 10
  history     ..  (. 2 restart)
  last exits  2026-11-23 14:00:00  code 42  after 1h59m  restart: own request
              2026-11-23 14:00:01  code 0   after 1.0s   restart: file change
`},
		{"one that says much", viewOf(journal.Status{State: "ready", PID: 11, Since: *at(5), Text: "42 chats\nopen"}, waits), at(60), `
ductor: ready for 55s
  says        42 chats?open
  PID         11, started 59s ago
  command     python3 -m bot
  supervisor  PID 10
  held        src/a.py and 2 more changed 30s ago; the restart waits for /home/me/.ductor/run/ductor/ctl/hold to go
  watching    suspended 29s ago: 10 file changes were acted on within a minute, the last of src/log.txt; until nothing changes for a minute, or a restart is asked for
`},
		{"without events", viewOf(journal.Status{State: "backoff", Since: *at(0), NextStart: at(2), Restarts: 4, Reason: "crash", LastExit: exit}, empty), at(5), `
ductor: backoff for 5s
  next start  in 0s
  command     python3 -m bot
  supervisor  PID 10
  restarts    4: the last: crash
  last exits  code 1  after 3.2s  crash
`},
		{"a broken file", statusView{Status: journal.Status{Name: "x", State: unknown}, Problem: "status.json: malformed\x1b"}, at(0), `
x: unknown
  problem     status.json: malformed?
  supervisor  none
`},
		{"a failed preflight", func() statusView {
			v := viewOf(journal.Status{State: "up", PID: 11, Since: *at(0)}, empty)
			v.Preflight, v.Problem = &notice{Time: *at(60), Path: "a.py", Count: 1, Message: "  File \"a.py\"\nSyntaxError: (\n"}, "status.json is missing"
			return v
		}(), at(240), `
ductor: up for 4m0s
  problem     status.json is missing; this is from the events
  PID         11
  command     python3 -m bot
  supervisor  PID 10
  preflight   failed 3m0s ago after a change of a.py; the bot stays as it is
              SyntaxError: (
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(tt.v.text(*tt.now, screen{}), "\n") + "\n"; got != tt.want[1:] {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want[1:])
			}
		})
	}
}

func TestColoursAreFew(t *testing.T) {
	v := viewOf(journal.Status{State: "fatal", Since: *at(1)}, past{timeline: timeline{Exits: []runEnd{{Time: noon, Reason: "restart"}, {Time: noon, Reason: "crash"}}}})
	plainLines, colour := v.text(noon, screen{}), v.text(noon, screen{ansi: true})
	var got []string
	for i, line := range colour {
		if line != plainLines[i] {
			got = append(got, line)
		}
		for _, code := range []string{red, green, yellow, "0"} {
			line = strings.ReplaceAll(line, "\x1b["+code+"m", "")
		}
		if line != plainLines[i] {
			t.Errorf("besides colours %q differs from %q", line, plainLines[i])
		}
	}
	if len(got) != 3 || got[0] != "ductor: \x1b[31mfatal\x1b[0m for 0s" || !strings.Contains(got[1], ".\x1b[31mx\x1b[0m  (") || !strings.HasSuffix(got[2], "\x1b[31mcrash\x1b[0m") {
		t.Errorf("%q", got)
	}
}

func TestLine(t *testing.T) {
	exit := &journal.LastExit{Code: 137, Signal: "SIGKILL", RuntimeSeconds: 3.2, Reason: "crash"}
	local := noon.In(time.Local).Format(time.TimeOnly)
	for _, tt := range []struct {
		v    statusView
		want string
	}{
		{viewOf(journal.Status{State: "up", PID: 11}, past{}), "ductor: up, PID 11"},
		{viewOf(journal.Status{State: "up", PID: 11, Restarts: 2, Reason: "change", LastExit: exit}, past{}), "ductor: up, PID 11, restart 2: file change"},
		{viewOf(journal.Status{State: "backoff", NextStart: at(0), LastExit: exit, Restarts: 2}, past{}), "ductor: backoff until " + local + "; the last run: SIGKILL after 3.2s"},
		{statusView{Status: journal.Status{Name: "x", State: "down"}, LastState: "up"}, "x: down; the supervisor died without a word"},
		{statusView{Status: journal.Status{Name: "x", State: "ready", Text: "a\nb"}, timeline: timeline{Held: &notice{}, Suspended: &notice{}, Preflight: &notice{}}},
			"x: ready; says: a?b; a change is held back; a change failed the preflight; watching is suspended"},
	} {
		if got := tt.v.line(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Hour: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m0s",
		time.Hour - time.Second: "59m59s", 2*time.Hour + 3*time.Minute + 59*time.Second: "2h3m", 76 * time.Hour: "3d4h"} {
		if got := span(d); got != want {
			t.Errorf("span %s: %s, want %s", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Second: "0s", time.Nanosecond: "1s", time.Second: "1s", 1001 * time.Millisecond: "2s", time.Minute: "1m0s"} {
		if got := until(d); got != want {
			t.Errorf("until %s: %s, want %s", d, got, want)
		}
	}
	for s, want := range map[float64]string{0: "0ms", 0.9994: "999ms", 1: "1.0s", 9.94: "9.9s", 10: "10s", 7199: "1h59m", 1e300: "11574d1h"} {
		if got := runtimeOf(s); got != want {
			t.Errorf("run time %g: %s, want %s", s, got, want)
		}
	}
}

func TestCells(t *testing.T) {
	exit := &journal.LastExit{Code: 1, RuntimeSeconds: 3, Reason: "crash"}
	rows := [][]string{{"NAME", "STATE", "PID", "UPTIME", "RESTARTS", "LAST EXIT", "COMMAND"}}
	dead := statusView{Status: journal.Status{Name: "dead", State: "down", Supervisor: journal.Supervisor{Identity: process.Identity{PID: 1}}, Command: []string{"x"}}, LastState: "up"}
	left := dead
	left.Name, left.Leftover, left.PID, left.StartedAt = "left", true, 9, at(0)
	for _, v := range []statusView{
		viewOf(journal.Status{State: "up", PID: 4242, Since: *at(1), Restarts: 7, LastExit: exit}, past{}),
		viewOf(journal.Status{State: "backoff", Since: *at(60), LastExit: exit}, past{}),
		dead, left,
		{Status: journal.Status{Name: "new", State: "down"}},
	} {
		rows = append(rows, v.cells(*at(100), screen{}))
	}
	want := `
NAME    STATE    PID   UPTIME  RESTARTS  LAST EXIT                     COMMAND
ductor  up       4242  1m39s   7         code 1, crash                 python3 -m bot
ductor  backoff  -     -       0         code 1, crash, 40s ago        python3 -m bot
dead    down     -     -       0         supervisor died               x
left    down     9     1m40s   0         supervisor died, bot runs on  x
new     down     -     -       -         -                             -
`
	if got := strings.Join(align(rows), "\n") + "\n"; got != want[1:] {
		t.Errorf("got\n%s\nwant\n%s", got, want[1:])
	}
}
