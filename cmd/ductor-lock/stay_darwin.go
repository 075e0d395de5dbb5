package main

import "syscall"

// dieWithParent: macOS has no parent-death signal. A command that outlives us
// is found by the record's child.
func dieWithParent(*syscall.SysProcAttr) {}
