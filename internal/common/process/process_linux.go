package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// userHZ is the unit of field 22 in /proc/PID/stat: 100 on every Linux that
// Go runs on (include/asm-generic/param.h), whatever the kernel's own HZ is.
const userHZ = 100

// stat holds the fields of proc_pid_stat(5) that we need.
type stat struct {
	state   byte
	ppid    int
	threads int
	start   string
}

func readStat(pid int) (stat, error) {
	data, err := slurp("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH) {
		return stat{}, ErrGone
	}
	if err != nil {
		return stat{}, fmt.Errorf("read the state of process %d: %w", pid, err)
	}
	return parseStat(data)
}

// parseStat starts behind the last ')', since a program's name may hold
// anything.
func parseStat(data []byte) (stat, error) {
	_, rest, _ := bytes.Cut(data[max(bytes.LastIndexByte(data, ')'), 0):], []byte(" "))
	f := strings.Fields(string(rest))
	if len(f) < 20 {
		return stat{}, errors.New("malformed /proc/PID/stat")
	}
	ppid, err := strconv.Atoi(f[1])
	threads, err2 := strconv.Atoi(f[17])
	return stat{f[0][0], ppid, threads, f[19]}, errors.Join(err, err2)
}

// slurp reads a file of procfs with three system calls; os.ReadFile would
// also set up the poller, which is a tenth of the life of ductor-lock.
func slurp(path string) ([]byte, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	buf := make([]byte, 4096)
	n, err := syscall.Read(fd, buf)
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}

func startOf(pid int) (string, error) {
	st, err := readStat(pid)
	if err != nil {
		return "", err
	}
	// A zombie has given up its locks. One with threads is a process whose
	// main thread has ended, and that runs on.
	if (st.state == 'Z' || st.state == 'X') && st.threads <= 1 {
		return "", ErrGone
	}
	return st.start, nil
}

func parentOf(pid int) (int, error) {
	st, err := readStat(pid)
	return st.ppid, err
}

var space = sync.OnceValues(func() (boot, pidns string) {
	if data, err := slurp("/proc/sys/kernel/random/boot_id"); err == nil {
		boot = strings.TrimSpace(string(data))
	}
	if link, err := os.Readlink("/proc/self/ns/pid"); err == nil { // pid:[4026531836]
		pidns = strings.TrimSuffix(strings.TrimPrefix(link, "pid:["), "]")
	}
	return boot, pidns
})

func startTime(pid int) (time.Time, error) {
	start, err := startOf(pid)
	if err != nil {
		return time.Time{}, err
	}
	ticks, err := strconv.ParseInt(start, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("start of process %d: %w", pid, err)
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}, fmt.Errorf("read the boot clock: %w", err)
	}
	age := time.Duration(now.Nano()) - time.Duration(ticks)*(time.Second/userHZ)
	return time.Now().Add(-age), nil
}

// handle is a pidfd, or -1 on kernels before 5.3, where each act checks the
// identity first and a window of microseconds remains.
type handle int

func openHandle(pid int) (handle, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case err == nil:
		return handle(fd), nil
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // EPERM: an old container's seccomp filter
		return -1, nil
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL):
		return -1, ErrGone
	}
	return -1, fmt.Errorf("open process %d: %w", pid, err)
}

func (h handle) wait(id Identity, d time.Duration) error {
	if h < 0 {
		return pollGone(id, d)
	}
	deadline := time.Now().Add(d)
	for {
		left := max(time.Until(deadline), 0)
		fds := []unix.PollFd{{Fd: int32(h), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int((left+time.Millisecond-1)/time.Millisecond))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for process %d: %w", id.PID, err)
		case n > 0:
			return nil
		case left == 0:
			return ErrTimeout
		}
	}
}

func (h handle) signal(id Identity, sig syscall.Signal) error {
	var err error
	if h >= 0 {
		err = unix.PidfdSendSignal(int(h), sig, nil, 0)
	} else if err = id.Check(); err == nil {
		err = unix.Kill(id.PID, sig)
	}
	return signalError(id, sig, err)
}

func (h handle) close() {
	if h >= 0 {
		unix.Close(int(h))
	}
}

// pollGone is the wait of systems that offer no descriptor for a process.
func pollGone(id Identity, d time.Duration) error {
	deadline := time.Now().Add(d)
	for id.Alive() {
		if !time.Now().Before(deadline) {
			return ErrTimeout
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}
