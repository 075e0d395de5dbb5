// Package exitcode holds the exit codes that all ductor programs share.
//
// The numbers are the contract of ductor(7): sysexits(3) where it has a name,
// coreutils' codes for wrappers, and 42 for a bot that asks to be restarted.
// 2 is never ours, because a Go panic exits 2.
package exitcode

import (
	"errors"
	"fmt"
	"io/fs"
)

// The codes of ductor(7). 128+n means that a command died of signal n.
const (
	OK          = 0
	No          = 1
	Restart     = 42
	Usage       = 64
	DataErr     = 65
	Unavailable = 69
	Software    = 70
	OSErr       = 71
	CantCreat   = 73
	IOErr       = 74
	TempFail    = 75
	NoPerm      = 77
	Config      = 78
	Timeout     = 124
	CannotExec  = 126
	NotFound    = 127
	SignalBase  = 128
)

// Code is one row of the table in ductor(7).
type Code struct {
	Number  int
	Name    string // as in sysexits(3) without EX_
	Meaning string
}

// Table lists every code of ours, ascending. A test compares it with ductor(7).
func Table() []Code {
	return []Code{
		{OK, "OK", "done; yes; a stop that was asked for"},
		{No, "NO", "a well-formed no"},
		{Restart, "RESTART", "the bot asks to be started again at once"},
		{Usage, "USAGE", "wrong command line"},
		{DataErr, "DATAERR", "a file or a reply is malformed"},
		{Unavailable, "UNAVAILABLE", "what is needed is not there"},
		{Software, "SOFTWARE", "a bug of ours"},
		{OSErr, "OSERR", "a system call failed"},
		{CantCreat, "CANTCREAT", "a file cannot be created"},
		{IOErr, "IOERR", "reading or writing failed"},
		{TempFail, "TEMPFAIL", "busy"},
		{NoPerm, "NOPERM", "not permitted, or refused as dangerous"},
		{Config, "CONFIG", "needs a human"},
		{Timeout, "TIMEOUT", "a wait for somebody else's act ran out"},
		{CannotExec, "CANNOTEXEC", "the command cannot be executed"},
		{NotFound, "NOTFOUND", "the command cannot be found"},
	}
}

// Error is a failure that knows its exit code.
type Error struct {
	Code int
	ID   string // the word in JSON's "error"; "" means the code's own name
	Err  error
	Hint string // something to type, or ""
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// ExitCode returns the number that the program ends with.
func (e *Error) ExitCode() int { return e.Code }

// Errorf builds an Error with a code; %w works as in fmt.Errorf.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// WithHint adds what the user can type next.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithID sets the word that JSON readers branch on.
func (e *Error) WithID(id string) *Error {
	e.ID = id
	return e
}

// File classifies why a file could not be had: NoPerm if it is forbidden, else
// the code given.
func File(code int, err error) *Error {
	if errors.Is(err, fs.ErrPermission) {
		code = NoPerm
	}
	return Errorf(code, "%w", err)
}

// Of returns the code of err: 0 for nil, its own if it carries one, else NoPerm
// or OSErr, because an error that nobody classified comes from a system call.
func Of(err error) int {
	if err == nil {
		return OK
	}
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return File(OSErr, err).Code
}

// Status is a plain exit code without a message: the answer was printed
// already, or the code is a command's own.
type Status int

func (s Status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// ExitCode returns the number that the program ends with.
func (s Status) ExitCode() int { return int(s) }
