package backend

import "fmt"

// signalName is for managers that do not run here.
func signalName(n int) string { return fmt.Sprintf("signal %d", n) }
