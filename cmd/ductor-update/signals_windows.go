package main

import "os"

// stopSignals end a watch.
var stopSignals = []os.Signal{os.Interrupt}

// upgradeSignals end an upgrade, which is undone then.
var upgradeSignals = []os.Signal{os.Interrupt}

// ignoreHangups: Windows has none.
func ignoreHangups() {}

// terminate: nothing can be asked to end that has no console of ours.
func terminate(p *os.Process) error { return p.Kill() }
