// Package buildinfo names the version of the running program.
package buildinfo

import "runtime/debug"

// version is set by the Makefile with -ldflags "-X …".
var version = ""

// Version returns the release, or "devel" with the commit it was built from.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "devel-" + s.Value[:12]
			}
		}
	}
	return "devel"
}
