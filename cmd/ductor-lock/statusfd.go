package main

import (
	"errors"
	"os"
	"strconv"
	"strings"

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

// misused tells the caller of a command line that could not be read: the
// descriptor is looked for in the words themselves.
func misused(args []string, err error) {
	for i, word := range args {
		value, ok := strings.CutPrefix(word, "--status-fd=")
		if word == "--status-fd" && i+1 < len(args) {
			value, ok = args[i+1], true
		}
		if word == "--" {
			return
		}
		if n, nerr := strconv.Atoi(value); ok && nerr == nil {
			if s, oerr := openStatusFD(n); oerr == nil {
				s.failed(err)
			}
			return
		}
	}
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
