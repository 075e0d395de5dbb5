package watch

import "golang.org/x/sys/unix"

// remoteTypes are file systems whose files others change without this kernel
// knowing: on another machine, or on the host of a virtual one. FUSE stands for
// sshfs and virtiofs, and for some that are local and are polled for nothing.
// The numbers are those of statfs(2), and of the modules that it does not list.
var remoteTypes = map[uint32]string{
	unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", unix.SMB2_SUPER_MAGIC: "SMB", unix.CIFS_SUPER_MAGIC: "SMB",
	unix.V9FS_MAGIC: "9p", unix.FUSE_SUPER_MAGIC: "FUSE", unix.CEPH_SUPER_MAGIC: "Ceph",
	unix.AFS_SUPER_MAGIC: "AFS", unix.AFS_FS_MAGIC: "AFS", unix.CODA_SUPER_MAGIC: "Coda", unix.NCP_SUPER_MAGIC: "NCP",
	unix.OCFS2_SUPER_MAGIC: "OCFS2",
	0x01161970:             "GFS2", 0x0bd00bd0: "Lustre", 0x47504653: "GPFS", 0xaad7aaea: "PanFS",
	0x786f4256: "vboxsf", 0xbacbacbc: "vmhgfs", 0x7c7c6673: "prl_fs",
}

// remote names the kind of the file system if it is one of those.
func remote(path string) string {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return ""
	}
	return remoteTypes[uint32(st.Type)]
}
