package supervisor

import (
	"io"
	"os"

	"ductor/cmd/ductor-supervise/internal/capture"
	"ductor/cmd/ductor-supervise/internal/journal"
	"ductor/internal/common/exitcode"
)

// openOutput prepares to take the bot's output, if that was asked for.
func (s *supervisor) openOutput() (err error) {
	o := s.cfg.Output
	if o.File == "" && o.Tail <= 0 {
		return nil
	}
	o.Name, o.Stderr, o.Warn = string(s.cfg.Name), s.cfg.Stderr, s.warnLater
	if s.output, err = capture.Open(o); err != nil {
		return exitcode.File(exitcode.CantCreat, err)
	}
	return nil
}

// childOutput is what the next run gets as its standard output and error.
func (s *supervisor) childOutput() (stdout, stderr *os.File, err error) {
	stdout, stderr, s.streams = s.cfg.ChildStdout, s.cfg.Stderr, nil
	if s.output == nil {
		return stdout, stderr, nil
	}
	if s.streams, err = s.output.Streams(); err != nil {
		return nil, nil, err
	}
	if s.streams.Stdout != nil {
		stdout = s.streams.Stdout
	}
	return stdout, s.streams.Stderr, nil
}

// words is where the lines for people go. A capture of standard error takes
// them itself: it never blocks, and they are to come behind what the bot wrote.
func (s *supervisor) words() (io.Writer, []*journal.Queue) {
	if s.output != nil && s.cfg.Output.File == "" {
		return s.output, nil
	}
	q := journal.NewQueue(s.cfg.Log, "(%d lines were lost here: nobody was reading)\n")
	return q, []*journal.Queue{q}
}

// closeOutput writes what is left of the output, and tells what is not.
func (s *supervisor) closeOutput() {
	err := s.output.Close(flushLimit)
	for {
		select {
		case e := <-s.later:
			s.emit(e)
			continue
		default:
		}
		break
	}
	if err != nil {
		s.warn("%v", err)
	}
}
