//go:build linux

// Package systemd tries the programs under a real systemd, in a container.
package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

// image is made by image.sh.
const image = "ductor-test-systemd:bookworm-2"

// machine is a container whose first process is systemd.
type machine struct {
	t    *testing.T
	name string
}

// boot starts one that has no network, and the privileges that systemd needs
// and no more. It is removed at the end of the test.
func boot(t *testing.T) *machine {
	t.Helper()
	if err := exec.Command("docker", "image", "inspect", image).Run(); err != nil {
		clitest.Lacking(t, "systemd", "make test-deps, with a Docker daemon running")
	}
	m := &machine{t, fmt.Sprintf("ductor-test-systemd-%d", os.Getpid())}
	args := []string{"run", "-d", "--name", m.name, "--label", "dev.ductor.test=1", "--network", "none", "--cap-add", "ALL"}
	for _, capability := range []string{"SYS_RESOURCE", "SYS_TIME", "SYS_MODULE", "SYS_BOOT"} {
		args = append(args, "--cap-drop", capability)
	}
	args = append(args, "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--tmpfs", "/run", "--tmpfs", "/tmp",
		"--cgroupns", "private", "-e", "container=docker", image, "/lib/systemd/systemd")
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", m.name).Run() })
	m.docker(args...)
	clitest.Wait(t, "the boot", func() bool {
		out, _ := exec.Command("docker", "exec", m.name, "systemctl", "is-system-running").Output()
		return strings.TrimSpace(string(out)) == "running"
	})
	m.install()
	return m
}

func (m *machine) docker(args ...string) string {
	m.t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("docker %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// install builds the programs as they are released, and puts them there.
func (m *machine) install() {
	m.t.Helper()
	dir := m.t.TempDir()
	build := exec.Command("go", "build", "-o", dir+"/", "./cmd/...", "./test/fakebot")
	build.Dir, build.Env = clitest.Root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	programs, _ := filepath.Glob(dir + "/*")
	for _, p := range programs {
		m.docker("cp", p, m.name+":/usr/bin/")
	}
}

// run runs a line of shell in the machine.
func (m *machine) run(line string) string {
	m.t.Helper()
	return m.docker("exec", m.name, "sh", "-ec", line)
}

// unit writes a service, its home being /var/lib/NAME, where it runs.
func (m *machine) unit(name, service string) {
	m.t.Helper()
	file := filepath.Join(m.t.TempDir(), name+".service")
	text := fmt.Sprintf("[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nEnvironment=DUCTOR_HOME=/var/lib/%[1]s\n"+
		"StateDirectory=%[1]s\nWorkingDirectory=/var/lib/%[1]s\nRestart=on-failure\nRestartSec=0\nRestartPreventExitStatus=64 78\n%[2]s\n", name, service)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
	m.docker("cp", file, m.name+":/etc/systemd/system/")
	m.run("systemctl daemon-reload")
}

// start fails with the log if the unit does not start.
func (m *machine) start(name string) {
	m.t.Helper()
	if out, err := exec.Command("docker", "exec", m.name, "systemctl", "start", name).CombinedOutput(); err != nil {
		m.t.Fatalf("start %s: %v\n%s\n%s", name, err, out, m.run("journalctl -n 50 --no-pager -u "+name))
	}
}

// show returns a property of a unit.
func (m *machine) show(name, property string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl show " + name + " --value -p " + property))
}

func (m *machine) shows(name, property, pattern string) {
	m.t.Helper()
	re := regexp.MustCompile("^(?:" + pattern + ")$")
	got := ""
	for range 3000 { // some come a moment later
		if got = m.show(name, property); re.MatchString(got) {
			return
		}
	}
	m.t.Fatalf("%s of %s is %q, not %s\n%s", property, name, got, pattern, m.run("journalctl -n 50 --no-pager -u "+name))
}

// TestNotify: a unit of Type=notify is told what it needs to know.
func TestNotify(t *testing.T) {
	m := boot(t)
	within := func(name string, f func(t *testing.T, m *machine)) {
		t.Run(name, func(t *testing.T) { f(t, &machine{t, m.name}) })
	}
	within("started when the bot is ready", testReady)
	within("started when it is executed", testExecuted)
	within("a supervisor that hangs", testWatchdog)
	within("a human is needed", testFatal)
	within("crashes before it is ready", testSlowStart)
	within("a bot that is slow to end", testSlowStop)
}

func testReady(t *testing.T, m *machine) {
	m.unit("ready", `ExecStart=ductor-supervise --notify -- fakebot on TERM 0 env env after 300ms touch worked notify STATUS=hello notify READY=1 wait`)
	m.start("ready")
	m.run("test -e /var/lib/ready/worked")
	m.shows("ready", "StatusText", `ready, PID \d+: hello`)
	if got := m.run("grep ^NOTIFY_SOCKET= /var/lib/ready/env; ! grep ^WATCHDOG_PID= /var/lib/ready/env"); got != "NOTIFY_SOCKET=/var/lib/ready/run/ductor/notify\n" {
		t.Errorf("the bot got %s", got)
	}
	m.run("systemctl stop ready")
	m.shows("ready", "ActiveState", "inactive")
	m.shows("ready", "Result", "success")
}

func testExecuted(t *testing.T, m *machine) {
	m.unit("plain", `ExecStart=ductor-supervise -- fakebot on TERM 0 env env wait`)
	m.start("plain")
	m.shows("plain", "StatusText", `up, PID \d+`)
	m.run("until test -e /var/lib/plain/env; do sleep 0.01; done; ! grep -e ^NOTIFY_SOCKET= -e ^WATCHDOG /var/lib/plain/env")
	m.run("systemctl kill --kill-who=main -s USR1 plain")
	m.shows("plain", "StatusText", `up, PID \d+, 1 restart`)
	m.run("systemctl stop plain")
}

// testWatchdog: it says WATCHDOG=1 as long as it can.
func testWatchdog(t *testing.T, m *machine) {
	m.unit("watchdog", "WatchdogSec=2\nExecStart=ductor-supervise -- fakebot on TERM 0 alone lone wait")
	m.start("watchdog")
	first := m.show("watchdog", "WatchdogTimestampMonotonic")
	m.shows("watchdog", "StatusText", `up, PID \d+`)
	for range 3 {
		clitest.Wait(t, "a sign of life", func() bool { return m.show("watchdog", "WatchdogTimestampMonotonic") != first })
		first = m.show("watchdog", "WatchdogTimestampMonotonic")
	}
	m.shows("watchdog", "NRestarts", "0")
	m.run("systemctl kill --kill-who=main -s STOP watchdog")
	m.shows("watchdog", "NRestarts", "1")
	m.shows("watchdog", "StatusText", `up, PID \d+`)
	m.run("! test -e /var/lib/watchdog/lone.twins")
	m.run("systemctl stop watchdog")
}

func testFatal(t *testing.T, m *machine) {
	m.unit("fatal", `ExecStart=ductor-supervise -- fakebot after 200ms exit 78`)
	m.start("fatal")
	m.shows("fatal", "ActiveState", "failed")
	m.shows("fatal", "ExecMainStatus", "78")
	m.shows("fatal", "NRestarts", "0")
}

// testSlowStart: the delays between crashes are longer than a start may take,
// and the manager is asked for the time.
func testSlowStart(t *testing.T, m *machine) {
	m.unit("slow", "TimeoutStartSec=1\nExecStart=ductor-supervise --notify --backoff 2s:2s -- fakebot exits codes notify READY=1 on TERM 0 wait")
	m.run("mkdir -p /var/lib/slow; echo 1 1 run >/var/lib/slow/codes")
	m.start("slow")
	m.shows("slow", "StatusText", `ready, PID \d+, 2 restarts`)
	m.shows("slow", "NRestarts", "0")
	m.run("systemctl stop slow")
}

// testSlowStop: so it is with the stop.
func testSlowStop(t *testing.T, m *machine) {
	m.unit("stubborn", "TimeoutStopSec=1\nExecStart=ductor-supervise --stop-timeout 3s -- fakebot ignore TERM touch there wait")
	m.start("stubborn")
	m.run("until test -e /var/lib/stubborn/there; do sleep 0.01; done")
	m.run("systemctl stop stubborn")
	m.shows("stubborn", "ActiveState", "inactive")
	m.shows("stubborn", "Result", "success")
	m.run("! pgrep fakebot")
}
