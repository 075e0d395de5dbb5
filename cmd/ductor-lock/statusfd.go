package main

import (
	"errors"
	"os"

	"ductor/internal/common/cli"
	"ductor/internal/common/exitcode"
	"ductor/internal/common/jsonout"
)

// statusFD is the descriptor on which a caller learns whether the command was
// executed: it closes without a word if so, and carries one JSON line if not.
// A nil statusFD is one that nobody asked for.
type statusFD struct{ f *os.File }

func openStatusFD(n int) (*statusFD, error) {
	if n == -1 {
		return nil, nil
	}
	f, err := privateFile(n)
	if err != nil {
		return nil, exitcode.Errorf(exitcode.Usage, "--status-fd=%d: %w", n, err)
	}
	return &statusFD{f}, nil
}

// executed tells the caller that the command runs.
func (s *statusFD) executed() {
	if s != nil {
		s.f.Close()
	}
}

// failed tells the caller why the command was not executed. What a command
// returned that was executed is no failure.
func (s *statusFD) failed(err error) {
	var status exitcode.Status
	if s == nil || err == nil || errors.As(err, &status) {
		return
	}
	f := cli.Describe(err)
	var held *heldError
	if errors.As(err, &held) {
		f.Holder = newHolderJSON(held.state)
	}
	if line, err := jsonout.Line(f); err == nil {
		s.f.Write(line)
	}
	s.f.Close()
}
