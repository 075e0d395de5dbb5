package atomicfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// page is content that shows when it is torn: one letter, a length that is the
// letter's own, and an end.
func page(letter int) []byte {
	n := 1 + letter*5000
	return append(bytes.Repeat([]byte{byte('a' + letter)}, n), []byte(strconv.Itoa(n))...)
}

func whole(data []byte) bool {
	if len(data) == 0 || data[0] < 'a' {
		return false
	}
	return bytes.Equal(data, page(int(data[0]-'a')))
}

// TestConcurrentWritersAndReaders: goroutines share a PID, and must not share
// a temporary file.
func TestConcurrentWritersAndReaders(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a reader without delete sharing makes a rename fail there")
	}
	path := filepath.Join(t.TempDir(), "x")
	if err := Write(path, page(0), 0o600); err != nil {
		t.Fatal(err)
	}
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for w := range 8 {
		writers.Go(func() {
			for range 200 {
				if err := Write(path, page(w), 0o600); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				data, err := os.ReadFile(path)
				if err != nil || !whole(data) {
					t.Errorf("%d bytes, %v", len(data), err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	only(t, path)
}

// only fails if anything lies beside path: a temporary file was left.
func only(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestWrite(t *testing.T) {
	for name, write := range map[string]func(string, []byte, os.FileMode) error{"Write": Write, "WriteSync": WriteSync} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x")
			for _, content := range []string{"first, and longer", "second", ""} {
				if err := write(path, []byte(content), 0o640); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(path); err != nil || string(got) != content {
					t.Errorf("%q, %v", got, err)
				}
			}
			if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			only(t, path)
		})
	}
}

// TestErrorsNameTheFile, not the temporary one, and leave nothing behind.
func TestErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	absent := filepath.Join(dir, "absent", "x")
	err := Write(absent, nil, 0o600)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), strconv.Quote(absent)) || strings.Contains(err.Error(), ".tmp") {
		t.Error(err)
	}
	folder := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(folder, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(folder, nil, 0o600); err == nil || strings.Contains(err.Error(), ".tmp") {
		t.Error(err)
	}
	only(t, folder)
}
