//go:build !linux

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
