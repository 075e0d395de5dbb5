package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestAskOnAFullDisk: there is room for a file without content.
func TestAskOnAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stop-requested")
	full := func() error { return &os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC} }
	if err := ask(path, full); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || len(data) != 0 {
		t.Errorf("%q, %v", data, err)
	}
	other := errors.New("another reason")
	if err := ask(path, func() error { return other }); err != other {
		t.Errorf("%v", err)
	}
}
