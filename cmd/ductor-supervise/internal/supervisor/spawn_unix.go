//go:build unix

package supervisor

import (
	"errors"
	"os"
	"slices"
	"syscall"

	"ductor/cmd/ductor-supervise/internal/tree"
)

// statusNumber is what the child calls the descriptor.
func statusNumber(*os.File) int { return tree.StatusFD }

// isNoProgram: what the path leads to can never be executed.
func isNoProgram(err error) bool {
	return slices.ContainsFunc([]error{syscall.ENOEXEC, syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP},
		func(no error) bool { return errors.Is(err, no) })
}
