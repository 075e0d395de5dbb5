package notify

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func open() (int, error) {
	// Between the two calls a fork would hand the descriptor to a child.
	syscall.ForkLock.RLock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return -1, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// KnowsSenders: PIDs of senders are not told here.
const KnowsSenders = false

const receiveFlags = 0

// controlSize is none: the kernel closes descriptors that were sent along, and
// does not tell the sender of a datagram.
const controlSize = 0

func sender([]byte) int { return 0 }
