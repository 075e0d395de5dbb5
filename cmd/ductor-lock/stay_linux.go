package main

import "syscall"

// dieWithParent: if we are killed, the command is asked to end.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }
