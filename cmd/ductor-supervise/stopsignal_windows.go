package main

import (
	"fmt"
	"os"
	"syscall"
)

// stopSignal can only be TERM, which stands for CTRL_BREAK here.
type stopSignal struct{}

func (*stopSignal) UnmarshalText(text []byte) error {
	if t := string(text); t != "TERM" && t != "SIGTERM" {
		return fmt.Errorf("%q: Windows has no signals; TERM stands for Ctrl-Break", text)
	}
	return nil
}

func (stopSignal) signal() os.Signal { return syscall.SIGTERM }
