//go:build !windows

package backend

// elevated is a question of Windows.
func elevated() bool { return false }
