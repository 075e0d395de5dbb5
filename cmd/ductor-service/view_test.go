package main

import (
	"testing"
	"time"

	"ductor/cmd/ductor-service/internal/backend"
)

func TestStatusText(t *testing.T) {
	since := time.Date(2026, 11, 23, 10, 0, 0, 0, time.Local)
	one, code := 1, 78
	exit := &backend.Exit{Code: &code, Result: "exit-code"}
	for want, v := range map[string]statusView{
		"nas: not-installed (systemd-user)\n": {Name: "nas", Status: backend.Status{Manager: "systemd-user", State: backend.NotInstalled}},
		"nas: running (systemd-user)\n  pid         42\n  since       2026-11-23 10:00:00\n  bot         up, PID 43, restarts: 2, the last run ended with exit code 1: 3 chats?[31m\n" +
			"  starts      when the machine does\n  definition  /u/nas.service\n  drop-in     /u/nas.service.d/a.conf\n  timer       looks for a new version each hour\n": {
			Name: "nas",
			Status: backend.Status{Manager: "systemd-user", State: backend.Running, PID: 42, Since: &since, Restarts: &one, LastExit: exit, Starts: backend.StartsBoot,
				Definition: "/u/nas.service", Dropins: []string{"/u/nas.service.d/a.conf"}, Timer: true},
			Bot: &botView{State: "up", PID: 43, Restarts: 2, LastExit: &botExit{Code: 1}, Text: "3 chats\x1b[31m"},
		},
		"nas: failed (task)\n  last exit   ended with exit code 78\n  starts      by hand only\n  problem     masked: it is masked\n              unmask it\n": {
			Name: "nas",
			Status: backend.Status{Manager: "task", State: backend.Failed, LastExit: exit, Starts: backend.StartsManual,
				Problems: []backend.Problem{{Code: "masked", Message: "it is masked", Fix: "unmask it"}}},
		},
		"nas: stopped (launchd-agent)\n  last exit   ended by SIGKILL\n  starts      when you log in\n": {
			Name:   "nas",
			Status: backend.Status{Manager: "launchd-agent", State: backend.Stopped, LastExit: &backend.Exit{Signal: "SIGKILL"}, Starts: backend.StartsLogin},
		},
	} {
		if got := v.text(); got != want {
			t.Errorf("%s\nnot\n%s", got, want)
		}
	}
}

func TestInstalledText(t *testing.T) {
	for want, v := range map[string]installView{
		"nas: running, PID 42, starts at boot": {Name: "nas", State: backend.Running, PID: 42, Starts: backend.StartsBoot},
		"nas: stopped, starts at login":        {Name: "nas", State: backend.Stopped, Starts: backend.StartsLogin},
		"nas: stopped, started by hand only":   {Name: "nas", State: backend.Stopped, Starts: backend.StartsManual},
		"nas: unknown":                         {Name: "nas", State: backend.Unknown},
	} {
		if got := v.now(); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
	if got := indent("a\n\nb"); got != "  a\n  \n  b\n" {
		t.Errorf("%q", got)
	}
}

func TestDoctorText(t *testing.T) {
	v := doctorView{OK: true}
	v.add(check{"path", true, "/usr/bin", ""})
	if !v.OK {
		t.Error("all is well")
	}
	v.add(check{"service", false, "it is not installed", "ductor-service install"})
	v.add(check{"git", true, "/usr/bin/git", ""})
	want := "ok       path: /usr/bin\nproblem  service: it is not installed\n         ductor-service install\nok       git: /usr/bin/git\n"
	if got := v.text(); v.OK || got != want {
		t.Errorf("%t, %q", v.OK, got)
	}
}
