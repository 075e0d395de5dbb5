//go:build unix && !linux

package snapshot

import (
	"os"
	"testing"

	"ductor/internal/common/clitest"
)

// asUser: only on Linux a thread can be another user's.
func asUser(t *testing.T) {
	if os.Geteuid() == 0 {
		clitest.Lacking(t, "user", "run as a user other than root")
	}
}

func userEnv(t *testing.T) env { return newEnv(t) }
