//go:build unix

package supervisor

import (
	"errors"
	"os"
	"syscall"

	"ductor/cmd/ductor-supervise/internal/tree"
)

// statusNumber is what the child calls the descriptor.
func statusNumber(*os.File) int { return tree.StatusFD }

func isExecFormat(err error) bool { return errors.Is(err, syscall.ENOEXEC) }
