// Command hello is the least that a Go program can be, to compare starts with.
package main

import "os"

func main() { os.Stdout.WriteString("hello 1\n") }
