package backend

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ductor/cmd/ductor-service/internal/definition"
	"ductor/internal/common/atomicfile"
	"ductor/internal/common/exitcode"
)

// scheduler speaks with the Task Scheduler of Windows: by a script, because
// schtasks answers in the language of the system, and tells no codes apart.
type scheduler struct {
	blunt bool // the script does not run here; schtasks has to do
}

// script does one thing and answers with one line of JSON. It stays the same
// whatever it is asked, so that no name can become a part of it. Texts are in
// base64, because a console has a code page.
const script = `$ErrorActionPreference = 'Stop'; $ProgressPreference = 'SilentlyContinue'
function Text($s) { [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes([string]$s)) }
$a = @{ ductor_task = 1; com = $false; code = 0 }
try {
  $s = New-Object -ComObject Schedule.Service
  $s.Connect()
  $a.com = $true
  $f = $s.GetFolder('\'); $n = $env:TASK_NAME
  switch ($env:TASK_DO) {
    'register' { [void]$f.RegisterTask($n, [IO.File]::ReadAllText($env:TASK_FILE), 6, $null, $null, 3) }
    'run' { [void]$f.GetTask($n).Run($null) }
    'stop' { $f.GetTask($n).Stop(0) }
    'delete' { $f.DeleteTask($n, 0) }
    'read' {
      $t = $f.GetTask($n)
      $a.xml = Text $t.Xml; $a.state = [int]$t.State; $a.result = [int]$t.LastTaskResult
      $a.ran = $t.LastRunTime.ToUniversalTime().ToString('s') + 'Z'
    }
  }
} catch {
  $e = $_.Exception
  while ($e.InnerException) { $e = $e.InnerException }
  $a.code = $e.HResult; $a.message = Text $e.Message
}
ConvertTo-Json $a -Compress
`

// answer is what the script prints. Whatever else does not have its mark: a
// powershell.exe that does nothing and says that all went well (wine's), or one
// that greets.
type answer struct {
	Mark    int       `json:"ductor_task"`
	COM     bool      `json:"com"`
	Code    int32     `json:"code"` // an HRESULT
	Message string    `json:"message"`
	XML     string    `json:"xml"`
	State   int       `json:"state"`
	Result  int32     `json:"result"`
	Ran     time.Time `json:"ran"`
}

// HRESULTs that make a difference.
const (
	hresultNotFound = 0x80070002
	hresultDenied   = 0x80070005
)

// taskState is IRegisteredTask's State.
type taskState int

// The states; zero is unknown.
const (
	taskDisabled taskState = 1 + iota
	taskQueued
	taskReady
	taskRunning
)

// found is a task that is registered.
type found struct {
	xml    []byte // UTF-16 LE with a mark
	state  taskState
	result uint32 // of the last run; an exit code, or one of Task Scheduler's own
	ran    time.Time
}

var errNoTask = errors.New("there is no such task")

// read returns errNoTask if there is none.
func (s *scheduler) read(ctx context.Context, name string) (found, error) {
	a, err := s.ask(ctx, "read", name, "")
	if err != nil {
		return found{}, err
	}
	if s.blunt {
		return s.readFile(ctx, name)
	}
	units, err := base64.StdEncoding.DecodeString(a.XML)
	if err != nil || len(units) == 0 {
		return found{}, exitcode.Errorf(exitcode.DataErr, "the Task Scheduler's answer about %q is malformed", name)
	}
	return found{append([]byte{0xff, 0xfe}, units...), taskState(a.State), uint32(a.Result), a.Ran}, nil
}

// readFile looks where Task Scheduler stores tasks; schtasks prints them, but
// in a code page, and not everywhere.
func (s *scheduler) readFile(ctx context.Context, name string) (found, error) {
	if root := os.Getenv("SystemRoot"); root != "" {
		data, err := atomicfile.Read(filepath.Join(root, "System32", "Tasks", name), maxDefinition)
		switch {
		case err == nil:
			return found{xml: data}, nil
		case errors.Is(err, fs.ErrNotExist):
			return found{}, errNoTask
		}
	}
	o, err := s.schtasks(ctx, "/Query", "/TN", `\`+name, "/XML")
	if err != nil {
		return found{}, err
	}
	if o.code != 0 || !strings.Contains(o.out, "<Task") {
		return found{}, errNoTask
	}
	return found{xml: definition.UTF16(strings.ToValidUTF8(o.out, "\ufffd"))}, nil
}

// register creates a task, or replaces it. What was read from a file may be in
// UTF-8, which schtasks refuses.
func (s *scheduler) register(ctx context.Context, name string, xml []byte) error {
	if text, err := definition.FromUTF16(xml); err == nil {
		xml = definition.UTF16(text)
	}
	dir, err := os.MkdirTemp("", "ductor-task-")
	if err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, name+".xml")
	if err := os.WriteFile(file, xml, 0o600); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	return s.do(ctx, "register", name, file)
}

// do is everything but read. That there is no such task is errNoTask.
func (s *scheduler) do(ctx context.Context, action, name, file string) error {
	_, err := s.ask(ctx, action, name, file)
	if err != nil || !s.blunt {
		return err
	}
	args := map[string][]string{
		"register": {"/Create", "/TN", name, "/XML", file, "/F"},
		"run":      {"/Run", "/TN", name},
		"stop":     {"/End", "/TN", name},
		"delete":   {"/Delete", "/TN", name, "/F"},
	}[action]
	o, err := s.schtasks(ctx, args...)
	if err == nil && o.code != 0 {
		err = s.unexplained(args, o)
	}
	return err
}

// unexplained is a failure of schtasks, whose words are not for programs to
// read. That one needs an administrator is by far the most frequent.
func (s *scheduler) unexplained(args []string, o outcome) error {
	code, perhaps := exitcode.OSErr, ""
	if !elevated() {
		code, perhaps = exitcode.NoPerm, " (it may take an administrator)"
	}
	return exitcode.Errorf(code, "%s: exit code %d: %s%s", commandWords("schtasks", args), o.code, strings.ToValidUTF8(o.words(), "?"), perhaps)
}

// ask runs the script. If it does not answer, now or before, blunt is set, and
// nothing was done.
func (s *scheduler) ask(ctx context.Context, action, name, file string) (a answer, err error) {
	if s.blunt {
		return a, nil
	}
	p := program{env: []string{"TASK_DO=" + action, "TASK_NAME=" + name, "TASK_FILE=" + file}}
	o, err := p.ask(ctx, "powershell.exe", "-NoLogo", "-NoProfile", "-NonInteractive", "-EncodedCommand", encodedScript())
	if exitcode.Of(err) == exitcode.Timeout {
		return a, err
	}
	if err != nil || !parseAnswer(o.out, &a) || !a.COM {
		s.blunt = true
		return a, nil
	}
	return a, explained(action, name, a)
}

func explained(action, name string, a answer) error {
	switch uint32(a.Code) {
	case 0:
		return nil
	case hresultNotFound:
		return errNoTask
	case hresultDenied:
		return exitcode.Errorf(exitcode.NoPerm, "%s the task %q: the Task Scheduler denies access", action, name)
	}
	units, _ := base64.StdEncoding.DecodeString(a.Message)
	message, _ := definition.FromUTF16(append([]byte{0xff, 0xfe}, units...))
	return exitcode.Errorf(exitcode.OSErr, "%s the task %q: 0x%08X: %s", action, name, uint32(a.Code), strings.TrimSpace(message))
}

// parseAnswer finds the line with the mark.
func parseAnswer(out string, a *answer) bool {
	for line := range strings.Lines(out) {
		var got answer
		if json.Unmarshal([]byte(line), &got) == nil && got.Mark == 1 {
			*a = got
			return true
		}
	}
	return false
}

func encodedScript() string {
	return base64.StdEncoding.EncodeToString(definition.UTF16(script)[2:])
}

func (s *scheduler) schtasks(ctx context.Context, args ...string) (outcome, error) {
	o, err := program{}.ask(ctx, "schtasks.exe", args...)
	if exitcode.Of(err) == exitcode.Unavailable {
		err = exitcode.Errorf(exitcode.Unavailable, "there is no Task Scheduler to be reached here: powershell.exe did not answer, and schtasks.exe is not there").
			WithHint("ductor-supervise runs a bot without a service manager; ductor-service render --platform task prints the task")
	}
	return o, err
}
