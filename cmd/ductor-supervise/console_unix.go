//go:build unix

package main

// openConsole: signals need none.
func openConsole() error { return nil }

// openStreams: what is closed at the start is /dev/null to Go already.
func openStreams() {}
