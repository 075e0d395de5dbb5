package main

import "os"

// stopSignals end a verb, after it has undone what it had begun.
var stopSignals = []os.Signal{os.Interrupt}
