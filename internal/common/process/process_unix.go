//go:build unix

package process

import (
	"errors"
	"fmt"
	"syscall"
)

func (h handle) terminate(id Identity) error {
	if err := h.signal(id, syscall.SIGTERM); err != nil {
		return err
	}
	return h.signal(id, syscall.SIGCONT)
}

func (h handle) kill(id Identity) error { return h.signal(id, syscall.SIGKILL) }

// signalError: a process that is gone already was not failed to be signalled.
func signalError(id Identity, sig syscall.Signal, err error) error {
	if err == nil || errors.Is(err, syscall.ESRCH) || errors.Is(err, ErrGone) {
		return nil
	}
	return fmt.Errorf("send %v to process %d: %w", sig, id.PID, err)
}
