package main

// execKeepsLock: a record lock belongs to the process here, whatever its
// threads, and exec keeps the process.
func execKeepsLock() bool { return true }
