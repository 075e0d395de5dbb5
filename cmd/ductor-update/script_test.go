package main

import (
	"testing"

	"ductor/internal/common/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

func TestScripts(t *testing.T) { clitest.Scripts(t, "testdata") }
