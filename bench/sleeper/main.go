// Command sleeper does nothing for a day: how often it wakes up all the same,
// and what it weighs, is the share of the Go runtime.
package main

import "time"

func main() { time.Sleep(24 * time.Hour) }
