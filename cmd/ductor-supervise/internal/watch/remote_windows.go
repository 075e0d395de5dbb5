package watch

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// remote says so if the path is on a drive of the network.
func remote(path string) string {
	volume, err := windows.UTF16PtrFromString(filepath.VolumeName(path) + `\`)
	if err != nil || windows.GetDriveType(volume) != windows.DRIVE_REMOTE {
		return ""
	}
	return "network drive"
}
