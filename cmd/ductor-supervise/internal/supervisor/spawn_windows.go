package supervisor

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// statusNumber is the handle itself, which the child inherits.
func statusNumber(f *os.File) int { return int(f.Fd()) }

func isNoProgram(err error) bool { return errors.Is(err, windows.ERROR_BAD_EXE_FORMAT) }
