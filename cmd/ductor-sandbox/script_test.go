package main

import (
	"testing"

	"ductor/internal/common/clitest"
)

// TestScripts needs no daemon: what is malformed or cannot be had changes nothing.
func TestScripts(t *testing.T) { clitest.Scripts(t, "testdata") }
