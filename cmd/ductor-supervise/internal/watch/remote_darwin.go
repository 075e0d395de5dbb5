package watch

import "golang.org/x/sys/unix"

// remote names the kind of the file system if it is not a local one.
func remote(path string) string {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil || st.Flags&unix.MNT_LOCAL != 0 {
		return ""
	}
	return unix.ByteSliceToString(st.Fstypename[:])
}
