//go:build !linux

package supervisor

import "ductor/internal/common/process"

// byInstance: the environment of other processes cannot be read here. Windows
// needs no more than the identity, because a job ends with its supervisor.
func byInstance(string) []process.Identity { return nil }
