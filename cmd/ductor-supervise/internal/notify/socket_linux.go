package notify

import "golang.org/x/sys/unix"

// open returns a socket that learns its senders' PIDs.
func open() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// KnowsSenders: a message has its sender's PID, or 0 if it came from several.
const KnowsSenders = true

const receiveFlags = unix.MSG_CMSG_CLOEXEC

// controlSize has room for the credentials, which the kernel writes first, and
// for nothing more: descriptors that were sent along (with BARRIER=1, whose
// sender waits until they are closed) have none, and the kernel closes them.
var controlSize = unix.CmsgSpace(unix.SizeofUcred)

// sender is the PID in our PID namespace, 0 from outside of it.
func sender(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for _, m := range messages {
		if cred, err := unix.ParseUnixCredentials(&m); err == nil {
			return int(cred.Pid)
		}
	}
	return 0
}
