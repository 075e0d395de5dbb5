package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ductor/internal/common/clitest"
)

// stuck is a disk that hangs until it is opened.
type stuck struct {
	lockedBuffer
	open    chan struct{}
	entered chan struct{} // closed at the first write
	once    sync.Once
}

func newStuck() *stuck { return &stuck{open: make(chan struct{}), entered: make(chan struct{})} }

func (w *stuck) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.entered) })
	<-w.open
	return w.lockedBuffer.Write(p)
}

// TestStuckWriter: a bot whose standard error nobody reads goes on, and every
// byte is either there or counted.
func TestStuckWriter(t *testing.T) {
	told := &warnings{}
	out := newStuck()
	c, err := Open(Config{Stderr: out, Tail: 100, Name: "bot", Warn: told.add})
	if err != nil {
		t.Fatal(err)
	}
	s := streams(t, c)
	line := strings.Repeat("x", 99) + "\n"
	const count = 100_000 // 10 MB
	for range count {
		write(t, s.Stderr, line)
	}
	write(t, s.Stderr, "reason\n")
	if got := s.Tail(); got != "reason" {
		t.Errorf("tail %q", got)
	}
	if n := len(c.queue.pending); n > hardLimit {
		t.Errorf("%d bytes are pending", n)
	}
	if got := told.all(); len(got) != 1 || got[0] != "standard error takes nothing any more, and the bot's output is dropped until it does" {
		t.Errorf("%q", got)
	}
	close(out.open)
	s.Release()
	end(t, c)
	var lines, bytes int
	before, after, _ := strings.Cut(out.String(), "bot: (")
	if _, err := fmt.Sscanf(after, "%d lines, %d bytes were lost here)\n", &lines, &bytes); err != nil {
		t.Fatalf("%v in %.100q", err, after)
	}
	before = before[:strings.LastIndexByte(before, '\n')+1]
	there := strings.Count(before, "\n")
	if len(before) != 100*there { // it was cut within a line, which is ended there
		there--
		before = before[:len(before)-1]
	}
	if there+lines != count+1 || len(before)+bytes != count*100+len("reason\n") {
		t.Errorf("%d lines, %d bytes are there, and %d, %d lost", there, len(before), lines, bytes)
	}
	want := fmt.Sprintf("%d lines, %d bytes of the bot's output were lost: it was not written as fast as it came", lines, bytes)
	if got := told.all(); len(got) != 2 || got[1] != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestStuckAtTheEnd: nobody waits for a disk for ever.
func TestStuckAtTheEnd(t *testing.T) {
	out := newStuck()
	c, _ := start(t, Config{Stderr: out, Tail: 100})
	fmt.Fprintln(c, "x")
	<-out.entered
	if err := c.Close(time.Millisecond); err == nil || err.Error() != "standard error hangs, and its end is not written" {
		t.Error(err)
	}
	close(out.open)
	<-c.writer.done
}

// TestStuckEndIsCounted: what was lost before, what waits, and what is dropped.
func TestStuckEndIsCounted(t *testing.T) {
	out := newStuck()
	c, _ := start(t, Config{Stderr: out, Tail: 100})
	c.report.lost(loss{lines: 1, bytes: 100})
	fmt.Fprintln(c, "x")
	<-out.entered
	fmt.Fprintln(c, "wait")
	c.queue.put(make([]byte, hardLimit))
	want := fmt.Sprintf("standard error hangs, and its end is not written: about 2 lines, %d bytes were lost", 100+len("wait\n")+hardLimit)
	if err := c.Close(time.Millisecond); err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
	close(out.open)
	<-c.writer.done
}

// TestPatience: a reader waits for room, but not for ever, and once.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := 0
		q := newQueue(func(l loss) []byte { return fmt.Appendf(nil, "(%s)\n", l) }, func() { slow++ })
		waits := func() time.Duration {
			began := time.Now()
			q.wait()
			return time.Since(began)
		}
		q.put(bytes.Repeat([]byte("x"), softLimit-1))
		if got := waits(); got != 0 {
			t.Errorf("waited %s with room", got)
		}
		q.put([]byte("yy"))
		go func() {
			time.Sleep(patience / 2)
			q.take(nil)
		}()
		if got := waits(); got != patience/2 || slow != 0 {
			t.Errorf("waited %s for room, %d", got, slow)
		}
		q.put(bytes.Repeat([]byte("x"), softLimit))
		if got := waits(); got != patience || slow != 1 {
			t.Errorf("waited %s for nothing, %d", got, slow)
		}
		q.put([]byte("lost\n"))
		if got := waits(); got != 0 || slow != 1 {
			t.Errorf("waited %s again, %d", got, slow)
		}
		batch, lost, ok := q.take(nil)
		if want := (loss{1, 5}); !ok || lost != want || !bytes.HasSuffix(batch, []byte("x\n(1 lines, 5 bytes)\n")) {
			t.Errorf("%v, %v, %.20q", ok, lost, batch[max(0, len(batch)-20):])
		}
		q.put(bytes.Repeat([]byte("x"), softLimit)) // there is room again, and so patience
		if got := waits(); got != patience || slow != 2 {
			t.Errorf("waited %s for nothing, %d", got, slow)
		}
	})
}

// TestQueueIsBounded for those too who cannot wait.
func TestQueueIsBounded(t *testing.T) {
	q := newQueue(func(loss) []byte { return nil }, nil)
	for range 100 {
		q.put(bytes.Repeat([]byte("x"), 64<<10))
	}
	if n := len(q.pending); n != hardLimit || q.dropped.bytes != 100*64<<10-hardLimit {
		t.Errorf("%d bytes are pending, %v dropped", n, q.dropped)
	}
}

// sick fails as it is told to.
type sick struct {
	lockedBuffer
	fail error
}

func (w *sick) Write(p []byte) (int, error) {
	if w.fail != nil {
		return 0, w.fail
	}
	return w.lockedBuffer.Write(p)
}

// TestNumbersAreTold: once when it begins, once when it is over, not again and
// again, and nothing is left out of the sum.
func TestNumbersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, told := &sick{}, &warnings{}
		c, err := Open(Config{Stderr: out, Tail: 1, Name: "bot", Warn: told.add})
		if err != nil {
			t.Fatal(err)
		}
		send := func(fail error, text string) {
			out.fail = fail
			fmt.Fprint(c, text)
			synctest.Wait()
		}
		broken := errors.New("broken")
		send(nil, "1\n")
		send(broken, "2\n")
		send(broken, "3\n")
		send(nil, "4\n")
		want := []string{"standard error cannot be written, and the bot's output is dropped until it can: broken",
			"2 lines, 4 bytes of the bot's output were lost: broken"}
		if got := told.all(); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		for range 10 { // by turns
			send(broken, "5\n")
			send(nil, "6\n")
		}
		if got := told.all(); len(got) != 2 {
			t.Errorf("%q", got)
		}
		time.Sleep(tellAgain)
		send(nil, "7\n")
		want = append(want, "10 lines, 20 bytes of the bot's output were lost: broken")
		if got := told.all(); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		send(broken, "8\n")
		err = c.Close(time.Hour)
		if err == nil || err.Error() != "1 lines, 2 bytes of the bot's output were lost: broken" {
			t.Error(err)
		}
		if got := strings.Count(out.String(), "bytes were lost here)\n"); got != 11 {
			t.Errorf("%d notes", got)
		}
	})
}

func TestQueueAfterItsEnd(t *testing.T) {
	q := newQueue(nil, nil)
	w := startWriter(q, io.Discard, &report{})
	q.close()
	select {
	case <-w.done:
	case <-time.After(clitest.Patience):
		t.Fatal("the writer has not ended")
	}
	q.put([]byte("late\n")) // dropped
	if len(q.pending) > 0 {
		t.Error("queued after the end")
	}
}
