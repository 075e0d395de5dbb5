//go:build windows

// Argv prints how Windows took its command line apart, one word a line, quoted
// as in Go. With the file of a task as its only word it starts the last command
// of that, as Task Scheduler would: by one line.
package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"unicode/utf16"

	"golang.org/x/sys/windows"
)

func main() {
	var err error
	if len(os.Args) == 2 && strings.HasSuffix(os.Args[1], ".xml") {
		err = launch(os.Args[1])
	} else {
		err = print()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// print asks Windows, because Go's own way of taking a command line apart is
// another program's.
func print() error {
	words, err := windows.DecomposeCommandLine(windows.UTF16PtrToString(windows.GetCommandLine()))
	if err != nil {
		return err
	}
	for _, w := range words[1:] {
		fmt.Printf("%+q\n", w)
	}
	return nil
}

func launch(file string) error {
	data, err := os.ReadFile(file)
	if err != nil || len(data) < 2 {
		return fmt.Errorf("%s is not to be read: %w", file, err)
	}
	var units []uint16
	for i := 2; i+1 < len(data); i += 2 {
		units = append(units, uint16(data[i])|uint16(data[i+1])<<8)
	}
	var task struct {
		Exec []struct{ Command, Arguments, WorkingDirectory string } `xml:"Actions>Exec"`
	}
	dec := xml.NewDecoder(strings.NewReader(string(utf16.Decode(units))))
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	if err := dec.Decode(&task); err != nil {
		return err
	}
	e := task.Exec[len(task.Exec)-1]
	cmd := exec.Command(strings.Trim(e.Command, `"`))
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: e.Command + " " + e.Arguments}
	cmd.Dir = e.WorkingDirectory
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
