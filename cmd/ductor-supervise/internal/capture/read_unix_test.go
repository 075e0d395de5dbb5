//go:build unix

package capture

import (
	"bytes"
	"os"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

// TestDrainHasAnEnd: somebody who goes on writing must not hold up the end of a
// run.
func TestDrainHasAnEnd(t *testing.T) {
	endless, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer endless.Close()
	var out bytes.Buffer
	c, _ := start(t, Config{Stderr: &out})
	s := &stream{c: c, r: endless, done: make(chan struct{})}
	drained := make(chan struct{})
	go func() { s.drain(time.Now()); close(drained) }()
	select {
	case <-drained:
	case <-time.After(clitest.Patience):
		t.Fatal("it is read without end")
	}
	end(t, c)
	if n := out.Len(); n < maxDrain || n > maxDrain+readSize+1 {
		t.Errorf("%d bytes were taken", n)
	}
}
