package main

import "os"

// stopSignals end a watch.
var stopSignals = []os.Signal{os.Interrupt}

// upgradeSignals end an upgrade, which is undone then.
var upgradeSignals = []os.Signal{os.Interrupt}

// ignoreHangups: Windows has none.
func ignoreHangups() {}
