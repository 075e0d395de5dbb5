//go:build linux

package systemd

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ductor/internal/common/clitest"
)

// oddHome has everything that a unit could stumble over.
const oddHome = `/home/o'b 50% "x" $HOME \é`

// user is somebody on the machine, with a home folder of an unusual name.
type user struct {
	*machine
	name string
}

// login runs a line of shell in a fresh login session, as ssh would.
func (u user) login(line string) (out string, code int) {
	return u.exec("su", "-", u.name, "-c", line)
}

// bare runs it without any session, and without what a login puts into the
// environment, as cron or a careless su would.
func (u user) bare(line string) (out string, code int) {
	return u.exec("setpriv", "--reuid="+u.name, "--regid="+u.name, "--init-groups", "env", "-i", "PATH=/usr/bin:/bin", "HOME="+oddHome, "USER="+u.name, "sh", "-c", line)
}

func (u user) exec(words ...string) (string, int) {
	u.t.Helper()
	cmd := exec.Command("docker", append([]string{"exec", u.machine.name}, words...)...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		u.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// does wants an exit code, and the output to match all the patterns.
func (u user) does(code int, line string, patterns ...string) string {
	u.t.Helper()
	out, got := u.login(line)
	u.expect(code, got, line, out, patterns)
	return out
}

func (u user) expect(code, got int, line, out string, patterns []string) {
	u.t.Helper()
	if got != code {
		journal, _ := u.exec("journalctl", "-n", "40", "--no-pager", "-o", "cat")
		u.t.Fatalf("%s: exit code %d, not %d\n%s\n-- journal:\n%s", line, got, code, out, journal)
	}
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)" + p).MatchString(out) {
			u.t.Fatalf("%s: the output does not match %q:\n%s", line, p, out)
		}
	}
}

// file reads a file in the user's home; "" is none.
func (u user) file(path string) string {
	out, code := u.exec("cat", oddHome+"/"+path)
	if code != 0 {
		return ""
	}
	return out
}

// until waits for a line of shell, run as root, to succeed.
func (u user) until(what, line string) {
	u.t.Helper()
	clitest.Wait(u.t, what, func() bool {
		_, code := u.exec("sh", "-c", line)
		return code == 0
	})
}

type serviceStatus struct {
	State, Starts, Home string
	Stale, Enabled      bool
	PID                 int
	Restarts            int
	Problems            []struct{ Code string }
	Bot                 *struct {
		State string
		PID   int
	}
	Dropins []string
	Timer   bool
}

func (u user) status() (st serviceStatus) {
	u.t.Helper()
	out, _ := u.bare("ductor-service status --json")
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		u.t.Fatalf("%v: %s", err, out)
	}
	return st
}

// awaits waits until the service and its bot are in a state, and returns it.
func (u user) awaits(state string, ok func(serviceStatus) bool) (st serviceStatus) {
	u.t.Helper()
	clitest.Wait(u.t, "the service is "+state, func() bool {
		st = u.status()
		return st.State == state && (ok == nil || ok(st))
	})
	return st
}

func botUp(st serviceStatus) bool { return st.Bot != nil && st.Bot.State == "up" }

// TestService: a bot starts with the machine, and stays.
func TestService(t *testing.T) {
	m := boot(t)
	m.run("rm /usr/bin/ductor-update /usr/bin/ductor-sandbox") // scripts play them, where they are to be there
	m.docker("exec", m.name, "useradd", "-m", "-d", oddHome, "-s", "/bin/bash", "bot")
	for _, step := range []struct {
		name string
		f    func(user)
	}{
		{"no manager and no linger", testNobodyHome},
		{"install", testInstall},
		{"paths of any kind", testOddPaths},
		{"survives", testSurvives},
		{"exit codes", testExitCodes},
		{"logs", testLogs},
		{"whose definition", testWhose},
		{"updated", testUpdated},
		{"failures undo", testUndo},
		{"at once", testAtOnce},
		{"from inside", testInside},
		{"a manager that hangs", testFrozen},
		{"bad input", testBadInput},
		{"timer and sandbox", testTimer},
		{"does not stay up", testDoesNotStayUp},
		{"boot", testBoot},
		{"uninstall", testUninstall},
		{"linger", testLinger},
		{"placed by an administrator", testSystemUnit},
		{"examples of the page", testExamples},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.f(user{&machine{t, m.name}, "bot"}) }) {
			return // each goes on where another ended
		}
	}
}

const bot = `ductor-supervise -- fakebot alone alone pid bot.pid env env on TERM 0 wait`

// testNobodyHome: without a session, and with linger refused, nothing can run.
func testNobodyHome(u user) {
	u.run("systemctl mask --runtime --now polkit.service")
	out, code := u.bare("ductor-service install -- " + bot)
	u.expect(77, code, "install", out, []string{`hint: sudo loginctl enable-linger bot`})
	if _, code := u.exec("test", "-e", oddHome+"/.config/systemd"); code == 0 {
		u.t.Error("something was left")
	}
	out, code = u.bare("ductor-service status")
	u.expect(4, code, "status", out, nil)
	// With a session it works until that ends, and says so.
	u.does(0, "ductor-service install -- "+bot+"; ductor-service uninstall", `starts at login`, `warning: linger-off: .*refused`, `hint: sudo loginctl enable-linger bot`, `^removed`)
	u.run("systemctl unmask --runtime polkit.service; systemctl start polkit.service")
}

func testInstall(u user) {
	u.does(0, "ductor-service install -- "+bot, `^created .*/\.config/systemd/user/ductor\.service$`, `^ductor: running, PID \d+, starts at boot$`)
	u.run("test -e /var/lib/systemd/linger/bot")
	u.does(0, "systemctl --user is-active ductor", `^active$`)
	u.does(0, "systemctl --user is-enabled ductor", `^enabled$`)
	out := u.does(0, `systemd-analyze --user verify ~/.config/systemd/user/ductor.service 2>&1`)
	if out != "" {
		u.t.Errorf("systemd-analyze says %q", out)
	}
	before := u.status()
	u.does(0, "ductor-service install -- "+bot, `^unchanged `)
	if after := u.awaits("running", botUp); after.PID != before.PID || after.Stale || len(after.Problems) > 0 {
		u.t.Errorf("%+v, then %+v", before, after)
	}
	// What PATH the shell has is of no account.
	u.does(0, "PATH=/usr/bin:/bin:/opt ductor-service install -- "+bot, `^unchanged `)
	// The bot outlives the login.
	u.until("nobody is logged in", `! loginctl list-sessions --no-legend | grep -q bot`)
	u.run("pgrep -u bot fakebot")
	u.does(0, "ductor-service doctor", `^ok +service`, `^ok +bot`)
}

// testOddPaths: what the bot was started with is what was asked for.
func testOddPaths(u user) {
	env := strings.Split(u.file("env"), "\n")
	for _, want := range []string{"DUCTOR_HOME=" + oddHome + "/.ductor", "HOME=" + oddHome, "DUCTOR_NAME=ductor"} {
		if !containsLine(env, want) {
			u.t.Errorf("%q is not in the environment of the bot: %q", want, env)
		}
	}
	// A program and words of the same kind.
	u.does(0, `mkdir -p ~/bin && cp /usr/bin/fakebot ~/bin/"fake 'b\"o\t %d \$HOME é" && ductor-service install --name odd --env 'A=1 "2" %h $X \y é' -- ~/bin/fake* env odd.env say 'words: "%n" $HOME \x é ;' wait`,
		`^created`)
	u.until("the odd bot", `test -s '`+quoted(oddHome)+`/odd.env'`)
	if env := strings.Split(u.file("odd.env"), "\n"); !containsLine(env, `A=1 "2" %h $X \y é`) {
		u.t.Errorf("%q", env)
	}
	out, _ := u.login("journalctl --user-unit odd -o cat")
	if !strings.Contains(out, `words: "%n" $HOME \x é ;`) {
		u.t.Error(out)
	}
	out = u.does(0, `systemd-analyze --user verify ~/.config/systemd/user/odd.service 2>&1`)
	if out != "" {
		u.t.Errorf("systemd-analyze says %q", out)
	}
	u.does(0, "ductor-service uninstall --name odd", "^removed")
}

func containsLine(lines []string, want string) bool {
	for _, l := range lines {
		if l == want {
			return true
		}
	}
	return false
}

// testSurvives: the bot is killed, and its supervisor.
func testSurvives(u user) {
	st := u.awaits("running", botUp)
	u.run(fmt.Sprint("kill -9 ", st.Bot.PID))
	next := u.awaits("running", func(s serviceStatus) bool { return botUp(s) && s.Bot.PID != st.Bot.PID })
	if next.PID != st.PID {
		u.t.Error("the supervisor is another one")
	}
	u.run(fmt.Sprint("kill -9 ", next.PID))
	last := u.awaits("running", func(s serviceStatus) bool { return botUp(s) && s.PID != next.PID })
	if last.Restarts != next.Restarts+1 {
		u.t.Errorf("systemd started it again %d times", last.Restarts-next.Restarts)
	}
	u.run(`test "$(pgrep -c fakebot)" = 1`)
	if u.file("alone.twins") != "" {
		u.t.Error("there were two bots")
	}
	u.does(0, "ductor-service stop")
	if st := u.status(); st.State != "stopped" || st.PID != 0 || !st.Enabled {
		u.t.Errorf("%+v", st)
	}
	u.does(3, "ductor-service status", `stopped`)
	u.does(0, "ductor-service stop; ductor-service start; ductor-service start; ductor-service restart; ductor-service status", `running`)
}

// testExitCodes: those that a bot speaks by.
func testExitCodes(u user) {
	install := func(codes string) {
		u.t.Helper()
		u.does(0, "rm -f codes.n; echo "+codes+" >codes; ductor-service stop; ductor-service install --no-start --force -- ductor-supervise --backoff 1h:1h -- fakebot exits codes on TERM 0 wait")
	}
	install("42 run")
	u.does(0, "ductor-service start")
	u.awaits("running", func(s serviceStatus) bool { return botUp(s) && u.file("codes.n") == "2" })
	install("78 run")
	u.does(0, "ductor-service start || :")
	if st := u.awaits("failed", nil); st.PID != 0 {
		u.t.Errorf("%+v", st)
	}
	u.does(3, "ductor-service status", `^  last exit   ended with exit code 78$`)
	install("0 run")
	u.does(0, "ductor-service start || :")
	u.awaits("stopped", nil)
	install("1 run")
	u.does(0, "ductor-service start || :")
	u.awaits("running", func(s serviceStatus) bool { return s.Bot != nil && s.Bot.State == "backoff" })
	u.does(0, "ductor-service stop")
	u.awaits("stopped", nil)
	if n := u.file("codes.n"); n != "1" {
		u.t.Errorf("%s runs, not one that crashed and was stopped in back-off", n)
	}
}

// testLogs: new lines come, from the lost environment of cron too.
func testLogs(u user) {
	u.does(0, "ductor-service install -- ductor-supervise -- fakebot say first-line echo /dev/null on TERM 0 wait", "^updated")
	out, code := u.bare("ductor-service logs -n 1000")
	u.expect(0, code, "logs", out, []string{`first-line`})
	out, code = u.bare("ductor-service logs --since 2099-01-01")
	u.expect(0, code, "logs", out, nil)
	if strings.Contains(out, "first-line") {
		u.t.Error("a line from before --since")
	}
	u.does(0, "ductor-supervise restart --wait; ductor-supervise restart --wait")
	out, code = u.bare("ductor-service logs --since 1h -n 1")
	u.expect(0, code, "logs", out, []string{`^\S+ \S+ ductor\[\d+\]: first-line$`})
	if strings.Count(out, "\n") != 1 {
		u.t.Errorf("the last line is %q", out)
	}
	follow := exec.Command("docker", "exec", "-u", "bot", "-e", "HOME="+oddHome, u.machine.name, "timeout", "60", "sh", "-c", "ductor-service logs -n 0 -f | grep -m1 first-line")
	started := make(chan error, 1)
	go func() {
		out, err := follow.CombinedOutput()
		if err == nil && !strings.Contains(string(out), "first-line") {
			err = fmt.Errorf("%q", out)
		}
		started <- err
	}()
	u.until("journalctl follows", `pgrep -u bot journalctl`)
	for {
		u.does(0, "ductor-supervise restart --wait")
		select {
		case err := <-started:
			if err != nil {
				u.t.Error(err)
			}
			return
		default: // journalctl may not have been ready for the line yet
		}
	}
}

const unitFile = ".config/systemd/user/ductor.service"

// testWhose: nothing is replaced that is not ours.
func testWhose(u user) {
	u.does(78, "DUCTOR_HOME=~/other ductor-service install -- "+bot, `belongs to another home`)
	u.does(78, "DUCTOR_HOME=~/other ductor-service install --force -- "+bot, `belongs to another home`)
	u.does(78, "DUCTOR_HOME=~/other ductor-service uninstall", `belongs to another home`)
	mine := u.file(unitFile)
	u.does(0, "sed -i 's/^RestartSec=.*/RestartSec=1/' "+unitFile)
	u.does(78, "ductor-service install -- "+bot, `was edited by hand`, `hint: --force`)
	u.does(0, "ductor-service status", `definition-edited`)
	edited := u.file(unitFile)
	u.does(0, "ductor-service install --force -- "+bot, `^updated`, `^what was there is .*\.bak$`)
	if u.file(unitFile+".bak") != edited {
		u.t.Error("the copy is not what was there")
	}
	if mine == "" || edited == mine {
		u.t.Error("nothing was edited")
	}
	for name, spoil := range map[string]string{
		"empty":     ": >" + unitFile,
		"truncated": "truncate -s 400 " + unitFile,
		"foreign":   `printf '[Service]\nExecStart=/bin/true\n' >` + unitFile,
	} {
		u.does(0, spoil)
		spoilt := u.file(unitFile)
		u.does(78, "ductor-service install -- "+bot, `hint: --force`)
		u.does(78, "ductor-service uninstall", `error: `)
		if u.file(unitFile) != spoilt {
			u.t.Errorf("%s: it was touched", name)
		}
		u.does(0, "ductor-service install --force -- "+bot, `^updated`)
	}
	testForeignUnits(u)
	// Whether linger was turned on for it is lost with what stood there.
	u.does(0, "rm "+unitFile+".bak*; ductor-service uninstall")
	u.run("loginctl disable-linger bot")
	u.does(0, "ductor-service install -- "+bot, `starts at boot`)
}

// testForeignUnits: those of others are not stopped either, and what force
// replaces is kept, each time.
func testForeignUnits(u user) {
	before := u.awaits("running", botUp)
	u.does(78, "DUCTOR_HOME=~/other ductor-service stop", `belongs to another home`)
	u.does(0, `printf '[Service]\nExecStart=/bin/sleep 3000\n' >.config/systemd/user/mine.service; systemctl --user daemon-reload; systemctl --user start mine`)
	for _, verb := range []string{"start", "stop", "restart", "uninstall"} {
		u.does(78, "ductor-service "+verb+" --name mine", `was not written by ductor-service`)
	}
	u.does(0, "systemctl --user is-active mine && systemctl --user stop mine && rm .config/systemd/user/mine.service")
	if after := u.status(); after.PID != before.PID {
		u.t.Error("the bot is another one")
	}
	u.run("cp /bin/true /usr/local/bin/ductor-update")
	const timer = ".config/systemd/user/ductor-update.timer"
	u.does(0, "rm -f "+unitFile+".bak*; echo '# my timer' >"+timer+"; echo '# first' >"+unitFile)
	u.does(78, "ductor-service install --timer update -- "+bot)
	u.does(0, "ductor-service install --force --no-start --timer update -- "+bot+"; echo '# second' >"+unitFile+"; ductor-service install --force --no-start -- "+bot, `ductor-update\.timer\.bak$`, `ductor\.service\.bak\.1$`)
	for path, want := range map[string]string{timer + ".bak": "# my timer\n", unitFile + ".bak": "# first\n", unitFile + ".bak.1": "# second\n"} {
		if got := u.file(path); got != want {
			u.t.Errorf("%s is %q", path, got)
		}
	}
	u.does(0, "rm "+timer+".bak; ductor-service start")
	u.run("rm /usr/local/bin/ductor-update")
	// A unit that cannot be loaded can be removed.
	u.does(0, "ductor-service stop; sed -i 's/^ExecStart/#&/' "+unitFile+"; systemctl --user daemon-reload; ductor-service uninstall", `^kept `, `^removed `)
	u.does(0, "ln -s /dev/null "+unitFile)
	u.does(78, "ductor-service install -- "+bot, `is masked`, `hint: systemctl --user unmask`)
	u.does(0, "rm "+unitFile+"; echo '# in a folder of mine' >dotfile; ln -s ~/dotfile "+unitFile)
	u.does(78, "ductor-service install --force -- "+bot, `is a link to`)
	u.does(0, "rm "+unitFile+"; mkfifo "+unitFile)
	u.does(78, "ductor-service install -- "+bot, `not a small file`)
	u.does(0, "rm "+unitFile+"; ductor-service install -- "+bot, `^created`)
}

// testUpdated: a change is taken up, and drop-ins stay.
func testUpdated(u user) {
	u.does(0, `mkdir -p .config/systemd/user/ductor.service.d && printf '[Service]\nEnvironment=MINE=1\n' >.config/systemd/user/ductor.service.d/mine.conf; touch `+unitFile)
	before := u.awaits("running", botUp)
	if len(before.Problems) == 0 || before.Problems[0].Code != "reload-needed" {
		u.t.Errorf("%+v", before.Problems)
	}
	u.does(0, "ductor-service install --env NEW='a b' -- "+bot, `^updated`)
	after := u.awaits("running", botUp)
	env := strings.Split(u.file("env"), "\n")
	if after.PID == before.PID || !containsLine(env, "MINE=1") || !containsLine(env, "NEW=a b") || len(after.Dropins) != 1 {
		u.t.Errorf("%+v\n%q", after, env)
	}
	if mode, _ := u.exec("stat", "-c", "%a", oddHome+"/"+unitFile); mode != "600\n" {
		u.t.Errorf("with --env everybody can read it: %s", mode)
	}
}

// testUndo lets each call of systemctl fail in turn, and kills the installation
// at each.
func testUndo(u user) {
	// So that the user's manager need not be started again and again.
	u.docker("exec", "-d", u.machine.name, "su", "-", u.name, "-c", "exec sleep 3600")
	defer u.run("pkill -u bot -x sleep")
	u.run(`mkdir -p /opt/fail && cat >/opt/fail/systemctl <<'END'
#!/bin/sh
n=$(($(cat /tmp/fail/n 2>/dev/null) + 1)); echo $n >/tmp/fail/n
if [ "$(cat /tmp/fail/how)" = call ]; then
	[ "$*" != "--user $(cat /tmp/fail/call)" ] || kill -9 $PPID
	exec /usr/bin/systemctl "$@"
fi
case "$(cat /tmp/fail/how) $*" in "start --user start "* | "start --user restart ductor.service") echo broken >&2; exit 1;; "start "*) exec /usr/bin/systemctl "$@";; esac
[ "$n" != "$(cat /tmp/fail/at)" ] || case $(cat /tmp/fail/how) in kill) kill -9 $PPID;; *) echo broken >&2; exit 1;; esac
exec /usr/bin/systemctl "$@"
END
chmod +x /opt/fail/systemctl; cp /bin/true /usr/local/bin/ductor-update; mkdir -p /tmp/fail; chown bot /tmp/fail`)
	state := `find .config/systemd -printf '%p %l %m ' -type f -exec md5sum {} \; | sort; ls /var/lib/systemd/linger; systemctl --user is-enabled ductor ductor-update.timer 2>/dev/null; systemctl --user is-active ductor-update.timer; systemctl --user show -p MainPID ductor 2>/dev/null`
	u.does(0, "ductor-service stop") // or each look whether it stays up would be a call that can fail
	before := u.does(0, state)
	failed := 0
	for k := 1; ; k++ {
		u.does(0, fmt.Sprintf("rm -f /tmp/fail/n; echo %d >/tmp/fail/at; echo fail >/tmp/fail/how", k))
		out, code := u.login("PATH=/opt/fail:$PATH ductor-service install --timer update --no-start --env K=" + strconv.Itoa(k) + " -- " + bot)
		if calls, _ := u.exec("cat", "/tmp/fail/n"); number(calls) < k {
			break
		}
		if code == 0 { // it can do without
			before = u.does(0, state)
			continue
		}
		failed++
		if !strings.Contains(out, "broken") {
			u.t.Fatalf("call %d failed: %s", k, out)
		}
		if after := u.does(0, state); after != before {
			u.t.Fatalf("call %d failed, and left\n%s\nnot\n%s", k, after, before)
		}
	}
	if failed < 4 {
		u.t.Errorf("only %d calls of systemctl could fail", failed)
	}
	u.does(0, "ductor-service start; echo start >/tmp/fail/how")
	was := u.awaits("running", botUp)
	u.does(71, "PATH=/opt/fail:$PATH ductor-service install --env K=x -- "+bot, "broken")
	if is := u.awaits("running", botUp); is.PID != was.PID || u.file(unitFile) == "" || strings.Contains(u.file(unitFile), "K=x") {
		u.t.Errorf("it could not be restarted: %+v, then %+v", was, is)
	}
	u.does(0, "rm -r .config/systemd/user/ductor.service.d; echo fail >/tmp/fail/how; ductor-service uninstall")
	empty := u.does(0, state+"; :")
	same := func(what string) {
		u.t.Helper()
		if after := u.does(0, state+"; :"); after != empty {
			u.t.Fatalf("%s: there is\n%s\nnot\n%s", what, after, empty)
		}
	}
	const fresh = "PATH=/opt/fail:$PATH ductor-service install --timer update --no-start -- " + bot
	for k := 1; k <= 2*failed; k++ { // the same from nothing
		u.does(0, fmt.Sprintf("rm -f /tmp/fail/n; echo %d >/tmp/fail/at", k))
		if _, code := u.login(fresh); code == 0 {
			u.does(0, "ductor-service uninstall")
		}
		same(fmt.Sprint("failed at call ", k))
	}
	u.does(0, "echo start >/tmp/fail/how")
	u.does(71, "PATH=/opt/fail:$PATH ductor-service install -- "+bot, "broken")
	same("it could not be started")
	for k := 1; k <= 2*failed; k++ { // killed: the next one puts it right
		u.does(0, fmt.Sprintf("rm -f /tmp/fail/n; echo %d >/tmp/fail/at; echo kill >/tmp/fail/how", k))
		u.login(fresh)
		u.does(0, "ductor-service install --no-start -- "+bot+" && systemctl --user is-enabled ductor && ductor-service uninstall", `starts at boot`, `^removed`)
		same(fmt.Sprint("killed at call ", k))
	}
	testKilledUpdate(u)
	u.run("rm /usr/local/bin/ductor-update")
	u.does(0, "ductor-service install -- "+bot)
}

// testKilledUpdate: an update that was killed when it had written the unit is
// finished by the next one, and so is a timer that was not started.
func testKilledUpdate(u user) {
	const update = "ductor-service install --timer update --env K=new -- " + bot
	u.does(0, "ductor-service install -- "+bot)
	u.awaits("running", botUp)
	for _, call := range []string{"daemon-reload", "enable ductor-update.timer", "restart ductor-update.timer", "restart ductor.service"} {
		u.does(0, "ductor-service install -- "+bot)
		before := u.awaits("running", botUp)
		clitest.Wait(u.t, "another second, in which systemd counts", func() bool {
			out, _ := u.exec("sh", "-c", fmt.Sprintf("test $(date +%%s) -gt $(($(stat -c %%Y /proc/%d) + 1)) && echo later", before.PID))
			return strings.TrimSpace(out) == "later"
		})
		u.does(0, "echo call >/tmp/fail/how; echo '"+call+"' >/tmp/fail/call")
		u.login("PATH=/opt/fail:$PATH " + update)
		u.does(0, update)
		after := u.awaits("running", botUp)
		if after.PID == before.PID || !containsLine(strings.Split(u.file("env"), "\n"), "K=new") || len(after.Problems) > 0 {
			u.t.Errorf("killed at %s: %+v, then %+v", call, before, after)
		}
		u.does(0, "systemctl --user is-active ductor-update.timer")
	}
	u.does(0, "ductor-service uninstall")
}

// testInside: a bot that installs would be ended half-way, and is told so.
func testInside(u user) {
	u.run(`cat >/usr/local/bin/inside <<'END'
#!/bin/sh
for verb in "install --env K=inside -- ductor-supervise -- inside" uninstall; do
	ductor-service $verb; echo "$?"
done >inside.out 2>&1
exec fakebot alone alone on TERM 0 wait
END
chmod +x /usr/local/bin/inside`)
	u.does(0, "ductor-service install -- ductor-supervise -- inside")
	u.until("it tried", `test "$(grep -cx 77 '`+quoted(oddHome)+`/inside.out')" = 2`)
	if out := u.file("inside.out"); strings.Count(out, "hint: run it in a terminal of your own") != 2 {
		u.t.Error(out)
	}
	u.does(0, "ductor-service install -- "+bot)
}

// testFrozen: a manager that does not answer is no reason to wait for ever.
func testFrozen(u user) {
	pid, _ := u.exec("pgrep", "-u", u.name, "-x", "systemd")
	u.run("kill -STOP " + pid)
	defer u.run("kill -CONT " + pid)
	out, code := u.bare("ductor-service status")
	u.expect(3, code, "status", out, []string{`ductor: unknown`, `manager-unreachable`})
}

func quoted(path string) string { return strings.ReplaceAll(path, "'", `'\''`) }

// testAtOnce: several installations take turns.
func testAtOnce(u user) {
	out := u.does(0, `ductor-service uninstall; for i in 1 2 3 4; do ductor-service install -- `+bot+` & done; wait`)
	if strings.Count(out, "created ") != 1 || strings.Count(out, "unchanged ") != 3 {
		u.t.Error(out)
	}
	u.run(`test "$(pgrep -c fakebot)" = 1`)
}

func testBadInput(u user) {
	before := u.does(0, "find .config .ductor -type f | sort | xargs -d '\\n' ls -l --time-style=+")
	for _, name := range []string{"a/b", "a b", "..", ".", "", "-x", strings.Repeat("x", 65), "é"} {
		u.does(64, "ductor-service install --name='"+name+"' -- "+bot, `error: .*name`)
	}
	u.does(127, "ductor-service install -- /no/such/command", `"/no/such/command" cannot be found`)
	u.does(126, "touch plain; ductor-service install -- ./plain", `cannot be executed`)
	u.does(127, "ductor-service install -- ductor-supervise -- no-such-bot", `no-such-bot`)
	u.does(64, "ductor-service install -- ductor-supervise --no-such-flag -- fakebot", `no-such-flag`)
	u.does(64, "ductor-service install --name a -- ductor-supervise --name b -- fakebot", `need one name`)
	u.does(64, "ductor-service install --env 1x=2 -- "+bot, `is not K=V`)
	u.does(64, "ductor-service install --env PATH=/x -- "+bot, `PATH is made anew`)
	u.does(64, "ductor-service install -- fakebot \"$(printf 'a\\nb')\"", `cannot stand in a definition`)
	u.does(69, "ductor-service install --timer update -- "+bot, `ductor-update is not installed`)
	u.does(69, "ductor-service install --also-sandbox -- "+bot, `ductor-sandbox is not installed`)
	u.does(77, "DUCTOR_HOME=/proc/1/x ductor-service install --name y -- "+bot+"; c=$?; [ $c = 73 ] && exit 77; exit $c", `/proc/1/x`)
	out, code := u.exec("env", "HOME="+oddHome, "ductor-service", "install", "--name", "rooted", "--", "/usr/bin/fakebot")
	u.expect(77, code, "install by root", out, []string{`belongs to somebody else`})
	u.does(1, "ductor-service logs --name nobody", `no service "nobody" is installed`)
	u.does(1, "ductor-service start --name nobody", `no service "nobody" is installed`)
	u.does(0, "ductor-service uninstall --name nobody", `nobody: not installed`)
	u.does(0, "cd /tmp && touch relative.py && ductor-service install --no-start -- ductor-supervise -- fakebot pid relative.py wait", `"relative.py" is looked for in`)
	u.does(0, "ductor-service install -- "+bot)
	if after := u.does(0, "find .config .ductor -type f | sort | xargs -d '\\n' ls -l --time-style=+"); after == "" || before == "" {
		u.t.Errorf("%s\n%s", before, after)
	}
}

// testTimer: the parts beside the service.
func testTimer(u user) {
	u.run(`for p in ductor-update ductor-sandbox; do printf '#!/bin/sh\necho "$0 $*" >>"$HOME/parts"\nexit 3\n' >/usr/local/bin/$p; chmod +x /usr/local/bin/$p; done`)
	u.does(0, "ductor-service install --timer update --also-sandbox -- "+bot, `^updated`)
	out := u.does(0, `systemd-analyze --user verify ~/.config/systemd/user/ductor*.* 2>&1`)
	if out != "" {
		u.t.Errorf("systemd-analyze says %q", out)
	}
	st := u.awaits("running", botUp) // though the sandbox could not be had
	if !st.Timer || st.Stale || len(st.Problems) > 0 {
		u.t.Errorf("%+v", st)
	}
	if got := u.file("parts"); !strings.Contains(got, "/usr/local/bin/ductor-sandbox up\n") {
		u.t.Errorf("%q", got)
	}
	u.does(0, "systemctl --user is-active ductor-update.timer")
	u.does(0, "systemctl --user show -p TimersMonotonic ductor-update.timer", `OnUnitInactiveUSec=(5[5-9]min|1h)`, `OnStartupUSec=1min`)
	u.does(3, "systemctl --user start ductor-update; ret=$?; [ $ret = 1 ] && exit 3; exit $ret")
	if got := u.file("parts"); !strings.Contains(got, "/usr/local/bin/ductor-update check --name ductor\n") {
		u.t.Errorf("%q", got)
	}
	u.does(0, "ductor-service install -- "+bot, `^updated`)
	u.does(0, "ls .config/systemd/user .config/systemd/user/*.wants | grep -c update || :", `^0$`)
	u.run("rm /usr/local/bin/ductor-update /usr/local/bin/ductor-sandbox")
}

// testDoesNotStayUp: why, in the bot's own words.
func testDoesNotStayUp(u user) {
	u.does(78, "ductor-service install -- ductor-supervise -- fakebot cry 'no token is set' exit 78", `no token is set`, `does not stay up: the bot ended with exit code 78`, `hint: ductor-service logs`)
	u.awaits("failed", nil)
	u.does(78, "ductor-service install -- ductor-supervise -- fakebot cry 'it hurts' exit 1", `it hurts`, `does not stay up: the bot ended with exit code 1`)
	u.does(78, "ductor-service install -- fakebot cry 'on my own' exit 5", `on my own`, `does not stay up: it ended with exit code 5`)
	u.does(0, "ductor-service install -- "+bot, `^updated`)
}

// testBoot: the machine is started again, and nobody logs in.
func testBoot(u user) {
	before := u.awaits("running", botUp)
	u.does(0, "rm env")
	u.docker("restart", "-t", "10", u.machine.name)
	clitest.Wait(u.t, "the boot", func() bool {
		out, _ := exec.Command("docker", "exec", u.machine.name, "systemctl", "is-system-running").Output()
		return strings.TrimSpace(string(out)) == "running"
	})
	u.awaits("running", botUp)
	if u.file("env") == "" {
		u.t.Errorf("the bot of before the boot? %+v", before)
	}
	out, code := u.bare("ductor-service restart; ductor-service status")
	u.expect(0, code, "restart without a session", out, []string{"running"})
}

// testUninstall: what install made goes, and nothing else.
func testUninstall(u user) {
	u.does(0, `mkdir -p .config/systemd/user/ductor.service.d; touch .config/systemd/user/ductor.service.d/mine.conf .config/systemd/user/other.service`)
	u.does(0, "ductor-service uninstall", `^removed .*ductor\.service$`, `^kept .*ductor\.service\.d: `)
	left := u.does(0, "find .config -type f -o -type l | sort")
	if left != ".config/systemd/user/ductor.service.d/mine.conf\n.config/systemd/user/other.service\n" {
		u.t.Errorf("left: %s", left)
	}
	u.run("! test -e /var/lib/systemd/linger/bot")
	u.until("nothing of it runs", "! pgrep fakebot && ! pgrep ductor")
	u.does(4, "rm -r .config/systemd/user/o* .config/systemd/user/ductor.service.d; ductor-service status", "not-installed")
	u.does(0, "ductor-service uninstall", "not installed")
	u.does(0, "systemctl --user list-units --all | grep ductor && exit 1; exit 0")
}

// testLinger: it is turned off by the last one that needs it, and never if it
// was on before.
func testLinger(u user) {
	u.does(0, "ductor-service install -- "+bot+" && ductor-service install --name second -- ductor-supervise -- fakebot wait")
	u.does(0, "ductor-service uninstall; test -e /var/lib/systemd/linger/bot")
	u.does(0, "ductor-service uninstall --name second; ! test -e /var/lib/systemd/linger/bot")
	u.run("loginctl enable-linger bot")
	u.does(0, "ductor-service install -- "+bot+" && ductor-service uninstall; test -e /var/lib/systemd/linger/bot")
	u.run("loginctl disable-linger bot")
	u.does(0, "ductor-service install --no-linger -- "+bot, `starts at login`)
	u.does(0, "ductor-service status || :", `linger-off`)
	u.does(0, "ductor-service install -- "+bot, `starts at boot`)
	u.does(0, "ductor-service uninstall --keep-linger; test -e /var/lib/systemd/linger/bot")
	u.run("loginctl disable-linger bot")
}

// testSystemUnit: without any login.
func testSystemUnit(u user) {
	out := u.does(0, "ductor-service render --platform systemd-system -- "+bot)
	file := filepath.Join(u.t.TempDir(), "ductor.service")
	if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
		u.t.Fatal(err)
	}
	u.docker("cp", file, u.machine.name+":/etc/systemd/system/")
	if out := u.run("systemd-analyze verify ductor.service 2>&1; rm -f '" + quoted(oddHome) + "/env'"); out != "" {
		u.t.Errorf("systemd-analyze says %q", out)
	}
	u.run("systemctl daemon-reload && systemctl enable --now ductor")
	u.until("the bot runs as its user", "pgrep -u bot fakebot")
	u.until("it told its environment", "test -s '"+quoted(oddHome)+"/env'")
	if env := strings.Split(u.file("env"), "\n"); !containsLine(env, "HOME="+oddHome) {
		u.t.Errorf("%q", env)
	}
	u.run("systemctl disable --now ductor; rm /etc/systemd/system/ductor.service; systemctl daemon-reload")
}

func number(text string) int {
	n, _ := strconv.Atoi(strings.TrimSpace(text))
	return n
}

var (
	machineDirective = regexp.MustCompile(`^\.\\" test: (\w+) ?(.*)$`)
	unescape         = strings.NewReplacer(`\&`, "", `\e`, `\`)
)

// testExamples runs those of the page that change the system's services, for
// which no other test has a system.
func testExamples(u user) {
	data, err := os.ReadFile(filepath.Join(clitest.Root(), "man/ductor-service.1"))
	if err != nil {
		u.t.Fatal(err)
	}
	ran := 0
	var block, outs []string
	machine, given, want, in := false, "", "", false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		m := machineDirective.FindStringSubmatch(line)
		switch {
		case m != nil && m[1] == "machine":
			machine = true
		case m != nil && m[1] == "out":
			outs = append(outs, unescape.Replace(m[2]))
		case m != nil && m[1] == "exit":
			want = m[2]
		case m != nil && m[1] == "given":
			given = m[2]
		case strings.HasPrefix(line, ".Bd -literal"):
			in, block = true, nil
		case line == ".Ed" && in:
			if machine {
				if given != "" {
					u.does(0, given)
				}
				code, _ := strconv.Atoi(want)
				u.does(code, unescape.Replace(strings.Join(block, "\n")), outs...)
				ran++
			}
			machine, given, want, outs, in = false, "", "", nil, false
		case in:
			block = append(block, line)
		}
	}
	if ran < 4 {
		u.t.Errorf("%d examples", ran)
	}
}
