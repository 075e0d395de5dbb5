package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ductor/internal/common/clitest"
)

// lastOf is what tail(1) would print of whole lines.
func lastOf(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	lines = lines[:len(lines)-1]
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// TestLast compares with all there is, for any number of lines in any number
// of files, with lines around the size of a block.
func TestLast(t *testing.T) {
	for range 60 {
		path := filepath.Join(t.TempDir(), "bot.log")
		f, _ := open(t, path, 1+rand.Int64N(1<<uint(1+rand.IntN(18))), 1000)
		for i := range rand.IntN(60) {
			long := rand.IntN(1 << uint(rand.IntN(18)))
			if rand.IntN(8) == 0 {
				long = blockSize - rand.IntN(3)
			}
			put(t, f, fmt.Appendf(nil, "%d%s\n", i, strings.Repeat("x", long)))
		}
		all := everything(t, path)
		for _, n := range []int{0, 1, 2, 3, 10, 59, 60, 61, 1 << 40} {
			var got bytes.Buffer
			r := NewReader(path)
			if err := r.Last(&got, n); err != nil || got.String() != lastOf(all, n) {
				t.Fatalf("last %d: %v, %d bytes, want %d", n, err, got.Len(), len(lastOf(all, n)))
			}
			got.Reset()
			if err := r.More(&got); err != nil || got.Len() > 0 {
				t.Fatalf("more: %v, %d bytes", err, got.Len())
			}
		}
		put(t, f, []byte("new\n"))
	}
}

func TestLastOfNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.log")
	var got bytes.Buffer
	r := NewReader(path)
	if err := r.Last(&got, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if err := r.More(&got); err != nil || got.Len() > 0 {
		t.Errorf("still absent: %v", err)
	}
	if err := os.WriteFile(path, []byte("one\ntorn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.More(&got); err != nil || got.String() != "one\n" {
		t.Errorf("there at last: %v, %q", err, &got)
	}
	if err := NewReader(t.TempDir()).Last(&got, 10); err == nil {
		t.Error("a folder is a log")
	}
}

// TestLastIsCheap: a huge log is not read to print its end.
func TestLastIsCheap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1 << 40); err != nil { // a terabyte of zeros, without the disk
		clitest.Lacking(t, "sparse files", err.Error())
	}
	if _, err := f.WriteAt([]byte("\none\ntwo\n"), 1<<40); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var got bytes.Buffer
	if err := NewReader(path).Last(&got, 2); err != nil || got.String() != "one\ntwo\n" {
		t.Errorf("%v, %q", err, &got)
	}
}

// TestMore follows one file through what may happen to it.
func TestMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.log")
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	rotate := func(second int) {
		t.Helper()
		if err := os.Rename(path, filepath.Join(filepath.Dir(path), fmt.Sprintf("bot-2026-11-23T10-00-%02d.000.log", second))); err != nil {
			t.Fatal(err)
		}
	}
	var got bytes.Buffer
	r := NewReader(path)
	more := func(want string) {
		t.Helper()
		got.Reset()
		if err := r.More(&got); err != nil || got.String() != want {
			t.Fatalf("%v, %q, want %q", err, &got, want)
		}
	}
	write("0\n")
	rotate(0)
	write("1\n2\n")
	if err := r.Last(&got, 2); err != nil || got.String() != "1\n2\n" {
		t.Fatalf("%v, %q", err, &got)
	}
	more("")
	write("3\nhal")
	more("3\n")
	write("f\n")
	more("half\n")
	write("4\n")
	rotate(1)
	more("4\n") // nothing has the name
	more("")
	write("5\n")
	more("5\n")
	write("6\n")
	rotate(2)
	write("7\n")
	rotate(3)
	write("8\n")
	rotate(4)
	write("9\n")
	more("6\n7\n8\n9\n")
	write("10\n")
	rotate(5)
	write("11\n")
	os.Remove(filepath.Join(filepath.Dir(path), "bot-2026-11-23T10-00-05.000.log")) // pruned before we could open it
	more("10\n11\n")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	more("")
	write("12\n")
	more("12\n")
	write("half a line, taken back")
	more("")
	if err := os.Truncate(path, 3); err != nil {
		t.Fatal(err)
	}
	more("")
	if err := os.Rename(path, path+".away"); err != nil { // not by us
		t.Fatal(err)
	}
	write("13\n")
	more("13\n")
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	more("")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	write("14\n")
	more("14\n")
}

// TestFollowUnderLoad: while lines are written and files rotated, one who
// begins to read at any time sees every further line once, and in order.
func TestFollowUnderLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.log")
	f, _ := open(t, path, 2000, 1_000_000)
	const count = 60_000
	done := make(chan error, 1)
	put(t, f, numbered(0, 1))
	go func() {
		var err error
		for i := 1; i < count && err == nil; {
			n := min(i+1+rand.IntN(30), count)
			_, err = f.Write(numbered(i, n))
			i = n
		}
		done <- err
	}()
	for round := 0; ; round++ {
		var got bytes.Buffer
		r := NewReader(path)
		if err := r.Last(&got, 500); err != nil {
			t.Fatal(err)
		}
		over := false
		for deadline := time.Now().Add(clitest.Patience); ; {
			if err := r.More(&got); err != nil {
				t.Fatal(err)
			}
			lines := strings.Count(got.String(), "\n")
			if over || round < 20 && lines > 5000 {
				break
			}
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				over = true
			default:
			}
			if time.Now().After(deadline) {
				t.Fatal("no end")
			}
		}
		var first int
		if _, err := fmt.Sscanf(got.String(), "line %d\n", &first); err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(got.String(), "\n")
		if got.String() != string(numbered(first, first+lines)) {
			t.Fatalf("round %d: lost or twice, from line %d on", round, first)
		}
		if over && first+lines != count {
			t.Fatalf("the last is %d", first+lines)
		}
		r.file.Close()
		if over {
			return
		}
	}
}
