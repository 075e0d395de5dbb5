package journal

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is a terminal that was stopped, until it is opened.
type stuck struct {
	open    chan struct{}
	entered chan struct{} // closed at the first write
	once    sync.Once
	mu      sync.Mutex
	text    bytes.Buffer
}

func newStuck() *stuck { return &stuck{open: make(chan struct{}), entered: make(chan struct{})} }

func (w *stuck) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.entered) })
	<-w.open
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func TestQueueKeepsOrder(t *testing.T) {
	var out bytes.Buffer
	q := NewQueue(&out, "lost %d\n")
	var want strings.Builder
	line := []byte("line 0000\n") // reused: the queue has to copy
	for i := range 500 {
		copy(line, fmt.Sprintf("line %04d\n", i))
		if n, err := q.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
		want.Write(line)
	}
	q.Close(time.Hour)
	if out.String() != want.String() {
		t.Errorf("%d bytes came out, want %d", out.Len(), want.Len())
	}
}

// TestQueueNeverBlocks: in a bubble a blocked writer would be a deadlock, and
// fail. What is lost is counted, exactly where it is missing.
func TestQueueNeverBlocks(t *testing.T) {
	for _, after := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			w := newStuck()
			q := NewQueue(w, "lost %d\n")
			fmt.Fprintf(q, "first\n")
			<-w.entered // one line is out of the queue, and the writer hangs
			for i := range queueLength + 76 {
				fmt.Fprintf(q, "line %d\n", i)
			}
			close(w.open)
			synctest.Wait()
			for range after {
				fmt.Fprintf(q, "after\n")
			}
			q.Close(time.Hour)
			lines := strings.Split(strings.TrimSpace(w.text.String()), "\n")
			want := []string{"first"}
			for i := range queueLength {
				want = append(want, fmt.Sprintf("line %d", i))
			}
			want = append(want, "lost 76")
			for range after {
				want = append(want, "after")
			}
			if !slices.Equal(lines, want) {
				t.Errorf("%d lines, the last three %q", len(lines), lines[max(0, len(lines)-3):])
			}
		})
	}
}

// TestQueueWithoutNote: JSON readers see what is lost by the numbers.
func TestQueueWithoutNote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStuck()
		q := NewQueue(w, "")
		for range 2 * queueLength {
			fmt.Fprintf(q, "{}\n")
		}
		close(w.open)
		q.Close(time.Hour)
		for line := range strings.Lines(w.text.String()) {
			if line != "{}\n" {
				t.Fatalf("line %q", line)
			}
		}
	})
}

// TestQueueCloseIsBounded: at the end nobody waits for a reader that never
// comes, and no longer than needed for one that does.
func TestQueueCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStuck()
		q := NewQueue(w, "")
		fmt.Fprintf(q, "x\n")
		began := time.Now()
		q.Close(3 * time.Second)
		if got := time.Since(began); got != 3*time.Second {
			t.Errorf("closed after %s", got)
		}
		close(w.open)

		q = NewQueue(io.Discard, "")
		fmt.Fprintf(q, "x\n")
		began = time.Now()
		q.Close(time.Hour)
		if got := time.Since(began); got != 0 {
			t.Errorf("waited %s for nothing", got)
		}
	})
}
