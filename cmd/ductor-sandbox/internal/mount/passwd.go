package mount

import "fmt"

// homeInside is the home folder of whoever the container runs as.
const homeInside = "/home/node"

// Passwd returns the content of /etc/passwd and /etc/group for a container that
// runs as uid and gid. Without a line for them whoami fails, Node's os.userInfo
// throws, and git cannot guess an identity. The owner is called node; uid 0 stays
// root, and has that home.
func Passwd(uid, gid int) (passwd, group string) {
	const nobody = 65534
	rootHome := "/root"
	if uid == 0 {
		rootHome = homeInside
	}
	passwd = fmt.Sprintf("root:x:0:%d:root:%s:/bin/sh\n", rootGroup(uid, gid), rootHome)
	if uid != 0 {
		passwd += fmt.Sprintf("node:x:%d:%d:node:%s:/bin/sh\n", uid, gid, homeInside)
	}
	if uid != nobody {
		passwd += fmt.Sprintf("nobody:x:%d:%d:nobody:/nonexistent:/bin/false\n", nobody, nobody)
	}
	group = "root:x:0:\n"
	if gid != 0 {
		group += fmt.Sprintf("node:x:%d:\n", gid)
	}
	if gid != nobody {
		group += fmt.Sprintf("nogroup:x:%d:\n", nobody)
	}
	return passwd, group
}

func rootGroup(uid, gid int) int {
	if uid == 0 {
		return gid
	}
	return 0
}
