package main

import (
	"os"
	"syscall"
)

func newSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

var held []*os.File

// alone: an open handle without delete sharing is the lock here.
func alone(path string) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		os.Exit(99)
	}
	held = append(held, f)
}

func closeAll() {}
