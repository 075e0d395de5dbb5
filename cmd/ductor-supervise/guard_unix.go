//go:build unix

package main

import (
	"os"

	"ductor/cmd/ductor-supervise/internal/guard"
)

// asGuard is for a process that a supervisor started beside its bot.
func asGuard() (code int, is bool) {
	if len(os.Args) == 0 || os.Args[0] != guard.Name {
		return 0, false
	}
	return guard.Run(os.Args[1:]), true
}
