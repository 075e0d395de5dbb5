package main

import (
	"testing"

	"ductor/internal/common/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

// TestScripts never installs, starts or stops anything: they would be services
// of who runs the tests. What does that runs in test/systemd and test/wine.
func TestScripts(t *testing.T) { clitest.Scripts(t, "testdata") }
