package hook

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"

	"ductor/internal/common/job"
)

// shell hands the words over as they are: cmd.exe has rules of its own for
// quotes, which those of Go would spoil.
func shell(command string) *exec.Cmd {
	cmd := exec.Command("cmd.exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd.exe /d /s /c "` + command + `"`, CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_SUSPENDED}
	return cmd
}

// group is the job that holds the shell and what comes of it.
type group struct{ job *job.Job }

func (h *Hook) start(cmd *exec.Cmd) (err error) {
	if h.job, err = job.New(); err != nil {
		return err
	}
	if err = cmd.Start(); err != nil {
		h.job.Close()
		return err
	}
	if err = h.job.Adopt(cmd.Process.Pid); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		h.job.Close()
	}
	return err
}

func (h *Hook) terminate() {
	if job.AskGroup(h.PID) != nil { // it cannot be asked
		h.kill()
	}
}

func (h *Hook) kill() { h.job.Kill() }

func (g *group) close() { g.job.Close() }

func ended(state *os.ProcessState) (int, os.Signal) { return state.ExitCode(), nil }
