//go:build unix

package notify

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket hears what the child, or anything that came of it, says by
// sd_notify(3). Only our own user and root can reach it.
type Socket struct {
	path   string
	remove []string // at the end, in this order
	file   *os.File
	raw    syscall.RawConn
	out    chan Message
	ended  chan struct{} // closed when the reader has

	mu      sync.Mutex // held from taking a datagram to passing it on: see Drain
	buf     []byte
	control []byte
}

const (
	name   = "notify"
	prefix = "ductor-notify-" // of the folder in place of one with too long a path
	// maxPath is in bytes, and has room for the NUL at the end.
	maxPath = len(unix.RawSockaddrUnix{}.Path)
	// maxDatagram is in bytes; systemd takes 4096.
	maxDatagram = 16 << 10
	// maxQueue is in messages: more than that are coalesced.
	maxQueue = 16
)

// Listen creates the socket that the child gets as NOTIFY_SOCKET, dir/notify.
// If that path does not fit into an address (104 bytes on macOS, 108 on
// Linux), the socket lies in a temporary folder, and dir/notify is a link to
// that. What a supervisor that was killed has left there is removed: the caller
// must hold its lock.
func Listen(dir string) (*Socket, error) {
	fail := func(err error) (*Socket, error) {
		return nil, fmt.Errorf("create the notify socket in %q: %w", dir, err)
	}
	path, remove, err := place(filepath.Join(dir, name))
	if err != nil {
		return fail(err)
	}
	file, err := bind(path)
	if err != nil {
		removeAll(remove)
		return fail(err)
	}
	s := &Socket{path: path, remove: remove, file: file, out: make(chan Message, maxQueue), ended: make(chan struct{}),
		buf: make([]byte, maxDatagram), control: make([]byte, controlSize)}
	if s.raw, err = file.SyscallConn(); err != nil {
		file.Close()
		removeAll(remove)
		return fail(err)
	}
	go s.read()
	return s, nil
}

// place returns where the socket can be, and what is to be removed with it.
func place(path string) (string, []string, error) {
	if err := removeStale(path); err != nil {
		return "", nil, err
	}
	if len(path) < maxPath {
		return path, []string{path}, nil
	}
	folder, err := os.MkdirTemp("", prefix)
	if err == nil && len(filepath.Join(folder, name)) >= maxPath {
		os.Remove(folder)
		folder, err = os.MkdirTemp("/tmp", prefix)
	}
	if err != nil {
		return "", nil, err
	}
	socket := filepath.Join(folder, name)
	remove := []string{socket, folder, path}
	// Nobody connects through the link. It is there for the next Listen, in
	// case we do not come to remove the folder.
	if err := os.Symlink(folder, path); err != nil {
		removeAll(remove)
		return "", nil, err
	}
	return socket, remove, nil
}

// removeStale frees the path of a socket or of a link to a folder with one.
// Anything else is not ours and stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // what is wrong with it will be seen when it is used
	}
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		if folder, err := os.Readlink(path); err == nil && strings.HasPrefix(filepath.Base(folder), prefix) {
			removeAll([]string{filepath.Join(folder, name), folder})
		}
	case fs.ModeSocket:
	default:
		return fmt.Errorf("%q is in the way, and not a socket", path)
	}
	return os.Remove(path)
}

// removeAll reports the first error, without those of files that are gone.
func removeAll(paths []string) (first error) {
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !os.IsNotExist(err) && first == nil {
			first = err
		}
	}
	return first
}

// bind makes a file that Go's poller waits for.
func bind(path string) (*os.File, error) {
	fd, err := open()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrUnix{Name: path})); err == nil {
		err = os.Chmod(path, 0o600) // until then the folder, which is 0700, keeps others out
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Path is the value of NOTIFY_SOCKET.
func (s *Socket) Path() string { return s.path }

// Messages has what was received, in order. Who does not read it gets what
// came meanwhile coalesced: facts stay, of a status the last one. It is never
// closed.
func (s *Socket) Messages() <-chan Message { return s.out }

// Drain returns what was sent before the call and not yet received from
// Messages. It is for the moment when a sender has ended: its last words count
// for its own run and not for the next.
func (s *Socket) Drain() []Message {
	// A flood must not hold the caller for ever. What was sent before the call
	// is less than that: net.unix.max_dgram_qlen is 512 on most systems.
	const enough = 4096
	_ = s.raw.Control(func(fd uintptr) { s.receive(fd, enough) })
	return s.queued()
}

// queued takes what waits for the reader.
func (s *Socket) queued() (all []Message) {
	for {
		select {
		case m := <-s.out:
			all = append(all, m)
		default:
			return all
		}
	}
}

// Close removes the socket. What was not received is lost.
func (s *Socket) Close() error {
	s.file.Close()
	<-s.ended
	return removeAll(s.remove)
}

// read takes all that comes, so that no sender waits for our reader.
func (s *Socket) read() {
	defer close(s.ended)
	// It returns when the file is closed. The poller tells of a change only,
	// so that everything has to be taken before each wait.
	_ = s.raw.Read(func(fd uintptr) (done bool) {
		for s.receive(fd, maxQueue) {
		}
		return false
	})
}

// receive takes up to n datagrams and reports whether there may be more.
func (s *Socket) receive(fd uintptr, n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		size, used, flags, _, err := unix.Recvmsg(int(fd), s.buf, s.control, receiveFlags)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return false
		}
		datagram := s.buf[:size]
		if flags&unix.MSG_TRUNC != 0 { // the last line may be half of one
			datagram = datagram[:bytes.LastIndexByte(datagram, '\n')+1]
		}
		m := Parse(datagram)
		m.PID = sender(s.control[:used])
		if !m.empty() {
			s.pass(m)
		}
	}
	return true
}

// pass never blocks: if the reader is behind, it makes one message of all.
func (s *Socket) pass(m Message) {
	select {
	case s.out <- m:
		return
	default:
	}
	for _, earlier := range slices.Backward(s.queued()) {
		m = earlier.then(m)
	}
	s.out <- m // there is room: nobody else sends
}

// empty reports whether there is nothing in it for us, as in BARRIER=1.
func (m Message) empty() bool {
	return !m.Ready && !m.Stopping && !m.Watchdog && !m.Trigger && m.Status == nil && m.Extend == 0
}
