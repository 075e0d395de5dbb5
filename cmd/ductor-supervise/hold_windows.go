package main

import "os"

// heldSignals must not end us before the command: the hold would be left.
func heldSignals() []os.Signal { return []os.Signal{os.Interrupt} }

// passedOn: a Ctrl-C reaches all programs of a console.
func passedOn(os.Signal) bool { return false }

func codeOf(state *os.ProcessState) int { return state.ExitCode() }
