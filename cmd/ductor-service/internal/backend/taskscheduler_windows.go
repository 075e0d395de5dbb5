package backend

import "golang.org/x/sys/windows"

// elevated reports whether we have an administrator's rights.
func elevated() bool { return windows.GetCurrentProcessToken().IsElevated() }
