//go:build !linux

// Package inside is what our program does in the container: it is the first
// process, it runs a command, and it ends what a command has left.
package inside

import (
	"fmt"
	"os"

	"ductor/internal/common/exitcode"
)

// Main is for containers, which are Linux.
func Main([]string) int {
	fmt.Fprintln(os.Stderr, "ductor-sandbox: error: this verb is for the inside of a container")
	return exitcode.Usage
}
