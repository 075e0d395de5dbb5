package main

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"

	"ductor/cmd/ductor-service/internal/backend"
	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/home"
	"ductor/internal/common/job"
)

// defaultCommand shows no console: the Python without one runs the bot, or,
// where there is none, the bot's own program does.
func defaultCommand() []string {
	supervisor := "ductor-supervisew"
	if p, err := exec.LookPath("pythonw.exe"); err == nil && !isStub(p) {
		if p, err = filepath.Abs(p); err == nil {
			return []string{supervisor, "--", p, "-m", "ductor_bot"}
		}
	}
	if p, err := exec.LookPath("ductor.exe"); err == nil {
		if p, err = filepath.Abs(p); err == nil {
			return []string{supervisor, "--", p}
		}
	}
	return []string{supervisor, "--", "pythonw.exe", "-m", "ductor_bot"}
}

// isStub: Windows has empty files on PATH that open its store.
func isStub(path string) bool {
	info, err := os.Lstat(path)
	return err != nil || info.Size() == 0 || strings.Contains(strings.ToLower(path), `\windowsapps\`)
}

// withoutConsole is the same program, built so that no window appears.
func withoutConsole(program string) string {
	base, isExe := strings.CutSuffix(strings.ToLower(program), ".exe")
	if w := program[:len(base)] + "w.exe"; isExe && !strings.HasSuffix(base, "w") && exists(w) {
		return w
	}
	return program
}

// withConsole is the same program, built so that its output can be read.
func withConsole(program string) string {
	base, isExe := strings.CutSuffix(strings.ToLower(program), "w.exe")
	if p := program[:len(base)] + ".exe"; isExe && exists(p) {
		return p
	}
	return program
}

// ownFolder: an administrator's programs keep the profile there.
func ownFolder(string) bool { return true }

// managerOf is the service manager of this system.
func managerOf(_ *cli.IO, o owner, name home.Name) (backend.Manager, error) {
	return backend.NewTaskScheduler(backend.TaskOptions{Name: string(name), Home: string(o.home)}), nil
}

// become stays as the parent, since Windows has no exec; the command ends with
// us. What it writes goes to the log of the service where there is no console.
func become(program string, words []string) error {
	j, err := job.New()
	if err != nil {
		return err
	}
	defer j.Close()
	cmd := exec.Command(program, words[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_SUSPENDED}
	if !hasConsole() {
		cmd.SysProcAttr.CreationFlags |= windows.CREATE_NO_WINDOW
	}
	if err := cmd.Start(); err != nil {
		return exitcode.Errorf(exitcode.CannotExec, "execute %q: %w", program, err)
	}
	if err := j.Adopt(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exitcode.Status(exit.ExitCode())
	}
	return err
}

func hasConsole() bool {
	window, _, _ := windows.NewLazySystemDLL("kernel32.dll").NewProc("GetConsoleCP").Call()
	return window != 0
}

// openStreams gives a program of the windows subsystem, which has no standard
// streams unless its starter redirects them, the logs that launchd would keep.
func openStreams() {
	for _, s := range []struct {
		file   **os.File
		ending string
	}{{&os.Stdout, "log"}, {&os.Stderr, "err"}} {
		if _, err := windows.GetFileType(windows.Handle((*s.file).Fd())); err == nil {
			continue
		}
		if f := openLog(s.ending); f != nil {
			*s.file = f
		}
	}
}

// openLog is before the command line was parsed.
func openLog(ending string) *os.File {
	dir, err := home.Find(given)
	if err != nil || os.MkdirAll(dir.Logs(), 0o700) != nil {
		return nil
	}
	s := definition.Service{Name: cmp.Or(given("DUCTOR_NAME"), string(home.DefaultName)), Home: string(dir)}
	f, err := atomicfile.OpenAppend(s.LogFile(ending), 0o600)
	if err != nil {
		return nil
	}
	return f
}

// given is the environment, and what --env says of it.
func given(name string) string {
	value := os.Getenv(name)
	for i, a := range os.Args {
		if v, has := strings.CutPrefix(a, name+"="); has && i > 0 && os.Args[i-1] == "--env" {
			value = v
		}
	}
	return value
}
