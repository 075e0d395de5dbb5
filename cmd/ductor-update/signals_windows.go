package main

import "os"

// stopSignals end a watch.
var stopSignals = []os.Signal{os.Interrupt}
