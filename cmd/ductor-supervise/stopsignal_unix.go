//go:build unix

package main

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// stopSignal is a signal by name, with or without SIG.
type stopSignal unix.Signal

func (s *stopSignal) UnmarshalText(text []byte) error {
	name := strings.ToUpper(string(text))
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	n := unix.SignalNum(name)
	if n == 0 {
		return fmt.Errorf("%q is not a signal such as TERM, INT or USR2", text)
	}
	*s = stopSignal(n)
	return nil
}

func (s stopSignal) signal() unix.Signal { return unix.Signal(s) }
